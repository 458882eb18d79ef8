"""Pictures of a data set: persons with their labels, and training crops with their targets.

The left is orange, the right blue, the rest green: limbs, and the rim of each disc. The middle of a
disc and the number next to it have the keypoint's own color, and a legend has the names, so that a
wrong order is visible. A ring is an occluded keypoint.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from keypoint.data.batches import TrainDataset
from keypoint.data.images.read import read_image, warp
from keypoint.data.persons import Persons
from keypoint.drawing.canvas import PAPER, RIM, Image
from keypoint.drawing.persons import (
    draw_keypoints,
    fit_picture,
    fit_points,
    heatmap_overlay,
    picture_sheet,
)
from keypoint.drawing.strokes import LEFT, MIDDLE, RIGHT, distinct_colors, keypoint_colors
from keypoint.drawing.text import draw_text, shorten_text, text_size
from keypoint.pose.codec import Codec
from keypoint.pose.geometry import CropFrame, apply_affine
from keypoint.pose.skeleton import Skeleton

CELL = (288, 216)  # (height, width) of a picture of a person
MANY = 40  # keypoints from which pictures of persons are twice as large
EPOCHS = 3  # different augmentations of each person, side by side
LINE = 20  # px, of the legend
CONTEXT = 1.6  # of the box's size: more than a crop's 1.25, so that a wrong box is visible


def truth_sheet(
    persons: Persons, skeleton: Skeleton, number: int, seed: int = 0, title: str = "as annotated"
) -> Image:
    """Random persons as annotated, with their box, each cut out of the image at its own size.

    Args:
        persons: Ground truth whose images can be read.
        skeleton: Edges and sides.
        number: Persons to show; all if there are fewer.
        seed: Determines which persons are drawn.
        title: Text next to the legend.
    """
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(len(persons))[:number])
    cell, columns = _layout(skeleton, 6)
    pictures, titles = [], []
    for row in chosen:
        image = read_image(persons.images.path(int(persons.image_index[row])))
        bbox = persons.bbox_xywh[row]
        matrix = CropFrame.from_bboxes(bbox[None], cell, padding=CONTEXT).matrices()[0]
        crop = warp(image, matrix, cell)
        first, last = apply_affine(matrix, np.array([bbox[:2], bbox[:2] + bbox[2:]]))
        box = np.concatenate([first, last - first])
        points = apply_affine(matrix, persons.keypoints_image[row].astype(np.float64))
        pictures.append(draw_labels(crop, points, persons.visibility[row], skeleton, box))
        name = str(persons.images.file_names[persons.image_index[row]]).rpartition("/")[2]
        titles.append(f"{persons.ids[row]}  {name}")
    sheet = picture_sheet(pictures, titles, columns=columns, cell_size=cell)
    return with_legend(sheet, title, skeleton=skeleton)


def augmented_sheet(dataset: TrainDataset, skeleton: Skeleton, codec: Codec, number: int) -> Image:
    """Training crops as the network gets them, each next to its target heatmaps.

    Args:
        dataset: Its seed determines the persons and their augmentation.
        skeleton: Edges and sides.
        codec: Encodes the targets, as in training.
        number: Persons to show; all if there are fewer.
    """
    rng = np.random.default_rng(dataset.seed)
    chosen = np.sort(rng.permutation(len(dataset))[:number]).tolist()
    keys = [(epoch, index) for index in chosen for epoch in range(EPOCHS)]
    batch = dataset.__getitems__(keys)
    height, width = batch.crops.shape[1:3]
    heatmaps, weight = codec.encode(batch.keypoints_crop, batch.visibility > 0)
    (side, _), columns = _layout(skeleton, EPOCHS)
    pictures, titles = [], []
    parts = zip(
        batch.crops.numpy(), batch.keypoints_crop.numpy(), batch.visibility.numpy(), strict=True
    )
    for place, (crop, points, visibility) in enumerate(parts):
        large, factor = fit_picture(crop, (side, side))
        labels = draw_labels(large, fit_points(points, factor), visibility, skeleton)
        targets = heatmap_overlay(crop, heatmaps[place].numpy(), udp=codec.udp)
        enlarged, _ = fit_picture(targets, (side, side))
        pictures.append(np.concatenate([labels, enlarged], axis=1))
        trained = int(weight[place].sum())
        epoch, index = keys[place]
        titles.append(
            f"person {dataset.persons.ids[index]}, epoch {epoch}: {trained} of "
            f"{int((visibility > 0).sum())} labels with a target"
        )
    cell = (side, round(2 * side * width / height))
    sheet = picture_sheet(pictures, titles, columns=columns, cell_size=cell)
    title = "what the network sees, and its target heatmaps"
    return with_legend(sheet, title, skeleton=skeleton)


def _layout(skeleton: Skeleton, columns: int) -> tuple[tuple[int, int], int]:
    """(height, width) of a person's picture, and how many of them, or epochs, are side by side."""
    if skeleton.num_keypoints < MANY:
        return CELL, columns
    return (2 * CELL[0], 2 * CELL[1]), -(-columns // 2)


def draw_labels(
    image: Image,
    keypoints: NDArray[np.floating],
    visibility: NDArray[np.uint8],
    skeleton: Skeleton,
    bbox_xywh: NDArray[np.floating] | None = None,
) -> Image:
    """Draw one person on a copy: limbs and numbered keypoints, a ring for an occluded one.

    Args:
        image: (H, W, 3) uint8 RGB.
        keypoints: (K, 2), the image's frame.
        visibility: (K,) 0, 1 or 2.
        skeleton: Edges and sides.
        bbox_xywh: (4,), the image's frame; drawn too.
    """
    return draw_keypoints(
        image,
        keypoints[None],
        (visibility > 0)[None].astype(float),
        skeleton,
        hollow=(visibility == 1)[None],
        boxes=None if bbox_xywh is None else bbox_xywh[None],
        labels=[str(number) for number in range(skeleton.num_keypoints)],
        own_colors=distinct_colors(skeleton.num_keypoints),
    )


def stack(sheets: Sequence[Image]) -> Image:
    """Put sheets below each other, narrower ones extended on the right."""
    width = max(sheet.shape[1] for sheet in sheets)
    padded = [
        np.pad(s, ((0, 0), (0, width - s.shape[1]), (0, 0)), constant_values=PAPER[0])
        for s in sheets
    ]
    return np.concatenate(padded)


def with_legend(
    sheet: Image, title: str, occlusion: bool = True, skeleton: Skeleton | None = None
) -> Image:
    """Put the colors of the sides and a title above a sheet, and the keypoints' names by number.

    Args:
        sheet: (H, W, 3) uint8 RGB.
        title: Text next to the colors.
        occlusion: Explain discs and rings, too.
        skeleton: Skeleton of the keypoints that are numbered in the sheet; None if they are not.
    """
    width = max(sheet.shape[1], 560)
    head = np.full((34, width, 3), PAPER, np.uint8)
    x = 10
    grey = (90, 90, 90)
    marks = [(LEFT, "left"), (RIGHT, "right"), (MIDDLE, "middle")]
    if occlusion:
        marks += [(grey, "visible"), (grey, "occluded")]
    for color, word in marks:
        cv2.circle(head, (x + 6, 17), 6, color, -1, cv2.LINE_AA)
        if word == "occluded":
            cv2.circle(head, (x + 6, 17), 3, RIM, -1, cv2.LINE_AA)
        x = _write(head, word, x + 18)
    _write(head, title, x + 10)
    return stack([head, *([] if skeleton is None else [_names(skeleton, width)]), sheet])


def _names(skeleton: Skeleton, width: int) -> Image:
    """Number, color and name of each keypoint, in columns from top to bottom."""
    texts = [f"{number} {name}" for number, name in enumerate(skeleton.keypoints)]
    widest = min(max(text_size(text, 10)[1] for text in texts) + 34, width - 10)
    rows = math.ceil(len(texts) / ((width - 10) // widest))
    plate = np.full((rows * LINE + 8, width, 3), PAPER, np.uint8)
    colors = zip(keypoint_colors(skeleton), distinct_colors(len(texts)), strict=True)
    for number, (text, (side, own)) in enumerate(zip(texts, colors, strict=True)):
        x, y = 10 + number // rows * widest, 2 + number % rows * LINE
        cv2.circle(plate, (x + 6, y + 9), 7, side, -1, cv2.LINE_AA)
        cv2.circle(plate, (x + 6, y + 9), 5, own, -1, cv2.LINE_AA)
        draw_text(plate, shorten_text(text, widest - 20, 10), (x + 18, y + 3), 10)
    return plate


def _write(canvas: Image, words: str, x: int) -> int:
    """Write words and return the x at which the next begin."""
    shown = shorten_text(words, canvas.shape[1] - x, 10)
    draw_text(canvas, shown, (x, 11), 10)
    return x + text_size(shown, 10)[1] + 16
