"""Download, check, unpack and count COCO's archives; files of the user are kept.

Source: cocodataset.org, "Download", for addresses and numbers of images. It publishes neither sizes
nor checksums; those here agree between independent projects (checksums: PaddleDetection, Avalanche;
sizes: TensorFlow Datasets). zipfile also checks the CRC of every file that it unpacks.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import stat
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from keypoint.data.download.fetch import CHUNK, byte_progress, check_space, fetch, move_aside
from keypoint.errors import DataError

logger = logging.getLogger(__name__)

BASE_URL = "http://images.cocodataset.org"
NOT_A_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


@dataclass(frozen=True)
class Archive:
    """A zip file of COCO.

    Attributes:
        path: On the server, below the base address.
        size: Bytes.
        md5: Checksum of the whole file.
        pattern: Glob pattern of the files to count after unpacking.
        files: Number of these files.
    """

    path: str
    size: int
    md5: str
    pattern: str
    files: int

    @property
    def name(self) -> str:
        """The file's name."""
        return PurePosixPath(self.path).name

    def count(self, folder: Path) -> int:
        """Number of the archive's files in a folder."""
        return sum(1 for _ in folder.glob(self.pattern))

    def space_needed(self, folder: Path) -> int:
        """Approximate number of bytes that `obtain` will write: JPEGs do not shrink in an archive.

        0 if the zip file exists; `unpack` then computes the exact number.
        """
        if (folder / self.name).exists() or self.count(folder) >= self.files:
            return 0
        part = folder / f"{self.name}.part"
        return 2 * self.size - (part.stat().st_size if part.exists() else 0)


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
    size=1_144_034,
    md5="85da7065e5e600ebfee8af1edb634eb5",
    pattern="annotations/image_info_test*2017.json",
    files=2,
)
SPLITS = {
    "train": (ANNOTATIONS, TRAIN),
    "val": (ANNOTATIONS, VAL),
    "test": (TEST_INFO, TEST),
}


def obtain(archive: Archive, folder: Path, base_url: str = BASE_URL) -> None:
    """Download and unpack an archive; finished steps are not repeated.

    Args:
        archive: The archive.
        folder: An existing folder for the zip file and the files in it.
        base_url: Address of the server or a mirror.

    Raises:
        DataError: The archive cannot be downloaded, is damaged, or does not contain the expected
            files.
    """
    zip_file = folder / archive.name
    if not zip_file.exists() and archive.count(folder) >= archive.files:
        logger.info("%s: its files are already in %s", archive.name, folder)
        return
    if zip_file.is_file() and zip_file.stat().st_size != archive.size:
        aside = move_aside(zip_file)
        logger.warning(
            "%s: %d bytes instead of %s; moved to %s, downloading it again",
            zip_file, aside.stat().st_size, archive.size, aside.name,
        )  # fmt: skip
    if not zip_file.is_file():
        fetch(f"{base_url.rstrip('/')}/{archive.path}", zip_file, archive.size)
    found = _md5(zip_file)
    if found != archive.md5:
        aside = move_aside(zip_file)
        raise DataError(
            f"{zip_file}: its MD5 is {found} instead of {archive.md5}; moved to {aside.name}. "
            "Run the command again to download it again"
        )
    unpacked, there = unpack(zip_file, folder)
    number = archive.count(folder)
    logger.info(
        "%s: %d files unpacked, %d existed already; %s: %d files",
        archive.name, unpacked, there, archive.pattern, number,
    )  # fmt: skip
    if number < archive.files:
        raise DataError(
            f"{folder / archive.pattern}: {number} files, COCO has {archive.files}; "
            f"{zip_file.name} is not COCO's archive"
        )


def unpack(zip_file: Path, folder: Path) -> tuple[int, int]:
    """Unpack the files that do not exist yet; each is written whole or not at all, its CRC checked.

    Args:
        zip_file: The archive.
        folder: The folder to unpack into; nothing is written outside.

    Returns:
        How many files were unpacked, and how many existed with the right size.

    Raises:
        DataError: The file is not a zip file, is damaged or has a path that points outside the
            folder; a file cannot be written; or files of another size exist, which are kept.
    """
    try:
        with zipfile.ZipFile(zip_file) as archive:
            targets = {
                _target(member, folder, zip_file): member
                for member in archive.infolist()
                if not member.is_dir()
            }
            missing = {t: member for t, member in targets.items() if not t.exists()}
            wrong = [
                str(target)
                for target, member in targets.items()
                if target not in missing
                and not (target.is_file() and target.stat().st_size == member.file_size)
            ]
            total, done = sum(member.file_size for member in missing.values()), 0
            folder.mkdir(parents=True, exist_ok=True)
            check_space(folder, total)
            with byte_progress(f"unpack {zip_file.name}", total) as show:
                for target, member in missing.items():
                    _extract(archive, member, target)
                    show(done := done + member.file_size)
    except NOT_A_ZIP as error:
        raise DataError(
            f"{zip_file}: damaged or not a zip file ({error}); move it away and run the command "
            "again"
        ) from None
    except OSError as error:
        raise DataError(
            f"{error.filename or zip_file}: cannot be read or written ({error.strerror}); free "
            "some space, move away the existing file, or choose another folder"
        ) from None
    if wrong:
        raise DataError(
            f"{len(wrong)} files exist with another size than in {zip_file.name} and were kept "
            f"unchanged: {', '.join(wrong[:3])} ..; move them away and run the command again"
        )
    return len(missing), len(targets) - len(missing)


def _target(member: zipfile.ZipInfo, folder: Path, zip_file: Path) -> Path:
    """Return the path of a member's file."""
    path = PurePosixPath(member.filename.replace("\\", "/"))
    odd = path.is_absolute() or ".." in path.parts or ":" in member.filename
    if odd or stat.S_ISLNK(member.external_attr >> 16):
        raise DataError(
            f"{zip_file}: {member.filename!r} points outside the folder or is a link; nothing was "
            "unpacked: this is not COCO's archive"
        )
    return folder / path


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.part")
    try:
        with archive.open(member) as source, unfinished.open("wb") as file:
            shutil.copyfileobj(source, file, CHUNK)  # the CRC is checked at its end
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


def _md5(path: Path) -> str:
    digest, done = hashlib.md5(usedforsecurity=False), 0
    with path.open("rb") as file, byte_progress(f"check {path.name}", path.stat().st_size) as show:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            show(done := done + len(chunk))
    return digest.hexdigest()
