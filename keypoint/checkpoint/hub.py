"""Where a published network lies: a folder here, or a repository of the Hugging Face Hub.

Either holds one checkpoint, `model.pt`; the output folder of a training will do as well, with its
`best.pt`. Nothing is asked of the network but for a name of the form "user/name" that cannot mean
a place here, and then by the Hub's own client, which keeps what it fetched and asks again only for
what changed. What comes from there is read as any checkpoint: no code in it is run.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from keypoint.errors import CheckpointError, ConfigError

FILE = "model.pt"
OF_A_RUN = "best.pt"
HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)
FILE_ENDINGS = (".pt", ".pth", ".tar", ".safetensors")
ALLOWED = f"give a folder that holds {FILE} or a training's {OF_A_RUN}, or user/name of the Hub"


def find_checkpoint(name_or_folder: str | Path, revision: str | None = None) -> Path:
    """The checkpoint of a folder, or of a repository of the Hub, which is fetched if need be.

    Args:
        name_or_folder: A folder that is there is taken, whatever else has its name. A `Path`, and
            what begins with a dot, a slash or ~, ends like a file, or begins with a folder that
            is there, is a place here and never asked for on the Hub.
        revision: Branch, tag or commit of the repository; None for its main branch.

    Raises:
        ConfigError: Neither a folder nor a name of the Hub; a revision of a folder; the Hub's
            client is not installed.
        CheckpointError: No checkpoint there, or two; the repository, the revision or the file is
            not there, is not open to this user, or cannot be fetched.
    """
    folder = Path(name_or_folder).expanduser()
    if folder.is_dir():
        if revision is not None:
            raise ConfigError(
                f"revision={revision!r}: {folder} is a folder here, which has none; leave it out"
            )
        return _in_folder(folder)
    if folder.is_file():
        raise ConfigError(
            f"{folder}: a file; Predictor.from_checkpoint takes it, and here {ALLOWED}"
        )
    name = str(name_or_folder)
    if isinstance(name_or_folder, Path) or _is_place(name):
        raise CheckpointError(f"{name}: no such folder; {ALLOWED}")
    if not HUB_NAME.fullmatch(name):
        raise ConfigError(f"{name!r}: neither a folder here nor a name of the Hub; {ALLOWED}")
    return _from_hub(name, revision)


def _in_folder(folder: Path) -> Path:
    found = [folder / name for name in (FILE, OF_A_RUN) if (folder / name).is_file()]
    if len(found) == 1:
        return found[0]
    if found:
        raise CheckpointError(
            f"{folder}: holds both {FILE} and {OF_A_RUN}; remove one, or give the one you mean to "
            "Predictor.from_checkpoint"
        )
    others = sorted(file.name for file in folder.glob("*.pt"))[:3]
    there = f"but {', '.join(others)}, which Predictor.from_checkpoint takes" if others else "there"
    raise CheckpointError(f"{folder}: no {FILE} nor {OF_A_RUN} {there}; {ALLOWED}")


def _is_place(name: str) -> bool:
    """Whether a text that names nothing here was meant for a place here."""
    first, _, rest = name.partition("/")
    return (
        name.startswith((".", "/", "~"))
        or os.sep in name.replace("/", "")
        or name.endswith(FILE_ENDINGS)
        or (bool(rest) and Path(first).is_dir())
    )


def _from_hub(name: str, revision: str | None) -> Path:
    try:
        from huggingface_hub import errors, hf_hub_download
    except ImportError as error:
        raise ConfigError(
            f"{name}: no such folder, and the Hub's client is not installed ({error}); "
            "pip install keypoint[hub], or give a folder"
        ) from None
    try:
        return Path(hf_hub_download(name, FILE, revision=revision))
    except Exception as error:  # the client's own errors, and those of whatever it reaches out by
        raise CheckpointError(f"{name}: {_reason(errors, error, revision)}") from None


def _reason(errors: Any, error: Exception, revision: str | None) -> str:
    """What came of asking the Hub, and what to do; the client's own texts are pages long."""
    if isinstance(error, errors.GatedRepoError):
        return "is open only to those whom its owner admits; ask there, then `hf auth login`"
    if isinstance(error, errors.RepositoryNotFoundError):
        return "no such repository on the Hub, or a private one; check the name, or `hf auth login`"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"has no revision {revision!r}; give one of its branches, tags or commits"
    if isinstance(error, errors.LocalEntryNotFoundError):
        return (
            f"the Hub does not answer, and {FILE} was not fetched before "
            f"({_first_line(error.__cause__ or error)}); look at the connection, or give a folder"
        )
    if isinstance(error, errors.EntryNotFoundError):
        return (
            f"its repository holds no {FILE}; networks of this toolkit are published by that name"
        )
    if isinstance(error, errors.HFValidationError):
        return f"is no name of the Hub ({_first_line(error)}); {ALLOWED}"
    return (
        f"{FILE} cannot be fetched ({type(error).__name__}: {_first_line(error)}); try again, or "
        "give a folder"
    )


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "")[:200]
