"""The split files of UCF101 and HMDB51.

UCF101 (ucfTrainTestlist): classInd.txt numbers the classes from 1; trainlist0k.txt has
`Class/v_Class_gXX_cYY.avi number`, testlist0k.txt the path alone. HMDB51
(testTrainMulti_7030_splits): each class has a file CLASS_test_splitk.txt with `name.avi 1` for
training, 2 for testing and 0 for neither; `*_test_splitk.txt` stands for all of them. Both have
three splits; their published accuracy is the mean of the three.
"""

from __future__ import annotations

from pathlib import Path

from keypoint.action.data.lists.classes import read_classes, read_lines
from keypoint.action.data.lists.entries import Entry, Listing, Part
from keypoint.errors import DataError

UCF_CLASSES = "classInd.txt"
UCF_LISTS = ("trainlist", "testlist")
HMDB_LISTS = "*_test_split"
HMDB_USE = {"train": "1", "val": "2"}


def is_ucf(source: Path) -> bool:
    """Return whether a list is one of UCF101's, with its class file."""
    return source.name.startswith(UCF_LISTS) and (source.parent / UCF_CLASSES).is_file()


def is_hmdb(source: Path) -> bool:
    """Return whether a name stands for all lists of an HMDB51 split."""
    return source.name.startswith(HMDB_LISTS)


def split_files_in(folder: Path) -> str | None:
    """Return the name to give instead of a folder of split files; None if there are none in it."""
    if (folder / UCF_CLASSES).is_file():
        return f"{folder.name}/trainlist01.txt and {folder.name}/testlist01.txt"
    if next(folder.glob(f"{HMDB_LISTS}*"), None) is not None:
        return f"'{folder.name}/{HMDB_LISTS}1.txt' for both, with the asterisk"
    return None


def read_ucf(source: Path, root: Path) -> Listing:
    """Read a list of UCF101.

    The class is the folder of the video; the number in a training list must agree with it.

    Raises:
        DataError: The list or the class file cannot be read.
    """
    classes = read_classes(source.parent / UCF_CLASSES)
    listing = Listing(source, root, classes=classes)
    for number, line in enumerate(read_lines(source, "videos"), 1):
        if not line.strip():
            continue
        name, *rest = line.split()
        label, place = name.split("/")[0], f"line {number}"
        if rest and label in classes and rest != [str(classes.index(label) + 1)]:
            text = f"{name} has the number {rest[0]}, but {label} is {classes.index(label) + 1} in "
            listing.refuse(place, f"{text}{UCF_CLASSES}; use the list and classes of one source")
        else:
            listing.entries.append(Entry(name, label, place))
    return listing


def read_hmdb(source: Path, root: Path, part: Part) -> Listing:
    """Read one split of HMDB51, with videos in a folder for each class.

    Args:
        source: FOLDER/*_test_split1.txt, with the asterisk.
        root: The folder of the classes' folders.
        part: "train" or "val".

    Raises:
        DataError: There are no such files.
    """
    files = sorted(source.parent.glob(source.name))
    if not files:
        raise DataError(f"{source}: no file matches; check the folder (splits are 1, 2 and 3)")
    end = len(source.name) - 1
    listing = Listing(source, root, classes=tuple(sorted(file.name[:-end] for file in files)))
    for file in files:
        label = file.name[:-end]
        for number, line in enumerate(read_lines(file, "videos"), 1):
            words = line.split()
            place = f"{file.name} line {number}"
            if not words:
                continue
            if len(words) != 2 or words[1] not in ("0", "1", "2"):
                listing.refuse(place, f"{line.strip()!r} is not `name.avi 0`, 1 or 2")
            elif words[1] == "0":
                listing.skipped["in neither part of this split"] += 1
            elif words[1] == HMDB_USE[part]:
                listing.entries.append(Entry(f"{label}/{words[0]}", label, place))
            else:
                listing.skipped["of the other part"] += 1
    return listing
