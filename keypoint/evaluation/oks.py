"""Object keypoint similarity between predicted persons, and the person scores and NMS built on it.

Source: COCO's keypoint metric (cocodataset.org, and COCOeval.computeOks), with the two changes
that SimpleBaseline and HRNet (`lib/nms/nms.py`) make to compare two predictions: the area is the
mean of both persons' areas, and all keypoints count, because a prediction has no visibility flags.
Soft-NMS: Bodla et al. 2017, with OKS for IoU and the Gaussian weight. Different here: arrays over
persons instead of loops, and equal scores keep their order, so that results are reproducible.

All keypoints are in the image's frame, in pixels; areas are in square pixels; inputs are finite.
Letters: P persons, K keypoints, R rows computed at a time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Numbers in a temporary array, 1.6 MB: it stays in the cache; 76 persons take one step at K = 17.
CHUNK_NUMBERS = 200_000


def oks(
    keypoints_image: ArrayLike,
    others_image: ArrayLike,
    area: float,
    areas: ArrayLike,
    oks_sigmas: ArrayLike,
) -> NDArray[np.float64]:
    """Similarity of one person to each of P others: 1 for equal keypoints, towards 0 far away.

    Args:
        keypoints_image: (K, 2).
        others_image: (P, K, 2).
        area: Of the one person.
        areas: (P,), of the others.
        oks_sigmas: (K,), COCO's fall-off constants; the variance is (2 sigma)^2 times the area.

    Returns:
        (P,) in [0, 1].

    Raises:
        ValueError: Shapes that do not belong together.
    """
    one = np.asarray(keypoints_image, dtype=np.float64)[None]
    others, areas_, sigmas = _checked(others_image, areas, oks_sigmas)
    if one.shape[1:] != others.shape[1:]:
        raise ValueError(
            f"keypoints {one.shape[1:]} and others {others.shape}; give (K, 2), (P, K, 2)"
        )
    return _rows(one, others, np.array([area], dtype=np.float64), areas_, sigmas).ravel()  # P


def oks_nms(
    keypoints_image: ArrayLike,
    scores: ArrayLike,
    areas: ArrayLike,
    oks_sigmas: ArrayLike,
    threshold: float = 0.9,
) -> NDArray[np.int64]:
    """Greedy suppression on one image: by descending score, drop a person similar to a kept one.

    Args:
        keypoints_image: (P, K, 2).
        scores: (P,), of the persons.
        areas: (P,); usually those of the enlarged crops.
        oks_sigmas: (K,).
        threshold: Dropped when OKS > threshold.

    Returns:
        Indices of kept persons by descending score; of equal scores, the lower index is first (and
        suppresses the other). Empty for P = 0.

    Raises:
        ValueError: Shapes that do not belong together.
    """
    keypoints, areas_, sigmas = _checked(keypoints_image, areas, oks_sigmas)
    order = np.argsort(-_checked_scores(scores, keypoints), kind="stable")
    keypoints, areas_ = keypoints[order], areas_[order]
    kept = np.ones(len(order), dtype=bool)
    step = _rows_at_a_time(keypoints)
    for start in range(0, len(order), step):
        rows = start + np.flatnonzero(kept[start : start + step])
        similar = (
            _rows(keypoints[rows], keypoints[start:], areas_[rows], areas_[start:], sigmas)
            > threshold
        )  # R P-start
        for row, resembles in zip(rows, similar, strict=True):
            if kept[row]:
                kept[row + 1 :] &= ~resembles[row + 1 - start :]
    return np.asarray(order[kept], dtype=np.int64)


def may_resemble(
    image_ids: ArrayLike,
    keypoints_image: ArrayLike,
    areas: ArrayLike,
    oks_sigmas: ArrayLike,
    threshold: float,
) -> NDArray[np.bool_]:
    """Find persons that may have an OKS above a threshold with another one on the same image.

    If a few keypoints are far apart, the mean is below the threshold for any values of the others;
    two are enough for most pairs of a data set. Such persons need no `oks_nms`.

    Args:
        image_ids: (P,).
        keypoints_image: (P, K, 2).
        areas: (P,), as in `oks_nms`.
        oks_sigmas: (K,).
        threshold: Of `oks_nms`.

    Returns:
        (P,), true for all such persons, and for a few more.
    """
    keypoints, areas_, sigmas = _checked(keypoints_image, areas, oks_sigmas)
    number = len(sigmas)
    may_lose = number * (1 - threshold) + 1e-9  # rounding must not exclude any person
    some = min(number, int(max(0.0, may_lose)) + 3)
    looked_at = np.linspace(0, number - 1, some).round().astype(int)
    order = np.argsort(image_ids, kind="stable")
    image, area = np.asarray(image_ids)[order], areas_[order]
    scale = np.sqrt(8) * sigmas[looked_at]
    x, y = (
        np.stack([keypoints[:, k, axis][order] for k in looked_at]) / scale[:, None]  # some P
        for axis in (0, 1)
    )
    found = np.zeros(len(order), dtype=bool)
    for step in range(1, len(order)):
        one = np.flatnonzero(image[step:] == image[:-step])  # R, with whom `step` rows on
        if not len(one):
            break
        lost = np.zeros(len(one))
        for k in range(some):
            other = one + step
            with np.errstate(over="ignore"):
                squared = (x[k, other] - x[k, one]) ** 2 + (y[k, other] - y[k, one]) ** 2
                lost += 1 - np.exp(-squared / ((area[one] + area[other]) / 2 + np.spacing(1)))
            near = lost < may_lose
            one, lost = one[near], lost[near]
        found[one] = found[one + step] = True
    result = np.empty(len(order), dtype=bool)
    result[order] = found
    return result


def soft_oks_nms(
    keypoints_image: ArrayLike,
    scores: ArrayLike,
    areas: ArrayLike,
    oks_sigmas: ArrayLike,
    threshold: float = 0.9,
    max_kept: int = 20,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Soft suppression on one image: a person similar to a kept one gets a lower score.

    Each kept person multiplies the scores of all remaining ones by exp(-oks^2 / threshold); the
    best of them is kept next. HRNet chooses persons this way but reports their old scores; the new
    scores, which the method is about, are returned here.

    Args:
        keypoints_image: (P, K, 2).
        scores: (P,), not negative.
        areas: (P,).
        oks_sigmas: (K,).
        threshold: Scale of the weight; smaller suppresses more.
        max_kept: Maximum number of kept persons.

    Returns:
        Indices of at most `max_kept` persons and their new scores, both by descending new score;
        of equal scores the lower index comes first.

    Raises:
        ValueError: Shapes that do not belong together.
    """
    keypoints, areas_, sigmas = _checked(keypoints_image, areas, oks_sigmas)
    remaining = _checked_scores(scores, keypoints).copy()
    left = np.arange(len(keypoints))
    kept: list[int] = []
    new_scores: list[float] = []
    while len(left) and len(kept) < max_kept:
        best = int(left[np.argmax(remaining[left])])
        kept.append(best)
        new_scores.append(float(remaining[best]))
        left = left[left != best]
        similarity = oks(keypoints[best], keypoints[left], areas_[best], areas_[left], sigmas)
        remaining[left] *= np.exp(-(similarity**2) / threshold)
    return np.array(kept, dtype=np.int64), np.array(new_scores, dtype=np.float64)


def person_scores(
    bbox_scores: ArrayLike, keypoint_scores: ArrayLike, keypoint_threshold: float = 0.2
) -> NDArray[np.float64]:
    """Score of each person: box score times the mean of the keypoint scores above a threshold.

    Args:
        bbox_scores: (P,), 1 for ground-truth boxes.
        keypoint_scores: (P, K), values at the heatmaps' peaks.
        keypoint_threshold: Scores at or below it do not count.

    Returns:
        (P,); 0 for a person without a keypoint score above the threshold.
    """
    scores = np.asarray(keypoint_scores, dtype=np.float64)
    confident = scores > keypoint_threshold
    count = confident.sum(axis=1)
    mean = np.where(confident, scores, 0.0).sum(axis=1) / np.maximum(count, 1)
    return np.asarray(np.asarray(bbox_scores, dtype=np.float64) * mean)


def _rows(
    ones: NDArray[np.float64],
    others: NDArray[np.float64],
    areas_of_ones: NDArray[np.float64],
    areas_of_others: NDArray[np.float64],
    sigmas: NDArray[np.float64],
) -> NDArray[np.float64]:
    """OKS of R persons with P others."""
    dx = ones[:, None, :, 0] - others[:, :, 0]  # R P K
    dy = ones[:, None, :, 1] - others[:, :, 1]
    area = (areas_of_ones[:, None] + areas_of_others) / 2 + np.spacing(1)  # as COCOeval: never 0
    exponent = (dx**2 + dy**2) / (2 * sigmas) ** 2 / area[..., None] / 2
    return np.asarray(np.exp(-exponent).mean(axis=-1))  # R P


def _rows_at_a_time(keypoints: NDArray[np.float64]) -> int:
    return max(1, CHUNK_NUMBERS // max(1, keypoints.size))


def _checked(
    keypoints_image: ArrayLike, areas: ArrayLike, oks_sigmas: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    keypoints = np.asarray(keypoints_image, dtype=np.float64)
    areas_ = np.asarray(areas, dtype=np.float64)
    sigmas = np.asarray(oks_sigmas, dtype=np.float64)
    if (
        keypoints.ndim != 3
        or keypoints.shape[2] != 2
        or areas_.shape != keypoints.shape[:1]
        or sigmas.shape != keypoints.shape[1:2]
    ):
        raise ValueError(
            f"keypoints {keypoints.shape}, areas {areas_.shape}, oks_sigmas {sigmas.shape}; "
            "give (P, K, 2), (P,), (K,)"
        )
    return keypoints, areas_, sigmas


def _checked_scores(scores: ArrayLike, keypoints: NDArray[np.float64]) -> NDArray[np.float64]:
    scores_ = np.asarray(scores, dtype=np.float64)
    if scores_.shape != keypoints.shape[:1]:
        raise ValueError(f"scores {scores_.shape} for keypoints {keypoints.shape}; give (P,)")
    return scores_
