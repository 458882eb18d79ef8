"""COCO's ten keypoint numbers of any results against any keypoint annotations.

Source: COCO's keypoint evaluation, as pycocotools computes it; scoring.py does the same on arrays,
and the tests hold the two equal to 1e-12. What is added is that its silent answers to faulty input
cannot occur (data/annotations.py and validate.py name them), and that the log has what was scored.
Results are made in results.py.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keypoint.data.annotations import annotations_to_score
from keypoint.data.notes import Note, in_number
from keypoint.data.persons import Annotations
from keypoint.errors import DataError
from keypoint.evaluation.curves import Curves
from keypoint.evaluation.persons import as_arrays, best_of_each_image, pair_all, read_truth
from keypoint.evaluation.results import MAX_PERSONS, CocoResults, read_results
from keypoint.evaluation.scoring import score_by_area, ten_numbers
from keypoint.evaluation.similarity import person_similarity
from keypoint.evaluation.validate import check_results
from keypoint.pose.skeleton import LARGEST_SIGMA, SMALLEST_SIGMA, load_skeleton

logger = logging.getLogger(__name__)

METRICS = ("AP", "AP50", "AP75", "AP_M", "AP_L", "AR", "AR50", "AR75", "AR_M", "AR_L")


def evaluate_coco(
    annotations: str | Path | dict[str, Any] | Annotations,
    results: str | Path | list[dict[str, Any]] | CocoResults,
    *,
    oks_sigmas: Sequence[float] | None = None,
    repeats: bool = False,
) -> dict[str, float]:
    """Score any keypoint results against any COCO keypoint annotations.

    As COCOeval with iouType "keypoints": the best 20 results an image; equal scores count in the
    order of the results. Choices made here:

    * An empty list of results scores 0, with a warning. So does each image with a person and
      without a result, which a run that died leaves behind: a warning has their number.
    * Faulty results are refused, not left out: a score of the rest would be a score of something
      else. That includes an id or a score given as a string, a missing category, and the same
      result twice.
    * `bbox`, `area` and other keys of a result have no influence.
    * A person without an area gets that of its box, with a warning.
    * Annotation ids may begin anywhere, 0 included. Annotations of other categories, crowds and
      persons without a labelled keypoint are not misses; they are counted in the log.

    Args:
        annotations: A file or its content, which is not modified, or what `read_annotations`
            with `scored` returns; images that were left out there are not part of the score, and
            several categories chosen there are one class.
        results: A file or its content, or what `make_results` gives; not modified.
        oks_sigmas: (K,); None takes COCO's 17.
        repeats: Score a result that is there twice, too; for results that are known to be of a box
            each, not for a file.

    Returns:
        AP, AP50, AP75, AP_M, AP_L, AR, AR50, AR75, AR_M, AR_L as plain floats in [0, 1]; those of
        medium or large persons are -1 if there is no such person.

    Raises:
        DataError: Either side is unreadable, faulty or not finite (file, ids and all faults are
            named), has no person to score against, or does not fit the sigmas.
    """
    name, content = "results", results
    if isinstance(results, (str, Path)):
        name, content = str(results), read_results(results)

    truth = annotations_to_score(annotations, None if oks_sigmas is None else len(oks_sigmas))
    sigmas = _checked_sigmas(oks_sigmas, truth)
    checked = check_results(content, name, truth, repeats)
    _log_coverage(checked, name, truth)
    return _score(truth, checked, sigmas)


def summary_table(metrics: dict[str, float], lines: Sequence[str] = ()) -> str:
    """The ten numbers under their names, below the conditions they hold for (boxes, flip, counts).

    Args:
        metrics: As `evaluate_coco` returns them.
        lines: Written above the numbers, one each.

    Returns:
        Text without a newline at its end. A number that is not defined is "-", with a note.
    """
    cells = [f"{metrics[name]:.3f}" if metrics[name] >= 0 else "-" for name in METRICS]
    table = [
        *lines,
        " ".join(f"{name:>5}" for name in METRICS),
        " ".join(f"{cell:>5}" for cell in cells),
    ]
    if "-" in cells:
        table.append("-: no person of this size (M 32^2 to 96^2, L above, in square pixels)")
    return "\n".join(table)


def _checked_sigmas(oks_sigmas: Sequence[float] | None, truth: Annotations) -> NDArray[np.float64]:
    """The sigmas given, or COCO's."""
    if oks_sigmas is None:
        if truth.num_keypoints != 17:
            raise DataError(
                f"{truth.source}: persons of {truth.num_keypoints} keypoints, and COCO's sigmas "
                "are for 17; give oks_sigmas, one for each keypoint (a skeleton has them)"
            )
        oks_sigmas = load_skeleton("coco17").oks_sigmas
    sigmas = np.asarray(oks_sigmas, dtype=np.float64)
    if not ((sigmas >= SMALLEST_SIGMA) & (sigmas <= LARGEST_SIGMA)).all():
        raise ValueError(
            f"oks_sigmas {sigmas.tolist()}; each must be finite and greater than 0, from "
            f"{SMALLEST_SIGMA:g} to {LARGEST_SIGMA:g} (COCO's are .025 to .107)"
        )
    return sigmas


def _log_coverage(results: CocoResults, name: str, truth: Annotations) -> None:
    """Log what was scored, and what lowers the score without being the model's fault."""
    per_image = Counter(results.image_ids.tolist())
    left_out = ", ".join(f"{count} {reason}" for reason, count in truth.not_counted().items())
    persons_on = set(truth.images.ids[truth.image_index[truth.counted]].tolist())
    logger.info(
        "%s: %s on %s; %s: %s, %d with persons; annotations not scored: %s",
        name,
        in_number(len(results), "results"),
        in_number(len(per_image), "images"),
        truth.source,
        in_number(len(truth.images.ids), "images"),
        len(persons_on),
        left_out or "none",
    )
    missing = persons_on - per_image.keys()
    if not len(results):
        logger.warning("%s: empty, no result at all: AP is 0", name)
    elif missing:
        names = [f"image id {key}" for key in sorted(missing)]
        text = "images with persons have no result: these persons are missed"
        logger.warning("%s: %s", name, Note.of(names, len(persons_on), text)[0])
    crowded = [count - MAX_PERSONS for count in per_image.values() if count > MAX_PERSONS]
    if crowded:
        logger.info(
            "%s: %s; COCO scores the best %d of each: %d cut",
            name,
            in_number(len(crowded), f"images have more than {MAX_PERSONS} results"),
            MAX_PERSONS,
            sum(crowded),
        )


def _score(
    truth: Annotations, results: CocoResults, sigmas: NDArray[np.float64]
) -> dict[str, float]:
    """The ten numbers of checked results."""
    persons = read_truth(truth)
    best = as_arrays(best_of_each_image(results), persons)
    pairs = pair_all(persons, best)
    similarity = person_similarity(persons, best, pairs, sigmas.tolist())
    found = ten_numbers(*Curves(score_by_area(persons, best, pairs, similarity)).at())
    return {name: -1.0 if np.isnan(value) else value for name, value in found.items()}
