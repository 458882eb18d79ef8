"""OKS, OKS-NMS and person scores restated slowly: loops over persons and keypoints, plain floats.

Written from COCO's definition of OKS (with the mean of two areas, as between two predictions) and
from the description of greedy and soft suppression; it shares no line with the package.
"""

import math


def oks(one, other, area, other_area, sigmas):
    mean_area = (area + other_area) / 2
    total = 0.0
    for k, sigma in enumerate(sigmas):
        squared = (one[k][0] - other[k][0]) ** 2 + (one[k][1] - other[k][1]) ** 2
        variance = (2 * sigma) ** 2 * mean_area
        total += math.exp(-squared / (2 * variance))
    return total / len(sigmas)


def oks_nms(persons, scores, areas, sigmas, threshold):
    """Kept indices: take the best (the first of equals), strike out all who resemble it, repeat."""
    left = list(range(len(persons)))
    kept = []
    while left:
        best = left[0]
        for i in left:
            if scores[i] > scores[best]:
                best = i
        kept.append(best)
        survivors = []
        for i in left:
            if i == best:
                continue
            if oks(persons[best], persons[i], areas[best], areas[i], sigmas) <= threshold:
                survivors.append(i)
        left = survivors
    return kept


def soft_oks_nms(persons, scores, areas, sigmas, threshold, max_kept):
    """Kept indices and scores: the best is taken, the others are weakened by likeness to it."""
    score = {i: float(scores[i]) for i in range(len(persons))}
    kept, new_scores = [], []
    while score and len(kept) < max_kept:
        best = None
        for i in sorted(score):
            if best is None or score[i] > score[best]:
                best = i
        kept.append(best)
        new_scores.append(score.pop(best))
        for i in score:
            likeness = oks(persons[best], persons[i], areas[best], areas[i], sigmas)
            score[i] *= math.exp(-(likeness**2) / threshold)
    return kept, new_scores


def person_score(bbox_score, keypoint_scores, threshold):
    confident = [score for score in keypoint_scores if score > threshold]
    if not confident:
        return 0.0
    return bbox_score * sum(confident) / len(confident)
