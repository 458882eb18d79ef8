"""Sheets of predictions next to their annotations: of any images, and of the worst persons."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from keypoint.data.images.read import read_image
from keypoint.data.notes import in_number
from keypoint.data.persons import Images, Persons
from keypoint.drawing.canvas import FAR, PAPER, RIM, SHIFT, Color, Image, draw_line, fixed_point
from keypoint.drawing.persons import (
    TITLE,
    draw_keypoints,
    fit_picture,
    fit_points,
    picture_sheet,
)
from keypoint.drawing.sheets import with_legend
from keypoint.drawing.text import draw_text, shorten_text
from keypoint.evaluation.analysis.analyse import Comparison
from keypoint.evaluation.analysis.errors import INVERSION, JITTER, KINDS, MISS, SWAP
from keypoint.evaluation.run import Predictions
from keypoint.pose.skeleton import Skeleton

CELL_SIZE = (300, 330)
ORDER = (MISS, SWAP, INVERSION, JITTER)
COLORS: dict[int, Color] = {
    MISS: (235, 40, 40),
    SWAP: (200, 60, 220),
    INVERSION: (250, 220, 30),
    JITTER: (245, 245, 245),
}


def truth_beside_prediction(
    persons: Persons,
    predictions: Predictions,
    truth: Persons,
    skeleton: Skeleton,
    number: int,
) -> Image:
    """Return a sheet of images taken evenly from the set, ground truth left of each prediction.

    Args:
        persons: The evaluated records.
        predictions: The predictions for them.
        truth: Ground-truth persons of the same images; may be `persons` itself.
        skeleton: Edges and sides.
        number: Images to show; all if there are fewer.
    """
    rows = np.unique(persons.image_index)
    chosen = np.linspace(0, len(rows) - 1, min(number, len(rows))).round().astype(int)
    pictures, titles = [], []
    for row in rows[np.unique(chosen)]:
        image, factor = fit_picture(read_image(persons.images.path(int(row))), CELL_SIZE)
        there = truth.image_ids == persons.images.ids[row]
        found = persons.image_index[predictions.index] == row
        labelled = (truth.visibility[there] > 0).astype(float)
        points = fit_points(truth.keypoints_image[there], factor)
        hidden = truth.visibility[there] == 1
        pictures.append(draw_keypoints(image, points, labelled, skeleton, hollow=hidden))
        points = fit_points(predictions.keypoints_image[found], factor)
        scores = predictions.scores[found]
        pictures.append(draw_keypoints(image, points, scores, skeleton))
        titles += [f"{persons.images.file_names[row]}: truth", "prediction"]
    sheet = picture_sheet(pictures, titles, columns=4, cell_size=CELL_SIZE)
    return with_legend(sheet, "faint: a low score", occlusion=False)


def worst_rows(compared: Comparison, number: int) -> NDArray[np.int64]:
    """Return at most `number` rows of `compared.own` by ascending OKS; stable for equal OKS."""
    return np.argsort(compared.own_oks, kind="stable")[:number]


def describe_errors(compared: Comparison, row: int) -> str:
    """The errors of one person, such as `OKS 0.31: 4 miss, 1 jitter of 12`."""
    kinds = compared.kinds[row]
    counts = [f"{(kinds == kind).sum()} {KINDS[kind]}" for kind in ORDER if (kinds == kind).any()]
    labelled = int((kinds >= 0).sum())
    errors = ", ".join(counts) or "no error"
    return f"OKS {compared.own_oks[row]:.2f}: {errors} of {labelled}"


def missed_rows(compared: Comparison) -> NDArray[np.int64]:
    """Rows of `compared.truth` that count and have no result, the largest persons first."""
    missed = ~compared.truth.ignored
    missed[compared.own.truth] = False
    rows = np.flatnonzero(missed)
    return rows[np.argsort(-compared.truth.area[rows], kind="stable")]


def worst_persons(compared: Comparison, images: Images, skeleton: Skeleton, number: int) -> Image:
    """The persons without a result, then those of lowest OKS, each cut out of its image.

    The annotation is on the left, the prediction on the right; there each wrong keypoint has a ring
    in the color of its error, and a line to the right place. Persons without a result take at most
    half of the sheet if there are others: they can be many, and are often due to the detector.

    Args:
        compared: Results compared with annotations.
        images: The images of the annotation file.
        skeleton: Edges and sides.
        number: Persons to show; all if there are fewer.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        DataError: An image cannot be read.
    """
    missed = missed_rows(compared)
    shown = missed[: max(number // 2, number - len(compared.own_oks))]
    pairs: list[tuple[int, int | None]] = [(int(person), None) for person in shown]
    for row in worst_rows(compared, number - len(shown)):
        pairs.append((int(compared.own.truth[row]), int(row)))
    pictures, titles = [], []
    for person, row in pairs:
        pictures += _truth_and_prediction(compared, images, skeleton, person, row)
        error = "missed: no result" if row is None else describe_errors(compared, row)
        titles += [_title(compared, images, person), error]
    sheet = picture_sheet(pictures, titles, columns=4, cell_size=CELL_SIZE)
    return np.concatenate([_legend(sheet.shape[1], len(shown), len(missed)), sheet])


def _image_row(compared: Comparison, images: Images, person: int) -> int:
    image_id = compared.truth.image_ids[compared.truth.image[person]]
    return int(np.flatnonzero(images.ids == image_id)[0])


def _title(compared: Comparison, images: Images, person: int) -> str:
    """The file's name and the annotation's id."""
    name = str(images.file_names[_image_row(compared, images, person)]).rpartition("/")[2]
    return f"{shorten_text(name, CELL_SIZE[1] / 2, TITLE)}, annotation {compared.truth.ids[person]}"


def _truth_and_prediction(
    compared: Comparison, images: Images, skeleton: Skeleton, person: int, row: int | None
) -> list[Image]:
    """A person with the annotation, and with the prediction and its errors if there is one."""
    truth, results = compared.truth, compared.results
    there, labelled = truth.keypoints[person], truth.labelled[person]
    result = None if row is None else int(compared.own.result[row])
    found = there[labelled] if result is None else results.keypoints[result]
    image = read_image(images.path(_image_row(compared, images, person)))
    x1, y1, x2, y2 = _region(truth.bbox_xywh[person], there[labelled], found, image.shape[:2])
    picture, scale = fit_picture(image[y1:y2, x1:x2], CELL_SIZE)
    there = fit_points(there - [x1, y1], scale)
    left = draw_keypoints(picture, there[None], labelled[None].astype(float), skeleton)
    if row is None:
        return [left, picture]
    found = fit_points(found - [x1, y1], scale)
    shown = np.where(labelled, 1.0, results.keypoint_scores[result])
    right = draw_keypoints(picture, found[None], shown[None], skeleton)
    _mark(right, there, found, compared.kinds[row])
    return [left, right]


def _region(
    bbox_xywh: NDArray[np.float64],
    there: NDArray[np.float64],
    found: NDArray[np.float64],
    image_size: tuple[int, ...],
) -> NDArray[np.int64]:
    """(4,) x1 y1 x2 y2 around person and prediction, at most three times as large as the person."""
    low = np.minimum(bbox_xywh[:2], there.min(axis=0))
    high = np.maximum(bbox_xywh[:2] + bbox_xywh[2:], there.max(axis=0))
    side = np.maximum((high - low).max(), 32.0)
    low = np.clip(found.min(axis=0), low - side, low) - 0.1 * side
    high = np.clip(found.max(axis=0), high, high + side) + 0.1 * side
    limit = np.array(image_size[::-1])
    first = np.clip(np.floor(low), 0, limit - 1)
    last = np.clip(np.ceil(high), first + 1, limit)
    return np.concatenate([first, last]).astype(np.int64)


def _mark(
    picture: Image,
    there: NDArray[np.float64],
    found: NDArray[np.float64],
    kinds: NDArray[np.int64],
) -> None:
    for k in np.flatnonzero(kinds > 0):
        color = COLORS[int(kinds[k])]
        if np.abs([there[k], found[k]]).max() > FAR:
            continue
        draw_line(picture, found[k], there[k], color)
        start, end = fixed_point(np.stack([found[k], there[k]])).tolist()
        for width, shade in ((3, RIM), (1, color)):
            cv2.circle(picture, start, 8 * 2**SHIFT, shade, width + 1, cv2.LINE_AA, SHIFT)
            cv2.circle(picture, end, (1 + width) * 2**SHIFT, shade, -1, cv2.LINE_AA, SHIFT)


def _legend(width: int, shown: int, missed: int) -> Image:
    """A strip that explains the colors, and says how many persons without a result are shown."""
    strip = np.full((26 + 20 * bool(missed), width, 3), PAPER, np.uint8)
    x = 8
    draw_text(strip, "left truth, right prediction", (x, 7), 9)
    x += 210
    for kind in ORDER:
        for thickness, color in ((4, RIM), (2, COLORS[kind])):
            cv2.circle(strip, (x + 8, 13), 7, color, thickness, cv2.LINE_AA)
        draw_text(strip, KINDS[kind], (x + 22, 7), 9)
        x += 100
    if missed:
        words = f"{in_number(missed, 'persons have no result')}; {shown} of them shown, the largest"
        draw_text(strip, words, (8, 29), 9)
    return strip
