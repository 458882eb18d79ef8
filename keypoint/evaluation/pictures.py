"""A sheet of evaluated images: ground truth next to prediction."""

from __future__ import annotations

import numpy as np

from keypoint.data.image import read_image
from keypoint.data.persons import Persons
from keypoint.drawing.canvas import Image
from keypoint.drawing.persons import draw_keypoints, fit_picture, fit_points, picture_sheet
from keypoint.drawing.sheets import with_legend
from keypoint.evaluation.run import Predictions
from keypoint.pose.skeleton import Skeleton

CELL_SIZE = (300, 330)


def truth_beside_prediction(
    persons: Persons,
    predictions: Predictions,
    truth: Persons,
    skeleton: Skeleton,
    number: int,
) -> Image:
    """A sheet of images taken evenly from the set, ground truth left of each prediction.

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
