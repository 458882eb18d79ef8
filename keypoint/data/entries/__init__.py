"""The rules for single entries of COCO's files: categories, images, annotations, detector boxes."""

from keypoint.data.entries.categories import (
    ALL,
    OTHER_NETWORK,
    OTHER_SKELETON,
    Category,
    find_category,
    names_fault,
)
from keypoint.data.entries.check import CheckedEntries, check_entries, image_faults, name_image
from keypoint.data.entries.ids import with_whole_numbers
from keypoint.data.entries.numbers import (
    as_number,
    as_numbers,
    describe_numbers,
    is_whole_number,
    whole_number,
)
from keypoint.data.entries.person import Person, Wrong, read_bbox

__all__ = [
    "ALL",
    "OTHER_NETWORK",
    "OTHER_SKELETON",
    "Category",
    "CheckedEntries",
    "Person",
    "Wrong",
    "as_number",
    "as_numbers",
    "check_entries",
    "describe_numbers",
    "find_category",
    "image_faults",
    "is_whole_number",
    "name_image",
    "names_fault",
    "read_bbox",
    "whole_number",
    "with_whole_numbers",
]
