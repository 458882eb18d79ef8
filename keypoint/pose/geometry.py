"""Maps between the frames of the image, the crop and the heatmap, batched over persons.

Source: SimpleBaseline's and HRNet's `lib/utils/transforms.py`; lengths are in pixels instead of
their units of 200 pixels.

The one pixel convention of this project: a point (x, y) counts pixel indices, the middle of the
first pixel is (0, 0), and no transform adds half a pixel or uses W - 1. So an image point p, the
crop around `center` with sides `crop_size`, and the network's input are related by

    p_crop = scale * R(-rotation) * mirror * (p - center) + (W_in / 2, H_in / 2)
    scale  = W_in / W_crop

UDP (Huang et al. 2020, section 3) measures crop, input and heatmap between the middles of their
first and last pixels instead, so that the width is W - 1 of them.

Points and centres are (x, y); sizes are (height, width). P is the number of persons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

CROP_PADDING = 1.25  # factor on both sides of the box; SimpleBaseline's, HRNet's and mmpose's


def clean_bbox(bbox_xywh: Floats, image_size: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """Clip ground-truth boxes to their images as the references do.

    Args:
        bbox_xywh: (P, 4), image frame.
        image_size: (P, 2) height and width of each box's image.

    Returns:
        (P, 4): x1 = max(0, x), x2 = min(W - 1, x1 + max(0, w - 1)) and the same for y, stored as
        (x1, y1, x2 - x1, y2 - y1). A box with a side that is not positive cannot be cropped.
    """
    first = np.maximum(bbox_xywh[:, :2], 0)
    last = np.minimum(image_size[:, ::-1] - 1, first + np.maximum(0, bbox_xywh[:, 2:] - 1))
    return np.concatenate([first, last - first], axis=1)


@dataclass(frozen=True, eq=False)
class CropFrame:
    """Crops of P persons: the maps from their images into them, and back.

    Attributes:
        center: (P, 2) middle of each crop, image frame.
        crop_size: (P, 2) height and width, image pixels; the aspect ratio is the input's.
        input_size: (height, width) of the network's input.
        udp: The crop's edges are the middles of the input's first and last pixels, so that its
            middle is ((W_in - 1) / 2, (H_in - 1) / 2); the axes then differ a little in scale.
    """

    center: NDArray[np.float64]
    crop_size: NDArray[np.float64]
    input_size: tuple[int, int]
    udp: bool = False

    @classmethod
    def from_bboxes(
        cls,
        bbox_xywh: Floats,
        input_size: tuple[int, int],
        *,
        udp: bool = False,
        padding: float = CROP_PADDING,
    ) -> CropFrame:
        """Crops around boxes: extended to the aspect ratio of the input, then padded.

        Args:
            bbox_xywh: (P, 4), image frame.
            input_size: (height, width) of the network's input.
            udp: Measure lengths between the middles of the outer pixels.
            padding: Factor on both sides after the aspect ratio is reached.
        """
        bbox = np.asarray(bbox_xywh, dtype=np.float64)
        center = bbox[:, :2] + bbox[:, 2:] / 2
        aspect = input_size[1] / input_size[0]
        width = np.maximum(bbox[:, 2], bbox[:, 3] * aspect)
        crop_size = np.stack([width / aspect, width], axis=1) * padding
        return cls(center, crop_size, input_size, udp)

    @classmethod
    def concatenate(cls, frames: Sequence[CropFrame]) -> CropFrame:
        """The crops of all frames, which share input size and convention."""
        return replace(
            frames[0],
            center=np.concatenate([frame.center for frame in frames]),
            crop_size=np.concatenate([frame.crop_size for frame in frames]),
        )

    def __len__(self) -> int:
        return len(self.center)

    def __getitem__(self, rows: slice | NDArray[np.int64] | list[int]) -> CropFrame:
        """The crops of some persons."""
        return replace(self, center=self.center[rows], crop_size=self.crop_size[rows])

    def scaled(self, factor: float) -> CropFrame:
        """The crops with both sides multiplied by `factor`."""
        return replace(self, crop_size=self.crop_size * factor)

    @property
    def area(self) -> NDArray[np.float64]:
        """(P,) square pixels of the image."""
        area: NDArray[np.float64] = self.crop_size.prod(axis=1)
        return area

    def matrices(
        self, rotation: float | Floats = 0.0, mirror: bool | NDArray[np.bool_] = False
    ) -> NDArray[np.float64]:
        """The affine maps from the image's frame to the crop's frame.

        Args:
            rotation: Degrees, one or (P,); the sampled window turns clockwise in the picture, as
                SimpleBaseline's.
            mirror: Left and right change places about the centre, one or (P,). It equals mirroring
                the image first (x' = W - 1 - x, centre likewise) and cropping afterwards.

        Returns:
            (P, 2, 3) float64, for points as columns (x, y, 1).
        """
        extent = np.array(self.input_size[::-1], dtype=np.float64) - self.udp  # along x and y
        scale = extent / self.crop_size[:, ::-1]  # P 2
        angle = np.deg2rad(np.broadcast_to(rotation, len(scale)))
        sign = np.where(np.broadcast_to(mirror, len(scale)), -1.0, 1.0)
        cos, sin = np.cos(angle), np.sin(angle)
        rows = np.stack([cos * sign, sin], -1), np.stack([-sin * sign, cos], -1)
        linear = scale[:, :, None] * np.stack(rows, -2)  # P 2 2
        middle = extent / 2
        shift = middle - (linear @ self.center[:, :, None])[:, :, 0]
        return np.concatenate([linear, shift[:, :, None]], axis=2)

    def to_image(self, keypoints: Floats, grid_size: tuple[int, int]) -> NDArray[np.float64]:
        """Map points found in the crops back to the image's frame.

        Args:
            keypoints: (P, K, 2), in pixels of a grid that covers the crop.
            grid_size: (height, width) of that grid: the heatmaps' size, or `input_size` for points
                in the crop's frame.

        Returns:
            (P, K, 2) float64: x * W_crop / W_grid + x_center - W_crop / 2, y alike; W_grid - 1 with
            `udp`.
        """
        extent = np.array(grid_size[::-1], dtype=np.float64) - self.udp  # along x and y
        crop_size = self.crop_size[:, None, ::-1]  # P 1 2, width and height
        image: NDArray[np.float64] = (
            keypoints * (crop_size / extent) + self.center[:, None] - crop_size / 2
        )
        return image


def apply_affine(matrix: Floats, points: Floats) -> Floats:
    """Map points (..., N, 2) by matrices (..., 2, 3) of the same leading shape."""
    return points @ np.swapaxes(matrix[..., :2], -1, -2) + matrix[..., None, :, 2]
