"""A test as text, and its files: metrics.json, per_class.csv, results.json, scores.npz."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keypoint.action.evaluation.accuracy import Accuracy, measure_accuracy, top_classes
from keypoint.action.evaluation.scores import FILE, VideoScores, save_scores
from keypoint.data.notes import in_number
from keypoint.files import whole_file, write_json

SHOWN = 10  # classes and pairs; all classes if they are not more
METRICS, PER_CLASS, RESULTS = "metrics.json", "per_class.csv", "results.json"


def accuracy_of(scores: VideoScores) -> Accuracy:
    """Measure the accuracy on the videos that have a label.

    Raises:
        DataError: No video has a label.
    """
    labelled = scores.labelled()
    return measure_accuracy(labelled.scores, labelled.labels, labelled.classes)


def to_text(scores: VideoScores) -> str:
    """Return conditions, accuracies with their error, worst classes and most confused pairs.

    Up to `SHOWN` classes are all listed; of more, only those with an error.

    Raises:
        DataError: No video has a label.
    """
    accuracy = accuracy_of(scores)
    parts = [_conditions(scores), _accuracies(accuracy, len(scores))]
    few = len(accuracy.classes) <= SHOWN
    worst = [c for c in accuracy.worst(SHOWN) if few or accuracy.per_class[c] < 1]
    if worst:
        rows = [
            (
                accuracy.classes[c],
                str(accuracy.count[c]),
                str(accuracy.right[c]),
                f"{accuracy.per_class[c]:.3f}",
            )
            for c in worst
        ]
        head = ("class", "videos", "right", "accuracy")
        title = "All classes, lowest accuracy first" if few else "Classes of lowest accuracy"
        parts.append(f"{title}\n{_aligned(head, rows)}")
    confused = accuracy.confused(SHOWN)
    if confused:
        rows = [
            (pair.label, pair.predicted, str(pair.videos), f"{pair.share:.3f}") for pair in confused
        ]
        head = ("class", "predicted as", "videos", "share")
        parts.append(
            f"Most confused pairs, with their share of the class's videos\n"
            f"{_aligned(head, rows, left=2)}"
        )
    return "\n\n".join(part for part in parts if part)


def _accuracies(accuracy: Accuracy, tested: int) -> str:
    """Return the three accuracies with an explanation."""
    n, used = accuracy.videos, int((accuracy.count > 0).sum())
    lines = [
        f"top1        {accuracy.top1:.4f} +- {accuracy.top1_error:.4f}  of {in_number(n, 'videos')}"
        " (binomial standard error)"
    ]
    if accuracy.top5 is not None:
        lines.append(f"top5        {accuracy.top5:.4f}")
    classes = in_number(used, "classes")
    without = len(accuracy.classes) - used
    rest = f", {without} without a video" if without else ""
    lines.append(f"mean_class  {accuracy.mean_class:.4f}            of {classes}{rest}")
    if accuracy.top5 is None:
        lines.append(f"no top5: there are only {len(accuracy.classes)} classes")
    if tested > n:
        lines.append(f"left out: {in_number(tested - n, 'videos')} without a label")
    return "\n".join(lines)


def _aligned(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Align columns: the first `left` of them to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = []
    for row in (head, *rows):
        cells = [
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells))
    return "\n".join(lines)


def _conditions(scores: VideoScores) -> str:
    """Return the conditions of the numbers, one per line."""
    plain = {key: value for key, value in scores.conditions.items() if value is not None}
    width = max(map(len, plain), default=0) + 2
    return "\n".join(f"{key:{width}}{_plain(value)}" for key, value in plain.items())


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(each)}" for key, each in value.items())
    return ", ".join(map(_plain, value)) if isinstance(value, list) else str(value)


def save_test(folder: Path, scores: VideoScores, **more: Any) -> None:
    """Write all files of a test.

    `metrics.json` and `per_class.csv` are left out if no video has a label.

    Args:
        folder: An existing folder.
        scores: Scores of all videos.
        more: Further entries of metrics.json.

    Raises:
        OutputError: A file cannot be written.
    """
    save_scores(folder / FILE, scores)
    write_json(folder / RESULTS, results_of(scores))
    if not (scores.labels >= 0).any():
        return
    accuracy = accuracy_of(scores)
    content = {"metrics": accuracy.metrics(), "conditions": scores.conditions}
    write_json(folder / METRICS, content | metrics_of(accuracy) | more)
    with whole_file(folder / PER_CLASS, "accuracies per class") as file:
        file.write(per_class_csv(accuracy).encode())


def metrics_of(accuracy: Accuracy) -> dict[str, Any]:
    """Return the entries of metrics.json besides the accuracies and their conditions."""
    return {
        "videos": accuracy.videos,
        "right": int(accuracy.right.sum()),
        "top1_standard_error": accuracy.top1_error,
        "classes": len(accuracy.classes),
        "classes_with_videos": int((accuracy.count > 0).sum()),
        "confused": [vars(pair) for pair in accuracy.confused(SHOWN)],
    }


def results_of(scores: VideoScores) -> dict[str, Any]:
    """Return the conditions, and for each video its class, the predicted class and its score."""
    videos = []
    for name, label, row in zip(scores.names, scores.labels.tolist(), scores.scores, strict=True):
        best, score = top_classes(row, scores.classes, 1)[0]
        given = scores.classes[label] if label >= 0 else None
        videos.append({"name": name, "label": given, "predicted": best, "score": round(score, 6)})
    return {"conditions": scores.conditions, "videos": videos}


def per_class_csv(accuracy: Accuracy) -> str:
    """Return a line for each class: name, videos, correct ones, accuracy, most frequent error.

    The accuracy of a class without a video is empty, as is the last column of a class without an
    error.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["class", "videos", "right", "accuracy", "most_taken_for"])
    wrong = accuracy.confusion.copy()
    np.fill_diagonal(wrong, 0)
    for c, name in enumerate(accuracy.classes):
        share = f"{accuracy.per_class[c]:.6f}" if accuracy.count[c] else ""
        taken = accuracy.classes[int(wrong[c].argmax())] if wrong[c].any() else ""
        writer.writerow([name, accuracy.count[c], accuracy.right[c], share, taken])
    return text.getvalue()
