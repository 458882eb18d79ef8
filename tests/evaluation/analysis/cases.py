"""Persons with known errors, and the results that make them."""

import numpy as np

from keypoint.pose.skeleton import Skeleton
from tests.evaluation.cases import result_of

OWN = Skeleton(
    name="own",
    keypoints=("tip", "left_end", "right_end", "base", "left_foot", "right_foot"),
    pairs=(("left_end", "right_end"), ("left_foot", "right_foot")),
    edges=(("tip", "base"),),
    oks_sigmas=(0.03, 0.05, 0.04, 0.08, 0.06, 0.07),  # unlike within a pair
)
UNPAIRED = Skeleton("sign", ("a", "b", "c", "d"), (), (("a", "b"),), (0.05,) * 4)


def crowded_case(seed, skeleton, images=4, own_boxes=False):
    """Persons close together, with predictions that jitter, invert, swap and miss.

    Returns (annotations, results, annotation ids of the results).
    """
    generator = np.random.default_rng(seed)
    num_keypoints = skeleton.num_keypoints
    flip = list(skeleton.flip_indices)
    image_ids = generator.choice(10**9, size=images, replace=False).tolist()
    annotations, results, owners = [], [], []
    for image_id in image_ids:
        center = generator.uniform(100, 200, 2)
        mine = []
        for _ in range(generator.integers(0, 5)):
            area = float(generator.choice([700.0, 2500.0, 12_000.0]))
            side = area**0.5
            points = center + generator.normal(0, 0.5 * side, (num_keypoints, 2))
            flags = generator.choice([0, 1, 2], num_keypoints, p=[0.2, 0.2, 0.6])
            if generator.random() < 0.1:
                flags[:] = 0
            mine.append((points, flags))
            annotations.append(
                {
                    "id": 5 + 3 * len(annotations),
                    "image_id": image_id,
                    "category_id": 1,
                    "iscrowd": int(generator.random() < 0.1),
                    "area": area,
                    "bbox": [*(center - side / 2).tolist(), side, side * generator.uniform(0.5, 2)],
                    "keypoints": np.column_stack([points, flags]).ravel().tolist(),
                }
            )
        counted = [
            (entry, points)
            for entry, (points, flags) in zip(annotations[len(annotations) - len(mine) :], mine, strict=True)
            if flags.any() and not entry["iscrowd"]
        ]  # fmt: skip
        for entry, points in counted:
            for _ in range(1 if own_boxes else generator.integers(0, 3)):
                guess = points + generator.normal(0, 0.03 * entry["area"] ** 0.5, points.shape)
                for k in range(num_keypoints):
                    fate, other = generator.random(), mine[generator.integers(len(mine))][0]
                    if fate < 0.15:
                        guess[k] = points[flip[k]] + generator.normal(0, 1.0, 2)
                    elif fate < 0.3:
                        guess[k] = other[k if fate < 0.22 else flip[k]] + generator.normal(0, 1, 2)
                    elif fate < 0.4:
                        guess[k] = generator.uniform(0, 300, 2)
                triples = np.column_stack([guess, generator.uniform(0, 1.1, num_keypoints)])
                owners.append(entry["id"])
                score = round(float(generator.random()), 1)  # many are equal
                results.append(result_of(image_id, triples, score))
    category = {"id": 1, "name": "object", "keypoints": list(skeleton.keypoints)}
    images_ = [{"id": image_id} for image_id in image_ids]
    content = {"images": images_, "annotations": annotations, "categories": [category]}
    return content, results, owners


def scorable(content):
    return any(
        any(entry["keypoints"][2::3]) and not entry["iscrowd"] for entry in content["annotations"]
    )
