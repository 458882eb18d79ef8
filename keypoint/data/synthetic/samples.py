"""A few generated pictures to try a network on, with the boxes of their persons.

Their random numbers differ from the demo set's, so no demo network was trained on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from keypoint.data.synthetic.demo_set import SPLITS, synthesize_image, write_jpeg

SEED = (0, len(SPLITS))  # the demo set's first two numbers are its seed and the split, 0 or 1
IMAGE_SIZE = (432, 576)
ALONE = 1108  # its first person is cut out and fills the picture
SEVERAL = (290, 382, 1234, 1201)  # chosen manually: two, two, three and three large persons
MARGIN = 0.08  # of the person's height, around the person who is cut out


@dataclass(frozen=True)
class Sample:
    """A picture.

    Attributes:
        path: A JPEG file.
        boxes_xywh: (P, 4), one box a person; no box if one person fills the picture.
    """

    path: Path
    boxes_xywh: npt.NDArray[np.float64]


def write_samples(folder: Path) -> list[Sample]:
    """Write the pictures to a folder that exists."""
    samples = []
    for number, index in enumerate((ALONE, *SEVERAL), start=1):
        image, persons = synthesize_image(np.random.default_rng([*SEED, index]), IMAGE_SIZE)
        boxes = np.array([person["bbox"] for person in persons], np.float64).reshape(-1, 4)
        if index == ALONE:
            image, boxes = _cut(image, boxes[0]), boxes[:0]
        path = folder / f"sample_{number}.jpg"
        write_jpeg(path, image, 95)
        samples.append(Sample(path, boxes))
    return samples


def _cut(image: npt.NDArray[np.uint8], bbox_xywh: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    x, y, width, height = bbox_xywh
    margin = MARGIN * height
    left, top = (max(0, int(start - margin)) for start in (x, y))
    return image[top : int(y + height + margin), left : int(x + width + margin)]
