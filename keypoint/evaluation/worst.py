"""A sheet of the persons that were predicted worst: truth next to prediction, errors marked."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from keypoint.data.image import read_image
from keypoint.data.persons import Images
from keypoint.drawing.lettering import INK, PAPER, RIM, SHIFT, Image, write_words
from keypoint.drawing.persons import draw_keypoints, fit_picture, fit_points, picture_sheet
from keypoint.drawing.sheets import shorten
from keypoint.evaluation.analysis.analyse import Comparison
from keypoint.evaluation.analysis.errors import INVERSION, JITTER, KINDS, MISS, SWAP
from keypoint.pose.skeleton import Skeleton

CELL_SIZE = (300, 330)
ORDER = (MISS, SWAP, INVERSION, JITTER)
COLORS = {
    MISS: (235, 40, 40),
    SWAP: (200, 60, 220),
    INVERSION: (250, 220, 30),
    JITTER: (245, 245, 245),
}


def worst_rows(compared: Comparison, number: int) -> NDArray[np.int64]:
    """Rows of `compared.own` by rising OKS, at most `number`; equal ones keep their order."""
    return np.argsort(compared.own_oks, kind="stable")[:number]


def describe_errors(compared: Comparison, row: int) -> str:
    """As `OKS 0.31: 4 miss, 1 jitter of 12 keypoints`."""
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

    Left the annotation, right the prediction; there a ring in the error's colour stands about each
    wrong keypoint, and a line leads to its place. Persons without a result take no more than half
    of the sheet while there are others: they can be many, and are often the detector's.

    Args:
        compared: Results compared with annotations.
        images: Images of the annotation file.
        skeleton: Edges and sides.
        number: Persons to show; all if there are fewer. There is one at least: `compare` refuses
            annotations without.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        DataError: An image cannot be read.
    """
    missed = missed_rows(compared)
    shown = missed[: max(number // 2, number - len(compared.own_oks))]
    pictures, titles = [], []
    for person in shown:
        pictures += _missed_person(compared, images, skeleton, int(person))
        titles += [_title(compared, images, int(person)), "missed: no result"]
    for row in worst_rows(compared, number - len(shown)):
        pictures += _found_person(compared, images, skeleton, int(row))
        titles += [
            _title(compared, images, int(compared.own.truth[row])),
            describe_errors(compared, int(row)),
        ]
    sheet = picture_sheet(pictures, titles, columns=4, cell_size=CELL_SIZE)
    return np.concatenate([_legend(sheet.shape[1], len(shown), len(missed)), sheet])


def _image_row(compared: Comparison, images: Images, person: int) -> int:
    image_id = compared.truth.image_ids[compared.truth.image[person]]
    return int(np.flatnonzero(images.ids == image_id)[0])


def _title(compared: Comparison, images: Images, person: int) -> str:
    """File and annotation, as both are looked for."""
    name = str(images.file_names[_image_row(compared, images, person)]).rpartition("/")[2]
    return f"{shorten(name, 24)}, annotation {compared.truth.ids[person]}"


def _missed_person(
    compared: Comparison, images: Images, skeleton: Skeleton, person: int
) -> list[Image]:
    """With the truth, and without anything."""
    truth = compared.truth
    there, labelled = truth.keypoints[person], truth.labelled[person]
    image = read_image(images.path(_image_row(compared, images, person)))
    known = there[labelled]
    region = _region(truth.bbox_xywh[person], known, known, image.shape[:2])
    picture, scale = _cut_out(image, region)
    points = fit_points(there - region[:2], scale)
    return [draw_keypoints(picture, points[None], labelled[None].astype(float), skeleton), picture]


def _found_person(
    compared: Comparison, images: Images, skeleton: Skeleton, row: int
) -> list[Image]:
    """With the truth, and with the prediction and its errors."""
    truth, results = compared.truth, compared.results
    person, result = int(compared.own.truth[row]), int(compared.own.result[row])
    there, found = truth.keypoints[person], results.keypoints[result]
    labelled = truth.labelled[person]
    image = read_image(images.path(_image_row(compared, images, person)))
    region = _region(truth.bbox_xywh[person], there[labelled], found, image.shape[:2])
    picture, scale = _cut_out(image, region)
    to_picture = fit_points(there - region[:2], scale), fit_points(found - region[:2], scale)
    left = draw_keypoints(picture, to_picture[0][None], labelled[None].astype(float), skeleton)
    shown = np.where(labelled, 1.0, results.keypoint_scores[result])
    right = draw_keypoints(picture, to_picture[1][None], shown[None], skeleton)
    _mark(right, *to_picture, compared.kinds[row])
    return [left, right]


def _region(
    bbox_xywh: NDArray[np.float64],
    there: NDArray[np.float64],
    found: NDArray[np.float64],
    image_size: tuple[int, ...],
) -> NDArray[np.int64]:
    """(4,) x1, y1, x2, y2 about person and prediction, as far as it is no more than thrice him."""
    low = np.minimum(bbox_xywh[:2], there.min(axis=0))
    high = np.maximum(bbox_xywh[:2] + bbox_xywh[2:], there.max(axis=0))
    side = np.maximum((high - low).max(), 32.0)
    low = np.clip(found.min(axis=0), low - side, low) - 0.1 * side
    high = np.clip(found.max(axis=0), high, high + side) + 0.1 * side
    limit = np.array(image_size[::-1])
    first = np.clip(np.floor(low), 0, limit - 1)
    last = np.clip(np.ceil(high), first + 1, limit)
    return np.concatenate([first, last]).astype(np.int64)


def _cut_out(image: Image, region: NDArray[np.int64]) -> tuple[Image, float]:
    """The region enlarged or shrunk to fit a cell, before anything is drawn, and the factor."""
    part = image[region[1] : region[3], region[0] : region[2]]
    return fit_picture(part, CELL_SIZE)


def _mark(
    picture: Image,
    there: NDArray[np.float64],
    found: NDArray[np.float64],
    kinds: NDArray[np.int64],
) -> None:
    for k in np.flatnonzero(kinds > 0):
        if np.abs(np.stack([there[k], found[k]])).max() > 2**24:  # beyond OpenCV's range
            continue
        start, end = ((p * 2**SHIFT).round().astype(int).tolist() for p in (found[k], there[k]))
        for width, color in ((3, RIM), (1, COLORS[int(kinds[k])])):
            cv2.line(picture, start, end, color, width, cv2.LINE_AA, SHIFT)
            cv2.circle(picture, start, 8 * 2**SHIFT, color, width + 1, cv2.LINE_AA, SHIFT)
            cv2.circle(picture, end, (1 + width) * 2**SHIFT, color, -1, cv2.LINE_AA, SHIFT)


def _legend(width: int, shown: int, missed: int) -> Image:
    """The meaning of the colours and, if persons have no result, how many of them are shown."""
    strip = np.full((26 + 20 * bool(missed), width, 3), PAPER, np.uint8)
    x = 8
    write_words(strip, "left truth, right prediction", (x, 7), 9, INK)
    x += 210
    for kind in ORDER:
        for thickness, color in ((4, RIM), (2, COLORS[kind])):
            cv2.circle(strip, (x + 8, 13), 7, color, thickness, cv2.LINE_AA)
        write_words(strip, KINDS[kind], (x + 22, 7), 9, INK)
        x += 100
    if missed:
        words = f"{missed} persons have no result; {shown} of them shown, the largest"
        write_words(strip, words, (8, 29), 9, INK)
    return strip
