"""Files of the named weights: downloaded once, checked, kept in the user's cache folder.

    KEYPOINT_HOME, else XDG_CACHE_HOME/keypoint, else ~/Library/Caches/keypoint (macOS) or
    ~/.cache/keypoint; the files are in `weights` below it, under their publisher's names

A file is used only if its SHA-256 begins with the hash in its name. This also holds for a file that
a user put there. A file with another hash is moved aside, never deleted.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from keypoint.data.download.fetch import fetch, move_aside
from keypoint.errors import CheckpointError, ConfigError, DataError
from keypoint.files import make_folders, remove_empty, sha256_of
from keypoint.models.weights.by_name import Published, find_by_name

logger = logging.getLogger(__name__)

HOME = "KEYPOINT_HOME"


def weights_folder() -> Path:
    """Return the folder of the downloaded files, which may not exist yet.

    Raises:
        ConfigError: No environment variable names a folder, and this user has no home folder.
    """
    given = os.environ.get(HOME)
    caches = os.environ.get("XDG_CACHE_HOME", "")
    try:
        if given:
            home = Path(given).expanduser()
        elif Path(caches).is_absolute():
            home = Path(caches) / "keypoint"
        elif sys.platform == "darwin":
            home = Path.home() / "Library" / "Caches" / "keypoint"
        else:
            home = Path.home() / ".cache" / "keypoint"
    except RuntimeError:
        raise ConfigError(
            f"{HOME}={given or ''}: this user has no home folder; set {HOME} to a folder for "
            "downloaded weights"
        ) from None
    return home / "weights"


def local_file(published: Published) -> Path | None:
    """Return the downloaded file if there is one; its hash is not checked."""
    path = weights_folder() / published.file
    return path if path.is_file() else None


def weights_file(published: Published) -> Path:
    """Return the file of a row of the table; it is downloaded at the first use.

    If several processes need it, one downloads it and the others wait.

    Raises:
        CheckpointError: It cannot be downloaded or written; the text names the folder into which
            a user can copy the file.
    """
    path = weights_folder() / published.file
    made: list[Path] = []
    try:
        if path.is_file():
            if sha256_of(path).startswith(published.sha256):
                return path
            aside = move_aside(path)
            logger.warning(
                "%s: its SHA-256 does not begin with %s; moved to %s, downloading it again",
                path, published.sha256, aside.name,
            )  # fmt: skip
        made = make_folders(path.parent)
        logger.info("%s: downloading it to %s", published.address, path.parent)
        fetch(published.address, path, sha256=published.sha256)
    except (DataError, OSError) as error:
        remove_empty(made)
        problem = str(error)
        if not isinstance(error, DataError):
            problem = f"{error.filename or path}: cannot be read or written ({error.strerror})"
        raise CheckpointError(
            f"{published.name}: {problem}\n  or download {published.file} yourself into "
            f"{path.parent}; to use another folder than {path.parents[1]}, set {HOME}"
        ) from None
    return path


def named_weights(given: str | None) -> str | None:
    """Return `model.weights` of a config with the name of a row replaced by its file.

    Raises:
        CheckpointError: The file cannot be downloaded.
    """
    published = None if given is None or Path(given).is_file() else find_by_name(given)
    return given if published is None else str(weights_file(published))
