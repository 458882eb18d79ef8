"""The text of a config to start from: the shape of the crops, and how far they are rotated."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keypoint.data.convert.labels import Bbox
from keypoint.errors import printable
from keypoint.pose.skeleton import Skeleton
from keypoint.strict_yaml import dump_yaml

ASPECT = 1.2  # height over width from which a box counts as upright
ROTATION = 40  # the default of augment.rotation, written so that the user sees it
# Of keypoints that are named by their place. A square looks the same after a quarter turn, so its
# corners can be told apart up to 45 degrees, and crops are rotated by up to twice the value.
UPRIGHT_ROTATION = 15
OPPOSITE = {"top": "bottom", "upper": "lower"}


def first_config(
    output: Path, images: Path, boxes: list[Bbox], skeleton: Skeleton, form: str
) -> str:
    """Return a config file; its keys are those that differ from the defaults, and the rotation.

    Args:
        output: Absolute folder of the data set.
        images: Absolute folder of the images.
        boxes: Those of all objects, which decide about the shape of the crops.
        skeleton: The skeleton.
        form: The tool's name, for a comment.
    """
    where = images.relative_to(output) if images.is_relative_to(output) else images
    aspects = sorted(height / width for _, _, width, height in boxes)
    median = aspects[len(aspects) // 2] if aspects else 1.0
    input_size = (
        [256, 192] if median > ASPECT else [192, 256] if median < 1 / ASPECT else [256, 256]
    )
    content: dict[str, Any] = {
        "output": f"output/{re.sub(r'[^A-Za-z0-9_-]+', '_', output.name) or 'converted'}",
        "data": {
            "root": str(output),
            "train_annotations": "train.json",
            "train_images": str(where.as_posix()),
            "val_annotations": "val.json",
            "val_images": str(where.as_posix()),
            "skeleton": "skeleton.yaml",
        },
        "model": {"encoder": "resnet50", "input_size": input_size},
    }
    note = "# No pairs: can images be mirrored? See docs/guides/own-data.md.\n"
    return (
        f"# To start from; made by keypoint convert from labels of {form}.\n"
        "# input_size is (height, width) of a crop, by the median aspect ratio of the boxes.\n"
        f"{'' if skeleton.pairs else note}{dump_yaml(content)}{_rotation(skeleton.keypoints)}"
    )


def _rotation(names: Sequence[str]) -> str:
    """Return the section of the rotation, with a comment."""
    by_place = above_and_below(names)
    rotation = UPRIGHT_ROTATION if by_place else ROTATION
    text = f"Crops are rotated by up to {2 * rotation} degrees, twice the value. "
    if by_place:
        above, below = map(printable, by_place)
        text += (
            f"It is small, because {above} and {below} are named by their place: a rotated crop "
            "must not show one where the other name would be right. Raise it (the default is "
            f"{ROTATION}) if the object itself shows which is which."
        )
    else:
        text += (
            "Lower it if a rotated keypoint would have another name, such as the top left corner "
            "of a sign."
        )
    comment = textwrap.fill(text, 90, initial_indent="# ", subsequent_indent="# ")
    return f"{comment}\naugment:\n  rotation: {rotation}\n"


def above_and_below(names: Sequence[str]) -> tuple[str, str] | None:
    """Return the first two names that differ only in top and bottom, or upper and lower."""
    known = {name.lower(): name for name in names}
    for name in names:
        for above, below in OPPOSITE.items():
            other = known.get(name.lower().replace(above, below))
            if other is not None and above in name.lower():
                return name, other
    return None
