"""Published networks: weights by name, a folder on disk, a repository of the Hugging Face Hub.

The last two contain one checkpoint, `model.pt`; the output folder of a training run, with its
`best.pt`, is accepted as well. A connection is opened only for a name in the table (zoo.py), or for
a "user/name" that cannot mean a local path; the Hub's own client then fetches and caches the file.
A fetched file is read like any checkpoint: no code in it is run.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from keypoint.checkpoint.zoo import weights_file
from keypoint.errors import CheckpointError, ConfigError
from keypoint.models.weights.by_name import OWNER, find_by_name, near_name

FILE = "model.pt"
OF_A_RUN = "best.pt"
HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)
FILE_ENDINGS = (".pt", ".pth", ".tar", ".safetensors")
ALLOWED = (
    f"give a folder with {FILE} or a training run's {OF_A_RUN}, a name that keypoint weights "
    "lists, or user/name on the Hub"
)

OFFLINE = (
    "without a connection: --checkpoint FILE (Predictor.from_checkpoint), keypoint predict --onnx "
    "FILE (OnnxPredictor.from_file), or keypoint demo, which trains a small network"
)


def find_checkpoint(name_or_folder: str | Path, revision: str | None = None) -> Path:
    """Return the checkpoint file of a name, folder or repository; download it if necessary.

    Args:
        name_or_folder: An existing folder is taken first, then a name of the table. A `Path`, and
            a text that begins with a dot, a slash, ~ or an existing folder, or ends like a file
            name, is a local path and is never looked up on the Hub.
        revision: Branch, tag or commit of the repository; None for its main branch.

    Raises:
        ConfigError: It is none of these; a revision is given for something other than a repository;
            the Hub's client is not installed.
        CheckpointError: The weights cannot be downloaded; the folder holds no checkpoint, or two;
            the repository, the revision or the file does not exist, is not open to this user, or
            cannot be fetched.
    """
    folder = Path(name_or_folder).expanduser()
    if folder.is_dir():
        if revision is not None:
            raise ConfigError(
                f"revision={revision!r}: {folder} is a local folder without revisions; leave it out"
            )
        return _in_folder(folder)
    if folder.is_file():
        raise ConfigError(
            f"{folder}: is a file, for --checkpoint or Predictor.from_checkpoint; {ALLOWED}"
        )
    name = str(name_or_folder)
    published = None if isinstance(name_or_folder, Path) else find_by_name(name)
    if published is not None:
        if revision is not None:
            raise ConfigError(
                f"revision={revision!r}: {name} is a single file without revisions; leave it out"
            )
        try:
            return weights_file(published)
        except CheckpointError as error:
            raise CheckpointError(f"{error}\n  {OFFLINE}") from None
    if isinstance(name_or_folder, Path) or _is_path(name):
        raise CheckpointError(f"{name}: no such folder; {ALLOWED}")
    if name.startswith(OWNER) or not HUB_NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r}: is not a folder, a name of weights or a Hub repository; {ALLOWED}"
            f"{near_name(name)}"
        )
    return _from_hub(name, revision)


def _in_folder(folder: Path) -> Path:
    found = [folder / name for name in (FILE, OF_A_RUN) if (folder / name).is_file()]
    if len(found) == 1:
        return found[0]
    if found:
        raise CheckpointError(
            f"{folder}: has both {FILE} and {OF_A_RUN}; remove one, or give the one you mean to "
            "Predictor.from_checkpoint"
        )
    others = sorted(file.name for file in folder.glob("*.pt"))[:3]
    only = f", only {', '.join(others)} (for Predictor.from_checkpoint)" if others else ""
    raise CheckpointError(f"{folder}: contains neither {FILE} nor {OF_A_RUN}{only}; {ALLOWED}")


def _is_path(name: str) -> bool:
    """Return whether a text that names no existing folder was meant as a local path."""
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
    except Exception as error:  # the client's own errors, and those of its network libraries
        raise CheckpointError(f"{name}: {_reason(errors, error, revision)}") from None


def _reason(errors: Any, error: Exception, revision: str | None) -> str:
    """Return why the Hub gave no file, and what to do; the client's own messages are too long."""
    if isinstance(error, errors.GatedRepoError):
        return "is a gated repository; ask its owner for access, then run `hf auth login`"
    if isinstance(error, errors.RepositoryNotFoundError):
        return "no such repository, or a private one; check the name, or run `hf auth login`"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"has no revision {revision!r}; give one of its branches, tags or commits"
    if isinstance(error, errors.LocalEntryNotFoundError):
        return (
            f"the Hub does not answer, and {FILE} was not fetched before "
            f"({_first_line(error.__cause__ or error)}); check the connection, or give a folder"
        )
    if isinstance(error, errors.EntryNotFoundError):
        return (
            f"its repository contains no {FILE}; networks of this toolkit are published as {FILE}"
        )
    if isinstance(error, errors.HFValidationError):
        return f"is not a repository name of the Hub ({_first_line(error)}); {ALLOWED}"
    return (
        f"{FILE} cannot be fetched ({type(error).__name__}: {_first_line(error)}); try again, or "
        "give a folder"
    )


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "")[:200]
