"""Class names and their order, from the config, a file next to the list, or the list itself.

The order of integer labels is never guessed: in mmaction2's files Kinetics' classes are numbered
alphabetically, in those of video-nonlocal-net they are not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from keypoint.errors import DataError, printable
from keypoint.files import read_json

# Names of class files next to a list: the user's own, mmaction2's, UCF101's, Something's.
BESIDE = ("classes.txt", "label_map*.txt", "classInd.txt", "*labels.json")
NUMBERED = re.compile(r"(\d+)\s+(\S.*)")


def read_classes(file: Path) -> tuple[str, ...]:
    """Read a file of class names.

    Text: one name per line; or `number name`, numbers from 0 or from 1 (UCF101's classInd.txt).
    JSON: a list of names, or {name: index} (Something-Something's labels.json; Kinetics' class
    ids).

    Raises:
        DataError: It is not such a file, or a name or number is missing or repeated.
    """
    if file.suffix.lower() == ".json":
        content = read_json(file, "class names")
        if isinstance(content, dict):
            return _by_number(file, [(str(index), name) for name, index in content.items()])
        if isinstance(content, list) and all(isinstance(name, str) for name in content):
            return _checked(file, content)
        raise DataError(
            f"{file}: neither a list of class names nor {{name: index}}; give one of them"
        )
    lines = [line.strip() for line in read_lines(file, "class names") if line.strip()]
    numbered = [NUMBERED.fullmatch(line) for line in lines]
    if lines and all(numbered):
        return _by_number(file, [(found[1], found[2]) for found in numbered if found])
    return _checked(file, lines)


def read_lines(file: Path, what: str) -> list[str]:
    """Return the lines of a text file in UTF-8, with or without a byte order mark.

    Raises:
        DataError: It is missing or not a text file.
    """
    try:
        return file.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise DataError(f"{file}: not a text file in UTF-8; give a file of {what}") from None
    except OSError as error:
        raise DataError(
            f"{file}: cannot read the {what} ({error.strerror}); check the path"
        ) from None


def classes_beside(source: Path) -> tuple[str, ...] | None:
    """Return the classes of the file next to a list; None if there is none.

    Raises:
        DataError: There are several that differ, or it cannot be read.
    """
    files = [file for form in BESIDE for file in sorted(source.parent.glob(form)) if file != source]
    found = [read_classes(file) for file in files]
    if len(set(found)) > 1:
        names = ", ".join(file.name for file in files)
        raise DataError(f"{source}: {names} next to it differ; give one as data.classes")
    return found[0] if found else None


def given_classes(classes: Sequence[str] | str | Path | None, root: Path) -> tuple[str, ...] | None:
    """Return the classes of a config: names, or a file with a path relative to `root`.

    Raises:
        DataError: The file cannot be read, or a name is empty or repeated.
    """
    if classes is None:
        return None
    if isinstance(classes, str | Path):
        return read_classes(root / classes)
    return _checked(Path("data.classes"), classes)


def _by_number(file: Path, pairs: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """Return names in the order of their numbers."""
    if not all(number.isdecimal() for number, _ in pairs):
        raise DataError(f"{file}: an index is not a whole number; give {{name: index}}")
    ordered = sorted((int(number), name.strip().strip('"')) for number, name in pairs)
    numbers = [number for number, _ in ordered]
    first = numbers[0] if numbers else 0
    if first not in (0, 1) or numbers != list(range(first, first + len(numbers))):
        raise DataError(
            f"{file}: its {len(numbers)} class numbers from {first} to {numbers[-1]} have gaps or "
            "repeat; number the classes from 0 or from 1, each once"
        )
    return _checked(file, [name for _, name in ordered])


def _checked(file: Path, names: Sequence[str]) -> tuple[str, ...]:
    if not names:
        raise DataError(f"{file}: has no class names; give one per line")
    bad = sorted({name for name in names if not name.strip() or names.count(name) > 1})
    if bad:
        raise DataError(
            f"{file}: class name {printable(bad[0])!r} is empty or repeated; correct it"
        )
    return tuple(names)
