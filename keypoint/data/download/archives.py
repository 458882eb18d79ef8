"""COCO's archives: fetched, checked, unpacked and counted; what the user has stays.

Source: cocodataset.org, "Download", for addresses and numbers of images. It publishes neither sizes
nor check sums: the ones here are those that many independent projects pin alike (PaddleDetection
and Avalanche among them). Besides, zipfile checks the CRC of every file that is unpacked.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from keypoint.data.download.fetch import Progress, check_space, fetch
from keypoint.errors import DataError

logger = logging.getLogger(__name__)

BASE_URL = "http://images.cocodataset.org"
CHUNK = 1 << 20


@dataclass(frozen=True)
class Archive:
    """A zip file of COCO.

    Attributes:
        path: On the server, below the base address.
        size: Bytes; None: as many as the server announces.
        md5: Of the whole file; None: not known.
        pattern: Of the files that it unpacks into, for counting.
        files: Their number.
    """

    path: str
    size: int | None
    md5: str | None
    pattern: str
    files: int

    @property
    def name(self) -> str:
        """The file's name."""
        return PurePosixPath(self.path).name


TRAIN = Archive(
    path="zips/train2017.zip",
    size=19_336_861_798,
    md5="cced6f7f71b7629ddf16f17bbcfab6b2",
    pattern="train2017/*.jpg",
    files=118_287,
)
VAL = Archive(
    path="zips/val2017.zip",
    size=815_585_330,
    md5="442b8da7639aecaf257c1dceb8ba8c80",
    pattern="val2017/*.jpg",
    files=5_000,
)
TEST = Archive(
    path="zips/test2017.zip",
    size=6_646_970_404,
    md5="77ad2c53ac5d0aea611d422c0938fb35",
    pattern="test2017/*.jpg",
    files=40_670,
)
ANNOTATIONS = Archive(
    path="annotations/annotations_trainval2017.zip",
    size=252_907_541,
    md5="f4bbac642086de4f52a3fdda2de5fa2c",
    pattern="annotations/person_keypoints_*2017.json",
    files=2,
)
TEST_INFO = Archive(
    path="annotations/image_info_test2017.zip",
    size=None,
    md5="85da7065e5e600ebfee8af1edb634eb5",
    pattern="annotations/image_info_test*2017.json",
    files=2,
)
SPLITS = {
    "train": (ANNOTATIONS, TRAIN),
    "val": (ANNOTATIONS, VAL),
    "test": (TEST_INFO, TEST),
}
Meter = Callable[[str], AbstractContextManager[Progress]]


def obtain(
    archive: Archive,
    folder: Path,
    *,
    base_url: str = BASE_URL,
    meter: Meter | None = None,
    wait: float = 1.0,
) -> None:
    """Have an archive's files in a folder; does only what is not done yet.

    Args:
        archive: Which.
        folder: Gets the zip file and, beside it, what is in it.
        base_url: Of the server or a mirror.
        meter: From a text to a context that gives a progress callback (bytes so far, in all).
        wait: See `fetch`.

    Raises:
        DataError: It cannot be fetched, is not what it should be, or holds other files than it
            should.
    """
    meter = meter or _silent
    zip_file = folder / archive.name
    if zip_file.is_dir():
        raise DataError(f"{zip_file}: is a folder, no archive; move it away or choose another root")
    if not zip_file.exists() and count(archive, folder) >= archive.files:
        logger.info("%s: its files are in %s already", archive.name, folder)
        return
    if zip_file.exists() and archive.size not in (None, zip_file.stat().st_size):
        aside = _move_aside(zip_file)
        logger.warning(
            "%s: %d bytes in place of %s; moved to %s, fetching it again",
            zip_file, aside.stat().st_size, archive.size, aside.name,
        )  # fmt: skip
    if not zip_file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with meter(f"download {archive.name}") as progress:
            url = f"{base_url.rstrip('/')}/{archive.path}"
            fetch(url, zip_file, size=archive.size, progress=progress, wait=wait)
    if archive.md5 is None:
        logger.info("%s: no check sum known; size and each file's CRC are checked", zip_file)
    else:
        with meter(f"check {archive.name}") as progress:
            found = _md5(zip_file, progress)
        if found != archive.md5:
            aside = _move_aside(zip_file)
            raise DataError(
                f"{zip_file}: its MD5 is {found}, it should be {archive.md5}; moved to "
                f"{aside.name}. Run the command again to fetch it anew"
            )
    with meter(f"unpack {archive.name}") as progress:
        unpacked, there = unpack(zip_file, folder, progress)
    number = count(archive, folder)
    logger.info(
        "%s: %d files unpacked, %d were there; %s: %d files",
        archive.name, unpacked, there, archive.pattern, number,
    )  # fmt: skip
    if number < archive.files:
        raise DataError(
            f"{folder / archive.pattern}: {number} files, COCO has {archive.files}; "
            f"{zip_file.name} is another archive than COCO's"
        )
    if number > archive.files:
        logger.warning("%s: %d files more than COCO has", folder, number - archive.files)


def space_needed(archive: Archive, folder: Path) -> int:
    """Bytes that `obtain` will still write, about: unpacked, JPEGs are as large as in the archive.

    0 where the archive is there; what is left to unpack is then known exactly by `unpack`.
    """
    size = archive.size or 0
    if (folder / archive.name).exists() or count(archive, folder) >= archive.files:
        return 0
    part = folder / f"{archive.name}.part"
    return 2 * size - (part.stat().st_size if part.exists() else 0)


def count(archive: Archive, folder: Path) -> int:
    """How many of an archive's files are in a folder."""
    return sum(1 for _ in folder.glob(archive.pattern))


def unpack(zip_file: Path, folder: Path, progress: Progress | None = None) -> tuple[int, int]:
    """Unpack what is not there yet; each file appears whole or not at all, with its CRC checked.

    Args:
        zip_file: The archive.
        folder: Where to; nothing is written outside.
        progress: Called with the bytes so far and in all.

    Returns:
        How many files were unpacked, and how many were there before with the right size.

    Raises:
        DataError: No zip file, a damaged one, one that leads outside the folder, a place that
            cannot be written, or files of another size in the way; those are left as they are.
    """
    try:
        with zipfile.ZipFile(zip_file) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            targets = [_target(member, folder, zip_file) for member in members]
            missing = [not target.exists() for target in targets]
            needed = sum(m.file_size for m, new in zip(members, missing, strict=True) if new)
            folder.mkdir(parents=True, exist_ok=True)
            check_space(folder, needed)
            total, done = sum(member.file_size for member in members), 0
            in_the_way = []
            for member, target, new in zip(members, targets, missing, strict=True):
                if new:
                    _extract(archive, member, target)
                elif not target.is_file() or target.stat().st_size != member.file_size:
                    in_the_way.append(str(target))
                done += member.file_size
                if progress is not None:
                    progress(done, total)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(
            f"{zip_file}: damaged or no zip file ({error}); move it away and run the command again"
        ) from None
    except OSError as error:  # a name that is too long, a folder that is a file or closed
        raise DataError(
            f"{error.filename or zip_file}: cannot be read or made ({error.strerror}); move away "
            "what is there, or choose another folder"
        ) from None
    if in_the_way:
        raise DataError(
            f"{len(in_the_way)} files are there with another size than in {zip_file.name} and were "
            f"left as they are: {', '.join(in_the_way[:3])} ..; move them away and run it again"
        )
    return sum(missing), len(missing) - sum(missing)


def _target(member: zipfile.ZipInfo, folder: Path, zip_file: Path) -> Path:
    """Where a member goes."""
    path = PurePosixPath(member.filename.replace("\\", "/"))
    odd = path.is_absolute() or ".." in path.parts or ":" in member.filename
    if odd or stat.S_ISLNK(member.external_attr >> 16):
        raise DataError(
            f"{zip_file}: {member.filename!r} leads outside the folder or is a link; nothing was "
            "unpacked: this is no archive of COCO's"
        )
    return folder / path


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    unfinished = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(member) as source, unfinished.open("wb") as file:
            shutil.copyfileobj(source, file, CHUNK)  # the CRC is checked at its end
        unfinished.replace(target)
    except OSError as error:
        raise DataError(
            f"{target}: cannot be written ({error.strerror}); free some space, move away what "
            "stands in its place, or choose another folder"
        ) from None
    finally:
        with suppress(OSError):  # it may not be there, nor its folder
            unfinished.unlink()


def _md5(path: Path, progress: Progress) -> str:
    digest, done, total = hashlib.md5(usedforsecurity=False), 0, path.stat().st_size
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            done += len(chunk)
            progress(done, total)
    return digest.hexdigest()


def _move_aside(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged{number}")).exists():
        number += 1
    return path.rename(aside)


def _silent(_: str) -> AbstractContextManager[Progress]:
    return nullcontext(lambda done, total: None)
