"""Score the ground truth as a prediction: the AP of a perfect network on a data set.

The annotations go through `make_results` and `evaluate_coco` like a model's predictions, and AP
must be 1. Legitimate reasons for less are counted; anything else is a fault of the data or of the
toolkit. No network is involved. With annotated boxes no crop is either, so a labelled keypoint
outside its crop does not matter; with a detector's boxes, no keypoint is predicted outside the crop
of its box, because a network cannot predict a point beyond the last pixel of a heatmap.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keypoint.data.notes import in_number
from keypoint.data.persons import Annotations, Persons
from keypoint.evaluation.coco import evaluate_coco
from keypoint.evaluation.results import MAX_PERSONS, make_results
from keypoint.pose.geometry import CropFrame
from keypoint.pose.names import STRIDE
from keypoint.pose.skeleton import Skeleton

MAX_IMAGES = 5000  # as val2017; from a larger set this number is sampled evenly
PERFECT = 0.9995
SLACK = 1e-6  # pixels


@dataclass(frozen=True)
class SelfTest:
    """The outcome of truth as prediction.

    Attributes:
        metrics: The ten COCO numbers.
        persons: Number of predicted persons.
        images: Number of scored images.
        reasons: Why a perfect network gets less than 1, each with a count; may be empty.
    """

    metrics: dict[str, float]
    persons: int
    images: int
    reasons: tuple[str, ...]

    @property
    def is_explained(self) -> bool:
        """Whether AP is 1, or less for a counted reason."""
        return self.metrics["AP"] >= PERFECT or bool(self.reasons)

    def __str__(self) -> str:
        why = f" ({'; '.join(self.reasons)})" if self.reasons else ""
        return (
            f"truth as prediction: AP {self.metrics['AP']:.3f}, "
            f"{in_number(self.persons, 'persons')} on {in_number(self.images, 'images')}{why}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `data_report.json`."""
        metrics = {name: round(value, 6) for name, value in self.metrics.items()}
        return asdict(self) | {"metrics": metrics, "reasons": list(self.reasons)}


def truth_as_prediction(
    annotations: Annotations,
    truth: Persons,
    skeleton: Skeleton,
    *,
    boxes: Persons | None = None,
    input_size: tuple[int, int] = (256, 192),
    udp: bool = False,
    nms: str | None = "hard",
    nms_threshold: float = 0.9,
) -> SelfTest:
    """Score the truth against itself.

    Args:
        annotations: The annotations to score against, read with `scored`. Persons on other images
            than theirs are left out.
        truth: Ground-truth persons of the same file.
        skeleton: Its OKS sigmas are used.
        boxes: A detector's boxes: each predicts the person whose box it overlaps most, which is
            the best that any network can do with them. None: ground-truth boxes.
        input_size: (height, width) of the network's input; its heatmaps are a quarter of it.
        udp: Whether crops are measured as UDP does.
        nms: "hard", "soft" or None.
        nms_threshold: OKS above which "hard" drops the lower score.

    Raises:
        DataError: No person in the annotations can be scored against.
    """
    image_ids = _evenly(np.sort(annotations.images.ids))
    annotations = annotations.on_images(image_ids)
    given = truth if boxes is None else boxes
    rows = np.flatnonzero(np.isin(given.image_ids, image_ids))
    points, scores, rows = _predict(truth, given, rows)
    crops = CropFrame.from_bboxes(given.bbox_xywh[rows], input_size, udp=udp)
    outside = np.zeros(scores.shape, dtype=bool)
    if boxes is not None:
        reached = _into_crops(points, crops)
        outside = (scores > 0) & (np.abs(reached - points) > SLACK).any(axis=2)
        points = reached
    results, counts = make_results(
        given.image_ids[rows],
        points,
        scores,
        given.bbox_scores[rows],
        crops.area,
        skeleton.oks_sigmas,
        category_id=truth.category_id,
        nms=nms,
        nms_threshold=nms_threshold,
    )
    metrics = evaluate_coco(annotations, results, oks_sigmas=skeleton.oks_sigmas)

    counted = int(annotations.counted.sum())
    mine = int(np.isin(truth.image_ids, image_ids).sum())
    of_image = np.unique(results.image_ids, return_counts=True)[1]
    cut = int(np.clip(of_image - MAX_PERSONS, 0, None).sum())
    why = {
        "scored persons are missed, as their bbox has no area": counted - mine,
        "results suppressed by OKS-NMS as the same person": counts.suppressed,
        f"results beyond COCO's {MAX_PERSONS} per image": cut,
    }
    if boxes is not None:
        matched = len(np.unique(_nearest(truth, given, rows)))
        why["persons are not the best match of any box"] = mine - matched
        why["labelled keypoints are outside the crop of their box"] = int(outside.sum())
    reasons = tuple(in_number(count, text) for text, count in why.items() if count > 0)
    return SelfTest(metrics, len(rows), len(image_ids), reasons)


def _predict(
    truth: Persons, given: Persons, rows: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Keypoints and scores for the boxes in `rows` that overlap a person, and those rows."""
    if given is truth:
        persons = rows
    else:
        persons = _nearest(truth, given, rows)
        rows, persons = rows[persons >= 0], persons[persons >= 0]
    labelled = truth.visibility[persons] > 0
    boxes = given.bbox_xywh[rows]
    # Unlabelled keypoints get a different place for each person: OKS-NMS compares all
    # keypoints, and persons with one label each would otherwise be equal in all the others.
    middle = (boxes[:, :2] + boxes[:, 2:] / 2)[:, None]
    points = np.where(labelled[..., None], truth.keypoints_image[persons], middle)
    return points.astype(np.float64), labelled.astype(np.float64), rows


def _into_crops(points: NDArray[np.float64], crops: CropFrame) -> NDArray[np.float64]:
    """(P, K, 2) the points of the heatmaps that are nearest to points of the image."""
    grid = (crops.input_size[0] // STRIDE, crops.input_size[1] // STRIDE)
    ends = np.array([[0, 0], [grid[1] - 1, grid[0] - 1]], dtype=np.float64)
    first, last = np.split(crops.to_image(np.tile(ends, (len(crops), 1, 1)), grid), 2, axis=1)
    return np.clip(points, first, last)


def _nearest(truth: Persons, given: Persons, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each box the person of its image that it overlaps most (by IoU); -1 for none."""
    found = np.full(len(rows), -1)
    of_image: dict[int, NDArray[np.int64]] = {}
    order = np.argsort(truth.image_ids, kind="stable")
    ids, first = np.unique(truth.image_ids[order], return_index=True)
    for key, span in zip(ids.tolist(), np.split(order, first[1:]), strict=True):
        of_image[key] = span
    for place, row in enumerate(rows):
        persons = of_image.get(int(given.image_ids[row]))
        if persons is None:
            continue
        a, b = given.bbox_xywh[row], truth.bbox_xywh[persons]
        low, high = np.maximum(a[:2], b[:, :2]), np.minimum(a[:2] + a[2:], b[:, :2] + b[:, 2:])
        shared = np.clip(high - low, 0, None).prod(axis=1)
        union = a[2:].prod() + b[:, 2:].prod(axis=1) - shared
        overlap = shared / np.maximum(union, 1e-9)
        if overlap.max() > 0:
            found[place] = persons[overlap.argmax()]
    return found


def _evenly(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    if len(ids) <= MAX_IMAGES:
        return ids
    return np.asarray(ids[np.linspace(0, len(ids) - 1, MAX_IMAGES).round().astype(int)])
