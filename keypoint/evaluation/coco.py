"""COCO's ten keypoint numbers for any results and any keypoint annotations.

Source: COCO's keypoint evaluation, as pycocotools computes it; scoring.py does the same on arrays,
and tests check that both are equal to 1e-12. In addition, faulty input is refused, for which
pycocotools silently returns wrong numbers (see data/annotations.py and validate.py), and the log
says what was scored. Results are made in results.py.
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

    As COCOeval with iouType "keypoints": the best 20 results per image; equal scores count in the
    order of the results. Choices made here:

    * An empty list of results scores 0, with a warning. Persons on images without a result are
      missed; a warning has the number of these images, as an aborted run leaves such a file.
    * Faulty results are refused, not left out, because a score of the rest would be misleading.
      This includes an id or a score given as a string, a missing category, and the same result
      twice.
    * `bbox`, `area` and other keys of a result are ignored.
    * A person without an area gets that of its box, with a warning.
    * Annotation ids may start anywhere, including 0. Annotations of other categories, crowds and
      persons without a labelled keypoint are not misses; they are counted in the log.

    Args:
        annotations: A file or its content, which is not modified, or what `read_annotations`
            with `scored` returns; images that were left out there are not scored, and several
            categories chosen there count as one class.
        results: A file or its content, or the output of `make_results`; not modified.
        oks_sigmas: (K,); None takes COCO's 17.
        repeats: Accept equal results; for results that are known to have one box each, not for
            a file.

    Returns:
        AP, AP50, AP75, AP_M, AP_L, AR, AR50, AR75, AR_M, AR_L as plain floats in [0, 1]; those of
        medium or large persons are -1 if there is no such person.

    Raises:
        DataError: Annotations or results are unreadable, faulty or not finite (the text has file,
            ids and all faults), have no person to score against, or do not match the sigmas.
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
    """Format the ten numbers with their names, below their conditions (boxes, flip, counts).

    Args:
        metrics: As `evaluate_coco` returns them.
        lines: Lines above the numbers.

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
    """Return the given sigmas, or COCO's."""
    if oks_sigmas is None:
        if truth.num_keypoints != 17:
            raise DataError(
                f"{truth.source}: persons have {truth.num_keypoints} keypoints, but COCO's sigmas "
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
    """Log what was scored, and what lowers the score but is not due to the model."""
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
        logger.warning("%s: contains no result, so AP is 0", name)
    elif missing:
        names = [f"image id {key}" for key in sorted(missing)]
        text = "images with persons have no result: these persons are missed"
        logger.warning("%s: %s", name, Note.of(names, len(persons_on), text)[0])
    crowded = [count - MAX_PERSONS for count in per_image.values() if count > MAX_PERSONS]
    if crowded:
        logger.info(
            "%s: %s; COCO scores only the best %d of each: %d ignored",
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
