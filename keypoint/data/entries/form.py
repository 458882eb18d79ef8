"""The keys of COCO's files that are read; unread ones, such as outlines, take most of the bytes."""

from __future__ import annotations

from typing import Any, TypedDict


class ImageForm(TypedDict, total=False):
    """An entry of `images`."""

    id: Any
    width: Any
    height: Any
    file_name: Any


class AnnotationForm(TypedDict, total=False):
    """An entry of `annotations`."""

    id: Any
    image_id: Any
    category_id: Any
    iscrowd: Any
    num_keypoints: Any
    keypoints: Any
    bbox: Any
    area: Any


class DatasetForm(TypedDict, total=False):
    """An annotation file."""

    info: Any
    categories: Any
    images: list[ImageForm]
    annotations: list[AnnotationForm]
