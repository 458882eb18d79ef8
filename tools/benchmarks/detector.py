#!/usr/bin/env python
"""Count persons that a detector finds on annotated photos, and its false boxes, by score.

    python tools/benchmarks/detector.py --detector hog \
        --annotations annotations/person_keypoints_val2017.json --images val2017

A box finds the person that it overlaps most, with an IoU of at least 0.5; each person is found
once, by the box with the highest score. A box that finds no person is false, unless more than half
of it is inside a crowd. `standing` are persons with a labelled ankle and part of the head, at least
100 pixels tall and 1.8 times as tall as wide. The last line has the fitted parameters of Platt's
sigmoid (hog.py).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from keypoint.files import read_json
from keypoint.prediction.detector import detect, load_detector

LEAST = 0.02  # below it nearly all boxes are false
TALL = 100  # pixels
SCORES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, detect, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--detector", default="hog", help="as of keypoint predict")
    parser.add_argument("--annotations", type=Path, required=True, help="COCO's form")
    parser.add_argument("--images", type=Path, required=True, help="folder of the images")
    args = parser.parse_args(argv)
    content = read_json(args.annotations, "annotations")
    model = load_detector(args.detector, LEAST)
    persons: list[dict[str, Any]] = []
    scores, finds = [], []  # of boxes, and the person each finds or -1
    for entry in content["images"]:
        image = cv2.imread(str(args.images / entry["file_name"]))[..., ::-1]
        [found] = detect(model, [np.ascontiguousarray(image)], [entry["file_name"]])
        mine = [a for a in content["annotations"] if a["image_id"] == entry["id"]]
        alone = [a for a in mine if not a["iscrowd"]]
        crowds = np.array([a["bbox"] for a in mine if a["iscrowd"]], float).reshape(-1, 4)
        for box, score in zip(found.boxes_xywh, found.scores, strict=True):
            person = best_person(box, alone, [f for f in finds if f >= 0], len(persons))
            if person < 0 and (shared(box, crowds) > 0.5 * box[2:].prod()).any():
                continue
            scores.append(score)
            finds.append(person)
        persons += alone
    report(persons, np.array(scores), np.array(finds, int))


def best_person(
    box: NDArray[np.float64], persons: list[dict[str, Any]], taken: list[int], first: int
) -> int:
    """The person that a box finds, counted from `first`; -1 for none."""
    boxes = np.array([person["bbox"] for person in persons], float).reshape(-1, 4)
    both = shared(box, boxes)
    iou = both / (box[2:].prod() + boxes[:, 2:].prod(axis=1) - both)
    iou[[number - first for number in taken if number >= first]] = 0
    return first + int(iou.argmax()) if iou.max(initial=0) >= 0.5 else -1


def shared(box: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the intersection of a box with others, in square pixels."""
    first = np.maximum(box[:2], boxes[:, :2])
    last = np.minimum(box[:2] + box[2:], boxes[:, :2] + boxes[:, 2:])
    return np.clip(last - first, 0, None).prod(axis=1)


def is_standing(person: dict[str, Any]) -> bool:
    """Return whether a person with COCO's 17 keypoints is standing."""
    width, height = person["bbox"][2:]
    labelled = np.array(person["keypoints"][2::3]) > 0
    whole = labelled[:5].any() and labelled[15:].any()
    return bool(whole and height >= TALL and height >= 1.8 * width)


def report(persons: list[dict[str, Any]], scores: Any, finds: Any) -> None:
    """Print a line for each least score, and Platt's fit."""
    tall = np.array([person["bbox"][3] >= TALL for person in persons], bool)
    standing = np.array([is_standing(person) for person in persons], bool)
    total = f"of {len(persons)} | of {tall.sum()} | of {standing.sum()}"
    print(f"| score | persons | {TALL} px | standing | false boxes |\n| | {total} | |")
    for least in SCORES:
        found = finds[(scores >= least) & (finds >= 0)]
        false = int(((scores >= least) & (finds < 0)).sum())
        print(
            f"| {least} | {len(found)} | {tall[found].sum()} | {standing[found].sum()} | {false} |"
        )
    logits = torch.logit(torch.tensor(scores))
    truth = torch.tensor(finds >= 0, dtype=torch.float64)
    fit = torch.tensor([1.0, 0.0], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([fit], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Any:
        optimizer.zero_grad()
        value = torch.nn.functional.binary_cross_entropy_with_logits(
            fit[0] * logits + fit[1], truth
        )
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)
    slope, offset = fit.tolist()
    print(f"Platt: {slope:.2f} * logit(score) {offset:+.2f}, {len(scores)} boxes")


if __name__ == "__main__":
    main()
