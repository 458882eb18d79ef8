"""Find the image files of labelled pictures, or write them from videos and packages.

Label files name images by paths on another computer or a server, so a file is also searched by its
name below the input. A photo with an EXIF orientation is written upright, because labelling tools
show it upright and training does not turn images.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from keypoint.data.convert.labels import Labels, Picture
from keypoint.data.convert.readers.label_studio import upload_name
from keypoint.data.images.header import read_header
from keypoint.data.images.read import check_header
from keypoint.data.images.upright import read_upright
from keypoint.data.video import VideoReader
from keypoint.errors import ConfigError, DataError

MISSING = "images that are not found (give their folder with --images DIR)"
EXACT = 1000  # returned as the number of equal parts if the path itself exists
T = TypeVar("T")
SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "BMP": ".bmp", "WebP": ".webp"}


@dataclass
class Found:
    """A picture with its file, and (height, width) as the file has it."""

    picture: Picture
    file: Path
    image_size: tuple[int, int]


class Finder:
    """Finds files by the names that label files give.

    Args:
        roots: Folders to search, with their subfolders.
        ignore: A folder that is not searched: the output.
    """

    def __init__(self, roots: list[Path], ignore: Path | None = None) -> None:
        self.roots = roots
        self._ignore = ignore.absolute() if ignore is not None else None
        self._by_name: dict[str, list[Path]] | None = None

    def find(self, name: str) -> tuple[Path, int] | None:
        """Return the best match and its number of equal path parts; None if no match is unique.

        Args:
            name: Path with "/" between folders, on this computer or another.
        """
        for root in (Path(), *self.roots):
            if (root / name).is_file():
                return (root / name).absolute(), EXACT
        if self._by_name is None:
            self._by_name = {}
            for root in self.roots:
                for folder, _, names in os.walk(root):
                    if self._ignore in (Path(folder).absolute(), *Path(folder).absolute().parents):
                        continue
                    for there in names:
                        self._by_name.setdefault(_key(there), []).append(Path(folder) / there)
        for base in (Path(name).name, upload_name(name)):
            scores: dict[int, set[Path]] = {}
            for file in self._by_name.get(_key(base), []):
                wanted = (*Path(name).parts[:-1], base)
                scores.setdefault(_agreeing(file.parts, wanted), set()).add(file.absolute())
            if scores:
                best = max(scores)
                return (scores[best].pop(), best) if len(scores[best]) == 1 else None
        return None


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _agreeing(parts: tuple[str, ...], wanted: tuple[str, ...]) -> int:
    pairs = list(zip(reversed(parts), reversed(wanted), strict=False))
    return next((n for n, (a, b) in enumerate(pairs) if _key(a) != _key(b)), len(pairs))


class Writer:
    """Writes images into a folder, without overwriting another picture's image.

    Args:
        folder: Made with the first image.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.taken: set[Path] = set()

    def write(self, stem: str, suffix: str, data: bytes) -> Path:
        """Write a file under a name like `stem`, which may begin with a folder name.

        Raises:
            ConfigError: It cannot be written.
        """
        place = self.folder.joinpath(*map(_safe, Path(stem).parts))
        file, number = place.with_name(place.name + suffix), 1
        while file in self.taken:
            number += 1
            file = place.with_name(f"{place.name}_{number}{suffix}")
        self.taken.add(file)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        except OSError as error:
            raise ConfigError(
                f"{file}: cannot be written ({error.strerror}); give another --output"
            ) from None
        return file


def bring(labels: Labels, finder: Finder, folder: Path, bar: Any) -> list[Found]:
    """Find or write the image of each picture.

    Args:
        labels: Takes what is left out, by reason.
        finder: Finds files by name.
        folder: For images that have to be written; created when needed.
        bar: Progress, with `update`.

    Returns:
        The pictures that have an image, in order.
    """
    writer = Writer(folder)
    owner: dict[Path, tuple[int, Picture]] = {}
    inside: list[Picture] = []
    frames: dict[str, list[Picture]] = {}
    for picture in labels.pictures:
        match = finder.find(picture.name)
        if picture.content is not None and (match is None or match[1] < EXACT):
            inside.append(picture)
            continue
        if match is not None:
            _claim(picture, *match, owner, labels)
        elif picture.video is not None and picture.video[0]:
            frames.setdefault(picture.video[0], []).append(picture)
            continue
        else:
            labels.leave_out(MISSING, picture.name)
        bar.update()
    writer.taken |= set(owner)
    for picture in inside:
        _attempt(_unpack, picture, writer, labels)
        bar.update()
    for name, pictures in frames.items():
        _extract(labels, finder, name, pictures, writer, bar)
    found = [_attempt(_check, p, writer, labels) for p in labels.pictures if p.file is not None]
    return [image for image in found if image is not None]


def _claim(
    picture: Picture, file: Path, score: int, owner: dict[Path, tuple[int, Picture]], labels: Labels
) -> None:
    """Assign a file to the picture whose path matches it best."""
    before = owner.get(file)
    if before is not None and before[0] >= score:
        reason = "pictures whose image another picture has"
        labels.leave_out(reason, f"{picture.name}: {file}")
        return
    if before is not None:
        before[1].file = None
        labels.leave_out(MISSING, before[1].name)
    owner[file], picture.file = (score, picture), file


def _attempt(
    act: Callable[[Picture, Writer], T], picture: Picture, writer: Writer, labels: Labels
) -> T | None:
    """Run a step that may find an image unusable, and count that."""
    try:
        return act(picture, writer)
    except DataError as error:
        picture.file = None
        labels.leave_out("images that cannot be used", f"{picture.name}: {error}")
        return None


def _check(picture: Picture, writer: Writer) -> Found:
    """Compare a file's size with that in the label file, and turn a photo upright."""
    file = picture.file
    assert file is not None
    header = check_header(file)
    stored = header.image_size
    if stored is None:
        raise DataError(f"{file}: its header has no size; use another copy")
    shown = stored[::-1] if header.orientation >= 5 else stored
    as_stored = picture.image_size == stored != shown
    if header.orientation != 1 and not as_stored:
        image, _ = read_upright(file)
        shown = (image.shape[0], image.shape[1])
        file = writer.write(f"{file.stem}_upright", ".png", _png(image))
    size = stored if as_stored else shown
    if picture.image_size is not None and picture.image_size != size and not picture.relative:
        height, width = picture.image_size
        raise DataError(
            f"{file} is {size[1]} x {size[0]} pixels (width x height), "
            f"labelled at {width} x {height}"
        )
    return Found(picture, file.absolute(), size)


def _unpack(picture: Picture, writer: Writer) -> None:
    """Write an image that is stored in the label file."""
    assert picture.content is not None
    content = picture.content()
    if isinstance(content, bytes):
        header = read_header(content)
        if header is None:
            raise DataError(f"{picture.name}: the stored image is not a JPEG, PNG, BMP or WebP")
        suffix, data = SUFFIXES[header.form], content
    else:
        suffix, data = ".png", _png(content)
    picture.file = writer.write(Path(picture.name).stem, suffix, data)


def _extract(
    labels: Labels,
    finder: Finder,
    name: str,
    pictures: list[Picture],
    writer: Writer,
    bar: Any,
) -> None:
    """Write the labelled frames of a video as PNG."""
    match = finder.find(name)
    wanted = {picture.video[1]: picture for picture in pictures if picture.video}
    stem = Path(name).stem
    try:
        if match is None:
            raise DataError(f"{name}: no such video; give its folder with --images DIR")
        with VideoReader(match[0]) as reader:
            for number, frame in enumerate(reader):
                picture = wanted.pop(number, None)
                if picture is not None:
                    picture.file = writer.write(f"{stem}/{stem}_{number:06d}", ".png", _png(frame))
                    bar.update()
                if not wanted:
                    break
        reason = "the video ends before it"
    except DataError as error:
        reason = str(error)
    for number in wanted:
        labels.leave_out("frames that cannot be read", f"{name} frame {number}: {reason}")
        bar.update()


def _safe(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name) or "image"


def _png(image: NDArray[np.uint8]) -> bytes:
    """Encode (H, W, 3) RGB or (H, W, 1)."""
    stored = image[..., ::-1] if image.ndim == 3 and image.shape[2] == 3 else image
    done, data = cv2.imencode(".png", stored)
    assert done, f"{image.shape} {image.dtype}"
    return data.tobytes()
