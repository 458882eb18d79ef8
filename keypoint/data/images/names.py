"""Find file names that differ from the files only in form: separators, Unicode, case.

Annotations written on Windows have backslashes, macOS decomposes accents (NFD), and some file
systems ignore case. Then the files exist but are not found by their names. The cause is the same
for all of them, so it is reported once.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

MOST_FOLDERS = 100  # subfolders of the image folder searched for names without a folder


@dataclass(frozen=True)
class NameForm:
    """Names whose files are not found for one cause.

    Attributes:
        cause: The difference in the names.
        files: The name of each file by the given name.
    """

    cause: str
    files: dict[str, str]

    def __str__(self) -> str:
        count = len(self.files)
        files = "1 image file is" if count == 1 else f"{count} image files are"
        more = ", and likewise for the others" if count > 1 else ""
        return f"{files} found under another name: {self.of(next(iter(self.files)))}{more}"

    def of(self, given: str) -> str:
        """The cause and the remedy for one of the names."""
        there = self.files[given]
        return (
            f"file_names {self.cause}; write {_shown(there, given)} instead of "
            f"{_shown(given, there)}"
        )


def find_name_forms(root: Path, missing: Sequence[str]) -> list[NameForm]:
    """Return the causes why files below `root` are not found by these names; lists each folder.

    A name has no cause if no file is similar to it, or if several are.
    """
    folders = _Folders(root)
    found: dict[str, dict[str, str]] = {}
    for name in missing:
        there = folders.find(name)
        if there is not None:
            found.setdefault(_cause(name, there), {})[name] = there
    return [NameForm(cause, files) for cause, files in found.items()]


class _Folders:
    """Listings of the folders below a root, each made once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.listed: dict[str, tuple[set[str], dict[str, list[str]]]] = {}
        self.below: dict[str, list[str]] | None = None  # folders by what they hold

    def find(self, name: str) -> str | None:
        """Return the only file that is similar to a name, as a name below the root."""
        parts = [part for part in re.split(r"[/\\]", name) if part not in ("", ".")]
        for first in range(len(parts)):  # then without its first folders
            there = self._walk("", parts[first:])
            if there is not None:
                return there
        if self.below is None:
            self.below = {}
            for folder in sorted(names_in(self.root, os.DirEntry.is_dir))[:MOST_FOLDERS]:
                for key in self._listing(folder)[1]:
                    self.below.setdefault(key, []).append(folder)
        holders = self.below.get(_key(parts[0]), []) if parts else []
        return self._walk(holders[0], parts) if len(holders) == 1 else None

    def _listing(self, folder: str) -> tuple[set[str], dict[str, list[str]]]:
        """Return the names in a folder, and the same names by their normalised form."""
        if folder not in self.listed:
            names = names_in(self.root / folder)
            like: dict[str, list[str]] = {}
            for name in names:
                like.setdefault(_key(name), []).append(name)
            self.listed[folder] = names, like
        return self.listed[folder]

    def _walk(self, folder: str, parts: Sequence[str]) -> str | None:
        for part in parts:
            names, like = self._listing(folder)
            alike = [part] if part in names else like.get(_key(part), [])
            if len(alike) != 1:
                return None
            folder = f"{folder}/{alike[0]}".lstrip("/")
        return folder if is_file(self.root / folder) else None


def is_file(path: Path) -> bool:
    """Return whether a file exists; false for a name that is too long."""
    try:
        return path.is_file()
    except OSError:
        return False


def names_in(folder: Path, kind: Callable[[os.DirEntry[str]], bool] | None = None) -> set[str]:
    """Names in a folder, or those of which `kind` is true; none if it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if kind is None or kind(entry)}
    except OSError:
        return set()


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _cause(given: str, there: str) -> str:
    causes = []
    unified = re.sub(r"[/\\]+", "/", given).removeprefix("./").strip("/")
    if "\\" in given and "\\" not in there:
        causes.append("have backslashes")
    if len(unified.split("/")) > len(there.split("/")):
        causes.append("begin with a folder that is not in the image folder")
        unified = "/".join(unified.split("/")[-len(there.split("/")) :])
    elif len(unified.split("/")) < len(there.split("/")):
        causes.append("lack the name of a folder inside the image folder")
        there = "/".join(there.split("/")[-len(unified.split("/")) :])
    composed = [unicodedata.normalize("NFC", name) for name in (unified, there)]
    if unified != there and composed[0] == composed[1]:
        forms = f"({_form(unified)}) than the files ({_form(there)})"
        causes.append(f"have another Unicode form {forms}")
    elif composed[0] != composed[1]:
        causes.append("differ from the files in upper and lower case")
    return " and ".join(causes)


def _form(name: str) -> str:
    forms = [form for form in ("NFC", "NFD") if unicodedata.is_normalized(form, name)]
    return forms[0] if len(forms) == 1 else "mixed"


def _shown(name: str, other: str) -> str:
    """Return the name, with escapes if the two would look alike."""
    alike = unicodedata.normalize("NFC", name) == unicodedata.normalize("NFC", other)
    return ascii(name)[1:-1] if alike else name
