"""Estimate OKS sigmas from repeated annotations, by how far annotators are from each other.

Source: cocodataset.org, keypoint evaluation, "Tuning OKS": sigma_i^2 = E[d_i^2 / s^2] over objects
that were annotated several times, s^2 being the object's area (OKS then takes k_i = 2 sigma_i). The
page does not define d_i; as in OKS itself, it is taken as the Euclidean distance of an annotation
from the true place.

The true place is not known. With n annotations of one keypoint whose errors are independent and of
mean zero, and S the sum of their squared distances from their own mean,

    E[S] = (n - 1) E[d^2],        for two annotations a, b:  S = |a - b|^2 / 2,

because the mean has used up one of n annotations (Bessel). So each object gives S / s^2 with n - 1
degrees of freedom, and all objects together sigma^2 = sum(S / s^2) / sum(n - 1), which is unbiased
for any mixture of n. Its standard error is that of a ratio of sums over objects (linearised), which
asks nothing of the errors' distribution; that of sigma follows by the derivative 1 / (2 sigma).
A shift that all annotators share is not seen. Letters: O objects, K keypoints.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keypoint.data.annotations import read_dataset
from keypoint.data.entries import ALL, Person, check_entries, find_category, names_fault
from keypoint.data.report import raise_faults
from keypoint.errors import DataError
from keypoint.pose.skeleton import Skeleton

MIN_IOU = 0.3  # of two boxes of one object; below it the key has joined two objects


@dataclass(frozen=True)
class SigmaEstimate:
    """Sigmas and their support; K numbers each, nan without a repeated label.

    Attributes:
        sigmas: (K,) float64.
        standard_errors: (K,) float64; nan with fewer than two objects.
        objects: (K,) int64, objects with two or more labels of the keypoint.
        labels: (K,) int64, labels on these objects.
        alone: (K,) int64, labels not used: the only one of their object.
        repeated_objects: Objects annotated twice or more.
        single_objects: Objects annotated once, whose labels are all among `alone`.
    """

    sigmas: NDArray[np.float64]
    standard_errors: NDArray[np.float64]
    objects: NDArray[np.int64]
    labels: NDArray[np.int64]
    alone: NDArray[np.int64]
    repeated_objects: int
    single_objects: int


def estimate_sigmas(
    objects: Sequence[tuple[NDArray[Any], float]], num_keypoints: int
) -> SigmaEstimate:
    """Sigmas of objects that were annotated several times.

    Args:
        objects: For each the annotations (n, K, 3) of x, y, visibility (0: not labelled), and its
            area in square pixels.
        num_keypoints: K.

    Raises:
        ValueError: An area is not positive.
    """
    squares, freedom, labels = (np.zeros((len(objects), num_keypoints)) for _ in range(3))  # O K
    for row, (triples, area) in enumerate(objects):
        if not area > 0:
            raise ValueError(f"object {row} has area {area}; give square pixels greater than 0")
        labelled = triples[..., 2] > 0  # n K
        count = labelled.sum(axis=0)  # K
        points = np.where(labelled[..., None], triples[..., :2], 0.0)  # n K 2
        mean = points.sum(axis=0) / np.maximum(count, 1)[:, None]  # K 2
        apart = np.where(labelled[..., None], points - mean, 0.0)
        squares[row] = (apart**2).sum(axis=(0, 2)) / area
        freedom[row] = np.maximum(count - 1, 0)
        labels[row] = count
    used = freedom > 0
    total, number = freedom.sum(axis=0), used.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = np.where(used, squares, 0.0).sum(axis=0) / total
        residual = np.where(used, squares - variance * freedom, 0.0)
        error = np.sqrt(number / (number - 1) * (residual**2).sum(axis=0)) / total
        sigmas = np.sqrt(variance)
        errors = np.where(number > 1, error / (2 * sigmas), np.nan)
    repeated = sum(len(triples) > 1 for triples, _ in objects)
    return SigmaEstimate(
        sigmas=sigmas,
        standard_errors=errors,
        objects=number.astype(np.int64),
        labels=np.where(used, labels, 0).sum(axis=0).astype(np.int64),
        alone=np.where(used, 0, labels).sum(axis=0).astype(np.int64),
        repeated_objects=repeated,
        single_objects=len(objects) - repeated,
    )


def read_repeated(
    files: Sequence[Path], skeleton: Skeleton, key: str = "id"
) -> list[tuple[NDArray[np.float64], float]]:
    """The objects of annotation files, each with all its annotations and their mean area.

    Annotations of the same image and the same value of `key` are of one object. Crowds,
    annotations without a label and those of other categories are left out.

    Args:
        files: COCO keypoint annotations of the same images; several annotators' files, or one
            file in which `key` repeats.
        skeleton: Whose names the category has.
        key: The annotation's key that identifies the object.

    Returns:
        For each object the annotations (n, K, 3) and the area, in the order of the files.

    Raises:
        DataError: A file is unreadable or faulty, the files have different images, or the boxes of
            one object hardly overlap.
    """
    groups: dict[tuple[int, Any], list[Person]] = defaultdict(list)
    names: dict[int, str] = {}
    for file in files:
        content = read_dataset(file, form=Any)
        category = find_category(content, file, ALL)
        wrong_names = names_fault(category, skeleton, "choose the right --skeleton")
        if wrong_names:
            raise DataError(f"{file}: {wrong_names}")
        checked = check_entries(content, category, skeleton.num_keypoints, scored=True)
        raise_faults(str(file), checked.faults())
        faults: list[str] = []
        for image in checked.content["images"]:
            known = names.setdefault(image["id"], image["file_name"])
            if known != image["file_name"]:
                faults.append(f"image id {image['id']} is {image['file_name']}, elsewhere {known}")
        taken: set[tuple[int, Any]] = set()
        for place, person in checked.persons:
            if person.crowd or not person.keypoints[2::3].any():
                continue
            entry = checked.content["annotations"][place]
            fault = _fault(entry, person, key, taken, several_files=len(files) > 1)
            if fault is None:
                groups[entry["image_id"], entry[key]].append(person)
            else:
                faults.append(f"annotation id {entry['id']}: {fault}")
        raise_faults(str(file), faults)
    raise_faults(", ".join(map(str, files)), _far_apart(groups, key))
    return [
        (
            np.array([person.keypoints for person in persons], np.float64).reshape(
                len(persons), -1, 3
            ),
            float(np.mean([person.area for person in persons])),
        )
        for persons in groups.values()
    ]


def _fault(
    entry: dict[str, Any], person: Person, key: str, taken: set[Any], several_files: bool
) -> str | None:
    """Return why an annotation cannot be used, or None; `taken` collects a file's objects."""
    value = entry.get(key)
    if isinstance(value, bool) or not isinstance(value, int | str):
        return f"{key} is {value!r}; give an integer or text that identifies the object"
    if several_files and (entry["image_id"], value) in taken:
        return f"{key} {value!r} is twice on its image; it must be unique in each of several files"
    taken.add((entry["image_id"], value))
    if "area" in person.filled_in:
        return f"area {entry.get('area')}; give square pixels above 0, which sigmas depend on"
    if min(person.bbox_xywh[2:]) <= 0:
        return f"bbox {entry['bbox']} has no area; give x, y, width, height"
    return None


def _far_apart(groups: dict[tuple[int, Any], list[Person]], key: str) -> list[str]:
    """Objects whose boxes hardly overlap: the key joined different ones."""
    faults = []
    for (image_id, value), persons in groups.items():
        boxes = np.array([person.bbox_xywh for person in persons], dtype=np.float64)  # n 4
        low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
        inner = np.minimum(high, high[0]) - np.maximum(low, low[0])
        shared = np.clip(inner, 0, None).prod(axis=1)
        sizes = boxes[:, 2:].prod(axis=1)
        overlap = shared / (sizes + sizes[0] - shared)
        if overlap.min() < MIN_IOU:
            faults.append(
                f"image id {image_id}, {key} {value!r}: boxes have IoU {overlap.min():.2f}, hardly "
                "one object; give objects the same key in all files"
            )
    return faults


def require_all(estimate: SigmaEstimate, skeleton: Skeleton) -> None:
    """Refuse an estimate that cannot be a skeleton's oks_sigmas.

    Raises:
        DataError: A keypoint has no repeated label, or all its labels are equal.
    """
    names = np.array(skeleton.keypoints)
    missing, equal = names[estimate.objects == 0].tolist(), names[estimate.sigmas == 0].tolist()
    if missing:
        raise DataError(
            f"no sigma for {missing[:5]} ({len(missing)} of {len(names)} keypoints): no object has "
            f"two labels of them; {estimate.repeated_objects} objects were annotated twice or "
            f"more, {estimate.single_objects} once. Annotate more objects again, or give --key"
        )
    if equal:
        raise DataError(
            f"sigma 0 for {equal[:5]}: all labels of an object are equal; "
            "give independent annotations, not copies"
        )
