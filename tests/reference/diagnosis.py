"""Kinds of keypoint errors, PCK and best scores restated slowly: loops and plain floats.

Written from Ronchi and Perona 2017 (section 3.1: the four errors; 3.2: the best score) and from
the definition of PCK; it shares no line with the package. A person is a dict with `keypoints` (x,
y, v of each), `area` and `bbox`; a prediction is a list of (x, y).
"""

import math


def ks(point, person, k, sigmas):
    """Similarity of a point to keypoint k of a person; None without a label."""
    x, y, v = person["keypoints"][3 * k : 3 * k + 3]
    if v == 0:
        return None
    squared = (point[0] - x) ** 2 + (point[1] - y) ** 2
    return math.exp(-squared / (2 * person["area"] * (2 * sigmas[k]) ** 2))


def kind(prediction, k, person, others, sigmas, partner):
    """One of the five words, or None for a keypoint without a label."""
    own = ks(prediction[k], person, k, sigmas)
    if own is None:
        return None
    if own >= 0.85:
        return "good"
    if own >= 0.5:
        return "jitter"
    inverted = None if partner[k] == k else ks(prediction[k], person, partner[k], sigmas)
    inverted = 0.0 if inverted is None else inverted
    swapped = 0.0
    for other in others:
        for j in {k, partner[k]}:
            near = ks(prediction[k], other, j, sigmas)
            if near is not None and near > swapped:
                swapped = near
    if inverted < 0.5 and swapped < 0.5:
        return "miss"
    return "inversion" if inverted >= swapped else "swap"


def within(prediction, k, person, share):
    """Whether PCK counts keypoint k; None without a label."""
    x, y, v = person["keypoints"][3 * k : 3 * k + 3]
    if v == 0:
        return None
    longer = max(person["bbox"][2], person["bbox"][3])
    return math.hypot(prediction[k][0] - x, prediction[k][1] - y) <= share * longer


def oks(prediction, person, sigmas):
    values = [ks(prediction[k], person, k, sigmas) for k in range(len(sigmas))]
    values = [value for value in values if value is not None]
    return sum(values) / len(values)


def best_scores(predictions, persons, sigmas):
    """On one image: the likest pair belongs together, then the likest of the rest, and so on."""
    table = {
        (i, j): oks(prediction, person, sigmas)
        for i, prediction in enumerate(predictions)
        for j, person in enumerate(persons)
    }
    best = [0.0] * len(predictions)
    while table:
        pair = max(table, key=table.get)
        best[pair[0]] = table[pair]
        table = {key: v for key, v in table.items() if key[0] != pair[0] and key[1] != pair[1]}
    return best
