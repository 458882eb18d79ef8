"""Images and videos given on a command line: files, folders, patterns and cameras.

Every file is counted: other files in a folder are left out, and files that should be images but
cannot be (a broken link, a folder named a.jpg) are faults. No file is opened here.
"""

from __future__ import annotations

import glob
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from keypoint.data.notes import in_number
from keypoint.data.report import Fault
from keypoint.errors import ConfigError, DataError, printable

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
# Images in unsupported formats. In a folder they are faults, and not left out like a text file,
# because a user with .heic photos must notice.
OTHER_SUFFIXES = (
    ".gif",
    ".tif",
    ".tiff",
    ".heic",
    ".heif",
    ".avif",
    ".jp2",
    ".jfif",
    ".jpe",
    ".jxl",
)
VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".3gp", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".mts"),
    *(".m2ts", ".wmv", ".flv", ".ogv"),
)


@dataclass(frozen=True)
class Input:
    """A file to read, or a camera.

    Attributes:
        path: Path of the file, from the command line.
        name: Path relative to the given folder, with "/"; for a given file, its base name.
        is_video: True for a video (by its suffix) and for a camera.
        camera: Number of the camera; None for a file.
        image_id: From the annotations; None to number images and frames in their order.
        image_size: (height, width) from the annotations; None to turn the image upright.
        in_folder: True for a file that was found in a given folder.
    """

    path: Path
    name: str
    is_video: bool
    camera: int | None = None
    image_id: int | None = None
    image_size: tuple[int, int] | None = None
    in_folder: bool = False


@dataclass
class Inputs:
    """All files: files = found + left out + faults.

    Attributes:
        found: Inputs in the order of the arguments; files of a folder by name.
        left_out: Files in folders that are not inputs, counted by reason.
        faults: Files that should be inputs but cannot be.
    """

    found: list[Input] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)


def find_inputs(arguments: Sequence[str], output: Path, made: Sequence[str] = ()) -> Inputs:
    """Find images and videos.

    Args:
        arguments: Each a file (an image unless it has the suffix of a video), a folder (with its
            subfolders; hidden ones are left out), or a pattern of files and folders with * ? [ ];
            or a single `camera` or `camera:1` for the first or second camera.
        output: Folder of the results; never searched.
        made: Names of its subfolders for pictures; never searched.

    Raises:
        ConfigError: An argument is a URL or the output folder.
        DataError: A file does not exist, a pattern matches nothing, or there is no image or video.
    """
    for argument in arguments:
        if re.match(r"[a-z][a-z0-9+.-]+:/", argument, re.IGNORECASE):
            raise ConfigError(
                f"{printable(argument)}: URLs are not downloaded; give files on this machine"
            )
    inputs, seen = Inputs(), set[str]()
    missing = []
    for argument in arguments:
        camera = _camera(argument)
        if camera is not None:
            if len(arguments) > 1:
                raise ConfigError(
                    f"{argument}: a camera must be the only input; predict on the others with "
                    f"another command (for a file of this name give ./{argument})"
                )
            inputs.found.append(Input(Path(argument), argument, True, camera))
            return inputs
        paths, is_pattern = _expand(argument)
        if not paths:
            missing.append(
                f"{printable(argument)}: no such file or folder, and no match as a pattern"
            )
        for path in paths:
            if _same(path, output):
                if not is_pattern:
                    raise ConfigError(
                        f"{printable(argument)}: is the --output folder, whose files are never "
                        "inputs; give another --output"
                    )
                inputs.left_out["in the output folder"] += 1
            elif own := [output / name for name in made if _is_inside(path, output / name)]:
                raise ConfigError(
                    f"{printable(argument)}: is in {printable(own[0])}, the folder for pictures of "
                    "this --output; give another --output"
                )
            elif path.is_dir():
                for file, name in _walk(path, "", output, inputs):
                    _add(inputs, seen, file, name, in_folder=True)
            else:
                _add(inputs, seen, path, path.name, in_folder=False)
    if missing:
        raise DataError.of_many(in_number(len(missing), "inputs are missing"), missing)
    if not inputs.found and not inputs.faults:
        reasons = ", ".join(f"{count} {reason}" for reason, count in inputs.left_out.items())
        raise DataError(
            f"{', '.join(map(printable, arguments))}: no image or video in it or its subfolders "
            f"({reasons or 'it is empty'}); images are {', '.join(IMAGE_SUFFIXES)}, videos "
            f"{', '.join(VIDEO_SUFFIXES)}"
        )
    return inputs


def _camera(argument: str) -> int | None:
    """Return the number of the camera that an argument names; None if it names files."""
    match = re.fullmatch(r"camera(?::([0-9]{1,3}))?", argument)
    if match is None or os.path.lexists(argument):
        return None
    return int(match[1] or 0)


def _expand(argument: str) -> tuple[list[Path], bool]:
    """Return the paths that an argument names, and whether it is a pattern.

    The name of an existing file is never a pattern.
    """
    if os.path.lexists(argument):
        return [Path(argument)], False
    if not glob.has_magic(argument):
        return [], False
    return [Path(match) for match in sorted(glob.glob(argument, recursive=True))], True  # noqa: PTH207 (Path.glob takes no absolute pattern)


def _walk(folder: Path, name: str, output: Path, inputs: Inputs) -> Iterator[tuple[Path, str]]:
    """Return the files of a folder and its subfolders that may be inputs; count the others."""
    try:
        with os.scandir(folder) as listed:
            entries = sorted(listed, key=lambda entry: entry.name)
    except OSError as error:
        text = f"{printable(folder)}: the folder cannot be listed ({error.strerror})"
        inputs.faults.append(Fault(printable(folder), text, "folder", file=str(folder)))
        return
    for entry in entries:
        path, below = folder / entry.name, name + entry.name
        suffix = path.suffix.lower()
        is_named_so = suffix in (*IMAGE_SUFFIXES, *OTHER_SUFFIXES, *VIDEO_SUFFIXES)
        if entry.name.startswith("."):
            inputs.left_out["hidden"] += 1
        elif entry.is_dir() and not is_named_so:
            if _same(path, output):
                inputs.left_out["in the output folder"] += 1
            elif entry.is_symlink():  # may point to a parent folder
                inputs.left_out["links to folders"] += 1
            else:
                yield from _walk(path, below + "/", output, inputs)
        elif not is_named_so:
            inputs.left_out["not an image or video"] += 1
        else:
            yield path, below


def _add(inputs: Inputs, seen: set[str], path: Path, name: str, *, in_folder: bool) -> None:
    """Add a path as an input, or report why it cannot be one."""
    # Links are not resolved, because users sort photos with links.
    key = os.path.abspath(path)  # noqa: PTH100 (Path.absolute keeps "..")
    if key in seen:
        inputs.left_out["given twice"] += 1
        return
    seen.add(key)
    fault = _kind_fault(path)
    if fault:
        text = f"{printable(path)}: cannot be read ({fault}); give a file"
        inputs.faults.append(Fault(printable(path), text, "not a file", file=str(path)))
    else:
        is_video = path.suffix.lower() in VIDEO_SUFFIXES
        inputs.found.append(Input(path, name, is_video, in_folder=in_folder))


def _kind_fault(path: Path) -> str | None:
    """Return why a path is not a regular file, or None; opening a pipe would wait forever."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "a broken link" if path.is_symlink() else "no such file"
    except OSError as error:
        return error.strerror
    if stat.S_ISDIR(mode):
        return "a folder with the name of a file"
    return None if stat.S_ISREG(mode) else "neither a file nor a folder"


def _same(path: Path, other: Path) -> bool:
    return path.exists() and other.exists() and path.samefile(other)


def _is_inside(path: Path, folder: Path) -> bool:
    place = path.resolve()
    return folder.resolve() in (place, *place.parents)
