"""Videos in folders: one folder per class, and videos found by their name without suffix.

A video is a file with the suffix of a video, or a folder of frames.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from keypoint.data.images.names import names_in
from keypoint.errors import DataError

SUFFIXES = (
    *(".mp4", ".avi", ".mkv", ".webm", ".mov", ".m4v", ".mpg", ".mpeg", ".ts", ".m2ts"),
    *(".wmv", ".flv", ".ogv", ".3gp"),
)
FEW = 3  # folders in a class that are searched
MOST_FOLDERS = (
    2000  # folders that are searched for a video; if there are more, each is a video, as frames
)


def is_video_name(name: str) -> bool:
    """Return whether a file's name has the suffix of a video."""
    return name.lower().endswith(SUFFIXES)


def videos_by_class(source: Path) -> tuple[dict[str, list[str]], Counter[str], list[str]]:
    """Find the videos of a folder with a subfolder for each class.

    Returns:
        Sorted names relative to `source` by class, classes sorted by name; the number of other
        files and folders by reason; and the sorted names of folders without a video.

    Raises:
        DataError: No subfolder contains a video, or there is one more level of folders.
    """
    found: dict[str, list[str]] = {}
    skipped: Counter[str] = Counter()
    empty: list[str] = []
    for name in sorted(names_in(source, os.DirEntry.is_dir)):
        if name.startswith("."):
            continue
        files = names_in(source / name, os.DirEntry.is_file)
        folders = [f for f in names_in(source / name, os.DirEntry.is_dir) if not f.startswith(".")]
        videos = [file for file in files if is_video_name(file)] + folders
        skipped["not a video"] += len(files) + len(folders) - len(videos)
        deeper = [
            f for f in sorted(folders)[:FEW] if any(map(is_video_name, names_in(source / name / f)))
        ]
        if deeper:
            raise DataError(
                f"{source}: {name}/{deeper[0]} contains videos, one level too deep; give the "
                f"folder of the classes' folders, such as {source / name}"
            )
        if videos:
            found[name] = [f"{name}/{video}" for video in sorted(videos)]
        else:
            skipped["folder without a video"] += 1
            empty.append(name)
    if not found:
        raise DataError(
            f"{source}: no folder in it contains a video (suffixes {', '.join(SUFFIXES)}) or "
            "folders of frames; give a folder with a folder of videos for each class, or a list"
        )
    return found, +skipped, empty


class StemIndex:
    """Videos in a folder and its subfolders, by their names without suffix.

    Searched are the folder, its direct subfolders, and in each of `splits` the folder of the class.

    Args:
        root: The folder; it is listed when the first video is searched.
        splits: Names of subfolders that contain a folder for each class.
    """

    def __init__(self, root: Path, splits: Sequence[str] = ()) -> None:
        self.root = root
        self.splits = splits
        self._here: dict[str, list[str]] | None = None
        self._below: dict[str, list[str]] | None = None
        self._of_class: dict[str, dict[str, list[str]]] = {}

    def find(self, stem: str, folder: str | None) -> str | None:
        """Return the name of a video relative to the root.

        Args:
            stem: Its name without suffix.
            folder: The folder of its class, which is used if several videos have this name, and
                to search in splits; a space may be "_".

        Returns:
            None if there is no such video, or if several have the name and none is in the folder.
        """
        if self._here is None:
            self._here = self._list("")
        found = self._here.get(stem, [])
        if not found:
            if self._below is None:
                self._below = {}
                for name in sorted(names_in(self.root, os.DirEntry.is_dir))[:MOST_FOLDERS]:
                    for key, names in self._list(f"{name}/").items():
                        self._below.setdefault(key, []).extend(names)
            found = self._below.get(stem, [])
        wanted = [] if folder is None else list(dict.fromkeys((folder, folder.replace(" ", "_"))))
        if not found:
            places = [f"{split}/{name}/" for split in self.splits for name in wanted]
            found = [name for place in places for name in self._listed(place).get(stem, [])]
        elif len(found) > 1 and wanted:
            found = [name for name in found if name.split("/")[0] in wanted]
        files = [name for name in found if is_video_name(name)]
        return files[0] if len(files) == 1 else found[0] if len(found) == 1 else None

    def _listed(self, folder: str) -> dict[str, list[str]]:
        """Return `_list` of the folder of a class in a split, which is listed once."""
        if folder not in self._of_class:
            self._of_class[folder] = self._list(folder)
        return self._of_class[folder]

    def _list(self, folder: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name in names_in(self.root / folder):
            stem = name.rpartition(".")[0] if is_video_name(name) else name
            found.setdefault(stem, []).append(folder + name)
        return found
