"""A comparison of tests as Markdown, CSV, and a picture of the classes that differ most."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from keypoint.action.evaluation.compare import Comparison, Paired
from keypoint.drawing.bars import draw_bars
from keypoint.drawing.canvas import Image
from keypoint.evaluation.runs.markdown import cell, table

DRAWN = 30  # classes in the picture


def to_markdown(comparison: Comparison) -> str:
    """Return all tables: accuracies, videos on which only one test is right, classes that differ.

    Returns:
        Markdown without a newline at the end.
    """
    parts = [_accuracies(comparison), _paired(comparison)]
    if comparison.differences:
        parts.append(_differences(comparison))
    base, second = comparison.names[:2]
    least, pair = f"{comparison.least_gain:.3g}", comparison.paired[0]
    for word, classes in (("better", comparison.better()), ("worse", comparison.worse())):
        count = f"{len(classes)} class{'' if len(classes) == 1 else 'es'}"
        parts.append(
            f"{count} in which {cell(second)} is {word} than {cell(base)} by {least} or more; "
            f"{pair.chance_classes:.1f} are expected by chance if both are equally good"
            + (f"\n\n{_classes(comparison, classes)}" if classes else "")
        )
    return "\n\n".join(parts)


def _accuracies(comparison: Comparison) -> str:
    names = list(dict.fromkeys(key for each in comparison.accuracies for key in each.metrics()))
    rows = []
    for test, accuracy in zip(comparison.names, comparison.accuracies, strict=True):
        numbers = [f"{accuracy.metrics()[name]:.4f}" for name in names]
        numbers[0] += f" +- {accuracy.top1_error:.4f}"
        rows.append([test, str(accuracy.videos), *numbers])
    return table(["run", "videos", *names], rows)


def _paired(comparison: Comparison) -> str:
    """Return the table of the first test with each of the others."""
    base = comparison.names[0]
    head = ["run", "gain in top1", "both right", f"only {base}", "only this run", "neither", "p"]
    rows = [
        [
            name,
            f"{pair.gain:+.4f} +- {pair.gain_error:.4f}",
            *map(str, (pair.both, pair.only_first, pair.only_second, pair.neither)),
            p_text(pair),
        ]
        for name, pair in zip(comparison.names[1:], comparison.paired, strict=True)
    ]
    return (
        f"The same videos, compared with {cell(base)}; p is the probability of at least this "
        "difference if both are equally good (exact McNemar test)\n\n"
        f"{table(head, rows)}"
    )


def p_text(pair: Paired) -> str:
    """Return the p value with two digits; a very small one as a bound."""
    return "< 1e-6" if pair.p_value < 1e-6 else f"{pair.p_value:.2g}"


def _differences(comparison: Comparison) -> str:
    rows = [[key, *map(_plain, values)] for key, values in comparison.differences.items()]
    return f"The runs differ in\n\n{table(['', *comparison.names], rows)}"


def _plain(value: Any) -> str:
    return "-" if value is None else str(value)


def _classes(comparison: Comparison, classes: Sequence[int]) -> str:
    """Return the accuracies of these classes in all tests, and the gain of the second."""
    shares, count = comparison.table(), comparison.count
    rows = [
        [
            comparison.classes[c],
            str(count[c]),
            *(f"{share:.3f}" for share in shares[c]),
            f"{shares[c, 1] - shares[c, 0]:+.3f}",
        ]
        for c in classes
    ]
    return table(["class", "videos", *comparison.names, "gain"], rows)


def to_csv(comparison: Comparison) -> str:
    """Return a line for each class: name, videos, accuracy in each test; empty without a video."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["class", "videos", *comparison.names])
    for c, shares in enumerate(comparison.table()):
        cells = ["" if np.isnan(share) else f"{share:.6f}" for share in shares]
        writer.writerow([comparison.classes[c], comparison.count[c], *cells])
    return text.getvalue()


def picture(comparison: Comparison) -> Image | None:
    """Draw bars of the classes that differ by the least gain: better classes, then worse ones.

    At most 30 classes with the largest differences; None if there is no class.
    """
    shares = comparison.table()
    chosen = [*comparison.better(), *comparison.worse()[::-1]]
    gains = shares[:, 1] - shares[:, 0]
    kept = set(sorted(chosen, key=lambda c: (-abs(gains[c]), c))[:DRAWN])
    rows = {comparison.classes[c]: shares[c].tolist() for c in chosen if c in kept}
    if not rows:
        return None
    title = f"accuracy of classes that differ by {comparison.least_gain:.3g} or more"
    if len(rows) < len(chosen):
        title += f" ({len(rows)} of {len(chosen)})"
    return draw_bars(rows, comparison.names, title)
