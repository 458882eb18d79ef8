"""Bootstrap over images: the uncertainty of the difference between two networks.

Results are matched with persons only once, because COCOeval matches image by image. Each draw
counts an image as often as it was drawn and computes all numbers from the same curves, so that a
thousand draws take a minute. Both networks are scored on the same draws: the difference is paired.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keypoint.data.annotations import annotations_to_score
from keypoint.data.persons import Annotations
from keypoint.errors import DataError
from keypoint.evaluation.analysis.analyse import Comparison, compare
from keypoint.evaluation.analysis.errors import KINDS
from keypoint.evaluation.analysis.per_keypoint import score_keypoints
from keypoint.evaluation.coco import METRICS
from keypoint.evaluation.curves import Curves
from keypoint.evaluation.results import read_results
from keypoint.evaluation.runs.read import OF_KEYPOINT, OF_KIND
from keypoint.evaluation.runs.statistics import DRAWS, Difference, bootstrap_differences
from keypoint.evaluation.scoring import AREAS, score_by_area, ten_numbers
from keypoint.pose.skeleton import Skeleton

SEED = 0  # of the draws, so that a comparison is reproducible


@dataclass(frozen=True)
class OnImages:
    """A test whose numbers are functions of how often each image counts.

    Attributes:
        curves: Of all persons, of medium and of large ones, then of each keypoint alone.
        keypoints: K names; none if keypoints were not analysed.
        kinds: (I, 5) keypoints of paired persons by kind of error; None if not analysed.
        image_ids: (I,) COCO image ids.
        persons: (I,) persons that count.
        oks: (I,) sum over these persons of the OKS of their matched results.
        used: (I,) whether the image affects a number: it has a person that counts, or a result.
    """

    curves: Curves
    keypoints: tuple[str, ...]
    kinds: NDArray[np.int64] | None
    image_ids: NDArray[np.int64]
    persons: NDArray[np.int64]
    oks: NDArray[np.float64]
    used: NDArray[np.bool_]

    def numbers(self, times: NDArray[np.int64] | None = None) -> dict[str, float]:
        """Return all numbers by the names of `Run.numbers`, nan for one that is not defined.

        Args:
            times: (I,) how often each image is in the test set; None for once.
        """
        precision, recall = self.curves.at(times)
        found = ten_numbers(precision, recall)
        alone = precision[len(AREAS) :].mean(axis=(1, 2)).tolist()
        found |= dict(zip(map(OF_KEYPOINT.format, self.keypoints), alone, strict=True))
        if self.kinds is not None:
            counts = self.kinds.sum(axis=0) if times is None else times @ self.kinds
            total = counts.sum()
            shares = counts / total if total else np.full(len(KINDS), np.nan)
            found |= dict(zip(map(OF_KIND.format, KINDS), shares.tolist(), strict=True))
        return found


def score_file(
    annotations: str | Path | dict[str, Any] | Annotations,
    results: str | Path,
    skeleton: Skeleton,
    measured: Mapping[str, float] | None = None,
) -> OnImages:
    """Score a results file, so that it can be rescored on drawn images.

    Args:
        annotations: A file or its content, or what `read_annotations` with `scored` returns.
        results: In COCO's form.
        skeleton: Its names and OKS sigmas.
        measured: The numbers that the file should have, by name; if none of them belongs to an
            analysis, keypoints and kinds of error are not analysed. None if they are not known.

    Returns:
        The test, without kinds of error if they differ from the measured ones: there, persons were
        known by their boxes, which the file does not have; here they are matched by OKS.

    Raises:
        DataError: Annotations or results are faulty, or another number is not the measured one.
    """
    checked = annotations_to_score(annotations, skeleton.num_keypoints)
    compared = compare(checked, read_results(results), skeleton)
    scored = on_images(compared, skeleton, measured is None or not measured.keys() <= set(METRICS))
    found = scored.numbers()
    if np.isnan(found["AP"]):
        raise DataError(f"{checked.source}: no person to score against, so AP is not defined")
    other = {n: v for n, v in (measured or {}).items() if not abs(found.get(n, v) - v) < 1e-6}
    kinds = {OF_KIND.format(kind) for kind in KINDS}
    for name, value in other.items():
        if name not in kinds:
            raise DataError(
                f"{results}: its {name} against {checked.source} is {found[name]:.4f}, but the "
                f"run's is {value:.4f}: they are from different tests; run keypoint test again"
            )
    return replace(scored, kinds=None) if other else scored


def on_images(compared: Comparison, skeleton: Skeleton, analysed: bool = True) -> OnImages:
    """Match results for all numbers.

    Args:
        compared: As `compare` returns it.
        skeleton: The skeleton that `compare` was given.
        analysed: Also analyse each keypoint alone, and kinds of error.
    """
    truth, results, pairs = compared.truth, compared.results, compared.pairs
    scored = score_by_area(truth, results, pairs, compared.similarity)
    persons = scored[0].persons
    kinds = None
    if analysed:
        scored += score_keypoints(truth, results, pairs, skeleton.oks_sigmas)
        kinds = np.zeros((len(persons), len(KINDS)), np.int64)
        for kind in range(len(KINDS)):
            counts = (compared.kinds == kind).sum(axis=1)
            np.add.at(kinds[:, kind], truth.image[compared.own.truth], counts)
    used = persons > 0
    used[results.image] = True
    of_images = truth.image[compared.own.truth]
    oks = np.asarray(np.bincount(of_images, compared.own_oks, len(persons)), np.float64)
    keypoints = skeleton.keypoints if analysed else ()
    return OnImages(Curves(scored), keypoints, kinds, truth.image_ids, persons, oks, used)


def differences_on_images(
    first: OnImages, second: OnImages, draws: int = DRAWS
) -> dict[str, Difference]:
    """Return the second's numbers minus the first's, with bootstrap intervals over the images.

    Only images with a person that counts, or a result, are drawn; others affect no number.

    Returns:
        The differences by name, for numbers that both have.

    Raises:
        ValueError: They are for different persons, or fewer than two images count.
    """
    if not np.array_equal(first.persons, second.persons):
        raise ValueError("results scored against different persons; score both against one file")
    rows = np.flatnonzero(first.used | second.used)

    def difference(counts: NDArray[np.int64]) -> dict[str, float]:
        times = np.zeros(len(first.persons), np.int64)
        times[rows] = counts
        one, other = first.numbers(times), second.numbers(times)
        return {name: other[name] - value for name, value in one.items() if name in other}

    return bootstrap_differences(difference, len(rows), seed=SEED, draws=draws)
