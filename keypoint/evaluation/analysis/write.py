"""The analysis of an evaluation of ours, next to its other files."""

from __future__ import annotations

import logging
from pathlib import Path

from keypoint.data.persons import Annotations, Persons
from keypoint.errors import DataError
from keypoint.evaluation.analysis.analyse import Analysis, Comparison, compare
from keypoint.evaluation.analysis.report import to_dict
from keypoint.evaluation.run import Evaluation
from keypoint.files import read_json, write_json
from keypoint.pose.skeleton import Skeleton

logger = logging.getLogger(__name__)


def compare_evaluation(
    evaluation: Evaluation, *, persons: Persons, annotations: Annotations, skeleton: Skeleton
) -> Comparison:
    """Compare the results of an evaluation with its annotations.

    Args:
        evaluation: The evaluation of `persons`.
        persons: Ground-truth boxes, whose results are then compared with their own persons, or
            detector boxes.
        annotations: The annotations that were scored against.
        skeleton: Names, partners, OKS sigmas.

    Raises:
        DataError: The file has no annotations that could be scored.
    """
    from_truth = evaluation.conditions["boxes"] == "ground truth"
    ids = annotation_ids(evaluation, persons) if from_truth else None
    return compare(annotations, evaluation.results, skeleton, ids)


def annotation_ids(evaluation: Evaluation, persons: Persons) -> list[int]:
    """The id of the record that each result was made from."""
    rows = evaluation.predictions.index[evaluation.results.rows]
    return [int(key) for key in persons.ids[rows]]


def add_to_metrics(file: Path, analysis: Analysis) -> None:
    """Put the analysis into a `metrics.json`; what is there stays.

    If the AP there is not the one that was analysed, a warning says so.

    Raises:
        DataError: No such file, or no JSON object.
    """
    content = read_json(file, "metrics")
    if not isinstance(content, dict):
        raise DataError(f"{file}: holds a {type(content).__name__}; metrics are one JSON object")
    published, analysed = content.get("metrics", {}).get("AP"), analysis.all.ap
    if published is not None and abs(published - (analysed or 0.0)) > 1e-9:
        logger.warning(
            "%s: AP %.6f, but the analysis is of AP %.6f: other results or annotations?",
            file,
            published,
            analysed or 0.0,
        )
    write_json(file, content | {"analysis": to_dict(analysis)})
