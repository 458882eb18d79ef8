"""Pictures of a data set: persons with their labels, and training crops with their targets.

Left keypoints are orange, right ones blue, the others green, as everywhere; a disc is a visible
keypoint, a ring an occluded one.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from keypoint.data.batches import TrainDataset
from keypoint.data.image import read_image, warp
from keypoint.data.persons import Persons
from keypoint.drawing.lettering import INK, PAPER, RIM, Image, cut_words, words_size, write_words
from keypoint.drawing.persons import (
    draw_keypoints,
    fit_picture,
    fit_points,
    heatmap_overlay,
    picture_sheet,
)
from keypoint.drawing.strokes import LEFT, MIDDLE, RIGHT
from keypoint.pose.codec import Codec
from keypoint.pose.geometry import apply_affine, bbox_to_crop, crop_matrix
from keypoint.pose.skeleton import Skeleton

CELL = (288, 216)  # (height, width) of a picture of a person
CONTEXT = 1.6  # of the box's size: more than a crop's 1.25, so that a wrong box is seen


def truth_sheet(
    persons: Persons, skeleton: Skeleton, number: int, seed: int = 0, title: str = "as annotated"
) -> Image:
    """Random persons as annotated, with their box, each cut out of the image at its own size.

    Args:
        persons: Ground truth whose images can be read.
        skeleton: Edges and sides.
        number: Persons to show; all if there are fewer.
        seed: Which ones.
        title: Beside the legend.
    """
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(len(persons))[:number])
    pictures, titles = [], []
    for row in chosen:
        image = read_image(persons.images.path(int(persons.image_index[row])))
        bbox = persons.bbox_xywh[row]
        center, crop_size = bbox_to_crop(bbox[None], CELL, padding=CONTEXT)
        matrix = crop_matrix(center, crop_size, CELL)[0]
        crop = warp(image, matrix, CELL)
        first, last = apply_affine(matrix, np.array([bbox[:2], bbox[:2] + bbox[2:]]))
        box = np.concatenate([first, last - first])
        points = apply_affine(matrix, persons.keypoints_image[row].astype(np.float64))
        pictures.append(draw_labels(crop, points, persons.visibility[row], skeleton, box))
        name = str(persons.images.file_names[persons.image_index[row]]).rpartition("/")[2]
        titles.append(shorten(f"{persons.ids[row]}  {name}"))
    return with_legend(picture_sheet(pictures, titles, columns=6, cell_size=CELL), title)


def augmented_sheet(
    dataset: TrainDataset, skeleton: Skeleton, codec: Codec, number: int, epochs: int = 3
) -> Image:
    """Training crops as the network gets them, each above its target heatmaps.

    Args:
        dataset: Its seed decides which persons and what is drawn.
        skeleton: Edges and sides.
        codec: Makes the targets, as in training.
        number: Persons to show; all if there are fewer.
        epochs: Different augmentations of each person, side by side.
    """
    rng = np.random.default_rng(dataset.seed)
    chosen = np.sort(rng.permutation(len(dataset))[:number]).tolist()
    keys = [(epoch, index) for index in chosen for epoch in range(epochs)]
    batch = dataset.__getitems__(keys)
    height, width = batch.crops.shape[1:3]
    heatmaps, weight = codec.encode(batch.keypoints_crop, batch.visibility > 0)
    pictures, titles = [], []
    parts = zip(
        batch.crops.numpy(), batch.keypoints_crop.numpy(), batch.visibility.numpy(), strict=True
    )
    for place, (crop, points, visibility) in enumerate(parts):
        large, factor = fit_picture(crop, (CELL[0], CELL[0]))
        labels = draw_labels(large, fit_points(points, factor), visibility, skeleton)
        targets = heatmap_overlay(crop, heatmaps[place].numpy(), udp=codec.udp)
        enlarged, _ = fit_picture(targets, (CELL[0], CELL[0]))
        pictures.append(np.concatenate([labels, enlarged], axis=1))
        trained = int(weight[place].sum())
        epoch, index = keys[place]
        titles.append(
            f"person {dataset.persons.ids[index]}, epoch {epoch}: {trained} of "
            f"{int((visibility > 0).sum())} labels have a target"
        )
    cell = (CELL[0], round(2 * CELL[0] * width / height))
    sheet = picture_sheet(pictures, titles, columns=epochs, cell_size=cell)
    return with_legend(sheet, "what the network sees, and its target heatmaps")


def draw_labels(
    image: Image,
    keypoints: NDArray[np.floating],
    visibility: NDArray[np.uint8],
    skeleton: Skeleton,
    bbox_xywh: NDArray[np.floating] | None = None,
) -> Image:
    """One person on a copy: limbs and keypoints, a ring where the keypoint is occluded.

    Args:
        image: (H, W, 3) uint8 RGB.
        keypoints: (K, 2), the image's frame.
        visibility: (K,) 0, 1 or 2.
        skeleton: Edges and sides.
        bbox_xywh: (4,) drawn too, the image's frame.
    """
    return draw_keypoints(
        image,
        keypoints[None],
        (visibility > 0)[None].astype(float),
        skeleton,
        hollow=(visibility == 1)[None],
        boxes=None if bbox_xywh is None else bbox_xywh[None],
    )


def stack(sheets: Sequence[Image]) -> Image:
    """Sheets below each other, the narrower ones on the same ground."""
    width = max(sheet.shape[1] for sheet in sheets)
    padded = [
        np.pad(s, ((0, 0), (0, width - s.shape[1]), (0, 0)), constant_values=PAPER[0])
        for s in sheets
    ]
    return np.concatenate(padded)


def with_legend(sheet: Image, title: str, occlusion: bool = True) -> Image:
    """A sheet below the colours of the sides and its title.

    Args:
        sheet: (H, W, 3) uint8 RGB.
        title: Beside the colours.
        occlusion: Keypoints are drawn by `draw_labels`, with discs and rings.
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
    return stack([head, sheet])


def _write(canvas: Image, words: str, x: int) -> int:
    """Write words and return where the next begin."""
    shown = cut_words(words, canvas.shape[1] - x, 10)
    write_words(canvas, shown, (x, 11), 10, INK)
    return x + words_size(shown, 10)[1] + 16


def shorten(text: str, length: int = 30) -> str:
    """A name as OpenCV can write it, ASCII alone, and no longer than that."""
    shown = text.encode("ascii", "replace").decode()
    return shown if len(shown) <= length else f"{shown[: length - 2]}.."
