"""Between the frames of the image, the crop and the heatmap. Pure functions, batched over persons.

Source: SimpleBaseline's and HRNet's `lib/utils/transforms.py`, in pixels, not their 200-px units.

The one pixel convention of this project: a point (x, y) counts pixel indices, the middle of the
first pixel is (0, 0), and no transform adds half a pixel or uses W - 1. So an image point p, the
crop around `center` with sides `crop_size`, and the network's input are related by

    p_crop = scale * R(-rotation) * mirror * (p - center) + (W_in / 2, H_in / 2)
    scale  = W_in / W_crop

UDP (Huang et al. 2020, section 3) measures crop, input and heatmap between the middles of their
first and last pixels instead: W - 1 of them make the width. Functions with `udp` know both.

Points and centres are (x, y); sizes are (height, width). P is the number of persons.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
ArrayOrTensor = TypeVar("ArrayOrTensor", bound=Any)

CROP_PADDING = 1.25  # factor on both sides of the box; SimpleBaseline's, HRNet's and mmpose's


def clean_bbox(bbox_xywh: Floats, image_size: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """Clip ground-truth boxes to their images, the references' way.

    Args:
        bbox_xywh: (P, 4), image frame.
        image_size: (P, 2) height and width of each box's image.

    Returns:
        (P, 4): x1 = max(0, x), x2 = min(W - 1, x1 + max(0, w - 1)) and the same for y, stored as
        (x1, y1, x2 - x1, y2 - y1). A box with a side that is not positive holds nothing to crop.
    """
    first = np.maximum(bbox_xywh[:, :2], 0)
    last = np.minimum(image_size[:, ::-1] - 1, first + np.maximum(0, bbox_xywh[:, 2:] - 1))
    return np.concatenate([first, last - first], axis=1)


def bbox_to_crop(
    bbox_xywh: Floats, input_size: tuple[int, int], padding: float = CROP_PADDING
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centre and size of the crop for each box: same aspect ratio as the input, then padded.

    Args:
        bbox_xywh: (P, 4), image frame.
        input_size: (height, width) of the network's input.
        padding: Factor on both sides after the aspect ratio is reached.

    Returns:
        Centres (P, 2) and crop sizes (P, 2), image pixels, float64.
    """
    bbox = np.asarray(bbox_xywh, dtype=np.float64)
    center = bbox[:, :2] + bbox[:, 2:] / 2
    aspect = input_size[1] / input_size[0]
    width = np.maximum(bbox[:, 2], bbox[:, 3] * aspect)
    crop_size = np.stack([width / aspect, width], axis=1) * padding
    return center, crop_size


def crop_matrix(
    center: Floats,
    crop_size: Floats,
    input_size: tuple[int, int],
    rotation: float | Floats = 0.0,
    mirror: bool | NDArray[np.bool_] = False,
    udp: bool = False,
) -> NDArray[np.float64]:
    """The affine maps from the image's frame to the crop's frame.

    Args:
        center: (P, 2), image frame.
        crop_size: (P, 2), image pixels; its aspect ratio is the input's.
        input_size: (height, width) of the network's input.
        rotation: Degrees, one or (P,); the sampled window turns clockwise in the picture, as
            SimpleBaseline's.
        mirror: Left and right change places about the centre, one or (P,). It equals mirroring the
            image first (x' = W - 1 - x, centre likewise) and cropping afterwards.
        udp: The crop's edges go to the middles of the input's first and last pixels, and so its
            middle to ((W_in - 1) / 2, (H_in - 1) / 2); the axes then differ a little in scale.

    Returns:
        (P, 2, 3) float64, for points as columns (x, y, 1).
    """
    center = np.asarray(center, dtype=np.float64)
    extent = np.array(input_size[::-1], dtype=np.float64) - udp  # of the input, along x and y
    scale = extent / np.asarray(crop_size, dtype=np.float64)[:, ::-1]  # P 2
    angle = np.deg2rad(np.broadcast_to(rotation, len(scale)))
    sign = np.where(np.broadcast_to(mirror, len(scale)), -1.0, 1.0)
    cos, sin = np.cos(angle), np.sin(angle)
    rows = np.stack([cos * sign, sin], -1), np.stack([-sin * sign, cos], -1)
    linear = scale[:, :, None] * np.stack(rows, -2)  # P 2 2
    middle = extent / 2
    shift = middle - (linear @ center[:, :, None])[:, :, 0]
    return np.concatenate([linear, shift[:, :, None]], axis=2)


def apply_affine(matrix: Floats, points: Floats) -> Floats:
    """Map points (..., N, 2) by matrices (..., 2, 3) of the same leading shape."""
    return points @ np.swapaxes(matrix[..., :2], -1, -2) + matrix[..., None, :, 2]


def invert_affine(matrix: Floats) -> Floats:
    """The maps back, (..., 2, 3).

    Raises:
        ValueError: A matrix is not finite or has no inverse: cv2 would answer it with a flat crop.
    """
    linear, shift = matrix[..., :2], matrix[..., 2]
    determinant = np.linalg.det(linear)
    if not np.all(np.isfinite(matrix)) or np.any(np.abs(determinant) < 1e-12):
        raise ValueError(f"affine matrix {matrix.tolist()} cannot be inverted; the box has no size")
    inverse = np.linalg.inv(linear)
    return np.concatenate([inverse, -(inverse @ shift[..., None])], axis=-1)


def heatmap_to_image(
    keypoints_heatmap: ArrayOrTensor,
    center: ArrayOrTensor,
    crop_size: ArrayOrTensor,
    heatmap_size: tuple[int, int],
    udp: bool = False,
) -> ArrayOrTensor:
    """Points of the heatmap's frame back in the image's frame; numpy arrays or tensors.

    Args:
        keypoints_heatmap: (P, K, 2).
        center: (P, 2) of the crops, image frame.
        crop_size: (P, 2), image pixels.
        heatmap_size: (height, width).
        udp: The crop's edges lie at the middles of the heatmap's first and last pixels.

    Returns:
        (P, K, 2): x * W_crop / W_heatmap + x_center - W_crop / 2, y alike; W_heatmap - 1 with
        `udp`.
    """
    height, width = crop_size[:, None, 0], crop_size[:, None, 1]  # P 1
    # A new array of the wider dtype.
    image: ArrayOrTensor = keypoints_heatmap + 0 * center[:, None, :]  # P K 2
    x, y = keypoints_heatmap[..., 0], keypoints_heatmap[..., 1]  # P K
    image[..., 0] = x * (width / (heatmap_size[1] - udp)) + center[:, None, 0] - width / 2
    image[..., 1] = y * (height / (heatmap_size[0] - udp)) + center[:, None, 1] - height / 2
    return image
