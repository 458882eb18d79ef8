"""Lists of images with ids, from an annotation file or a folder."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keypoint.data.entries import ALL, find_category, image_faults, name_image, with_whole_numbers
from keypoint.data.images.read import check_header, require_moderate
from keypoint.data.report import raise_faults
from keypoint.errors import DataError
from keypoint.files import read_json
from keypoint.prediction.inputs.find import IMAGE_SUFFIXES


@dataclass(frozen=True)
class ImageList:
    """Images with ids.

    Attributes:
        folder: Folder of the file names.
        entries: {id, file_name, width, height} of each image.
        category_id: Category of the boxes found on them.
    """

    folder: Path
    entries: tuple[dict[str, Any], ...]
    category_id: int


def read_image_list(annotations: Path, folder: Path) -> ImageList:
    """Read the images of an annotation file, or of COCO's image_info without annotations.

    Raises:
        DataError: The file is unreadable or faulty, or has no category for the boxes.
    """
    content = read_json(annotations, "images")
    if not isinstance(content, dict):
        raise DataError(f"{annotations}: contains a {type(content).__name__}; give a JSON object")
    for key in ("images", "categories"):
        entries = content.get(key)
        if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
            raise DataError(
                f"{annotations}: {key!r} is not a list of objects; give a file in COCO's format"
            )
        if not entries:
            raise DataError(f"{annotations}: {key!r} is empty; give a file with images")
    content, _ = with_whole_numbers(content | {"annotations": []})
    names = [repr(entry.get("id")) for entry in content["images"]]
    ids = Counter(names)
    raise_faults(
        str(annotations),
        [
            f"{name_image(entry, place)}: {text}"
            for place, entry in enumerate(content["images"])
            for _, text in image_faults(entry, is_repeated=ids[names[place]] > 1)
        ],
    )
    category_id = find_category(content, annotations, ALL, take_only=True).id
    return ImageList(folder, tuple(content["images"]), category_id)


def list_folder(folder: Path) -> ImageList:
    """List the images of a folder and its subfolders, by name; ids from 1, category 1.

    Raises:
        DataError: The folder does not exist, there is no image in it, or an image is damaged or
            too large.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give the folder of the images")
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise DataError(
            f"{folder}: no image ({', '.join(IMAGE_SUFFIXES)}) in it or below it; check the path"
        )
    return ImageList(folder, tuple(_entry(n, file, folder) for n, file in enumerate(files, 1)), 1)


def _entry(number: int, file: Path, folder: Path) -> dict[str, Any]:
    size = check_header(file).image_size
    assert size is not None  # check_header raises otherwise
    require_moderate(file, size)
    name = file.relative_to(folder).as_posix()
    return {"id": number, "file_name": name, "width": size[1], "height": size[0]}
