"""Recognise by its content which tool wrote a file or folder, and read it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from keypoint.data.convert.labels import Labels
from keypoint.data.convert.readers import (
    coco,
    cvat,
    deeplabcut,
    label_studio,
    labelme,
    sleap,
    ultralytics,
)
from keypoint.errors import ConfigError, DataError
from keypoint.files import read_json

READERS: dict[str, Callable[[list[Path]], Labels]] = {
    "labelme": labelme.read,
    "cvat": cvat.read,
    "coco": coco.read,
    "ultralytics": lambda files: ultralytics.read(files[0]),
    "deeplabcut": deeplabcut.read,
    "sleap": sleap.read,
    "label-studio": label_studio.read,
}
JSON_FORMS = ("labelme", "coco", "label-studio")
BOXES = "boxes of ultralytics"  # read if there is nothing else; tools write them next to labels
LOOKED_AT = {".json", ".xml", ".yaml", ".yml", ".csv", ".h5", ".slp"}


def read_labels(path: Path, form: str | None, ignore: Path) -> tuple[str, Labels]:
    """Read what a tool wrote.

    Args:
        path: File or folder.
        form: A key of `READERS`; None to recognise it.
        ignore: A folder whose files are ignored: the output.

    Returns:
        The form, and what was read.

    Raises:
        DataError: There is no file of a known form, or files of several forms.
        ConfigError: There are several data sets, but one is needed.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; check the path")
    found, damaged = _recognise(path, ignore)
    boxes = found.pop(BOXES, [])
    if form is not None:
        found = {name: files for name, files in found.items() if name == form}
    if not found and boxes and form in (None, "ultralytics"):
        found = {"ultralytics": boxes}
    if not found and damaged and form in (None, *JSON_FORMS):
        raise damaged[0]
    if not found:
        raise DataError(_nothing(path, form))
    if len(found) > 1:
        counts = ", ".join(f"{name} ({_names(files)})" for name, files in found.items())
        raise DataError(f"{path}: files of several forms: {counts}; choose one with --from NAME")
    ((name, files),) = found.items()
    if name == "ultralytics" and len(files) > 1:
        raise ConfigError(f"{path}: {_names(files)} are several data sets; give one of them")
    labels = READERS[name](files)
    if name in JSON_FORMS:
        for error in damaged:
            labels.leave_out("JSON files that cannot be read", str(error))
    return name, labels


def _names(files: list[Path]) -> str:
    more = f" and {len(files) - 2} more" if len(files) > 2 else ""
    return ", ".join(str(file) for file in files[:2]) + more


def _recognise(path: Path, ignore: Path) -> tuple[dict[str, list[Path]], list[DataError]]:
    """Return the files of each form, and the errors of JSON files that cannot be read."""
    tables = deeplabcut.find_tables(path) if path.is_dir() else []
    files = [path] if path.is_file() else sorted(f for f in path.rglob("*") if f.is_file())
    found: dict[str, list[Path]] = {}
    damaged: list[DataError] = []
    for file in files:
        hidden = any(part.startswith(".") for part in file.relative_to(path).parts)
        inside = ignore.absolute() in file.absolute().parents
        if file.suffix.lower() not in LOOKED_AT or hidden or inside:
            continue
        try:
            form = _form(file)
        except DataError as error:
            damaged.append(error)
            continue
        if form == "deeplabcut" and path.is_dir():
            continue  # among the tables, or a copy of them
        if form is not None:
            found.setdefault(form, []).append(file)
    if path.is_file() and found.get("deeplabcut") and path.suffix in (".yaml", ".yml"):
        tables = deeplabcut.find_tables(path.parent)
        found.pop("deeplabcut")
    return found | ({"deeplabcut": tables} if tables else {}), damaged


def _form(file: Path) -> str | None:
    suffix = file.suffix.lower()
    if suffix == ".slp":
        return "sleap"
    if suffix == ".xml":
        with file.open("rb") as opened:
            return "cvat" if b"<annotations" in opened.read(4096) else None
    if suffix in (".csv", ".h5"):
        return "deeplabcut" if file.stem.startswith("CollectedData") else None
    if suffix in (".yaml", ".yml"):
        try:
            content = ultralytics.read_data_yaml(file).content
        except DataError:
            return None
        keys = set(content) if isinstance(content, dict) else set()
        if "kpt_shape" in keys:
            return "ultralytics"
        if {"video_sets", "scorer"} <= keys:
            return "deeplabcut"
        return BOXES if "names" in keys and keys & {"train", "val"} else None
    content = read_json(file, "labels")
    if labelme.is_labelme(content):
        return "labelme"
    if coco.is_coco(content):
        return "coco"
    return "label-studio" if label_studio.is_label_studio(content) else None


def _nothing(path: Path, form: str | None) -> str:
    if path.suffix.lower() in (".zip", ".tar", ".gz", ".rar", ".7z"):
        return f"{path}: an archive; unpack it and give the folder"
    wanted = f"--from {form}" if form else ", ".join(READERS)
    kinds: dict[str, int] = {}
    for file in [path] if path.is_file() else path.rglob("*"):
        if file.is_file():
            kinds[file.suffix or "no suffix"] = kinds.get(file.suffix or "no suffix", 0) + 1
    seen = ", ".join(f"{count} {kind}" for kind, count in list(kinds.items())[:5]) or "nothing"
    return f"{path}: has {seen}, but no labels of these forms: {wanted}; give the tool's export"
