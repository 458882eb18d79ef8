"""A results card: one page with everything that decides whether an AP can be compared."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from keypoint.evaluation.coco import METRICS
from keypoint.evaluation.published import CONDITIONS, boxes_by_numbers

PAIRED = (
    "* A gain of a block is shown by the same recipe with and without it, in one toolkit: recipes "
    "alone differ by more than a block gives."
)
WORDS = {"ground truth": "ground-truth", "detector": "detector"}


def results_card(
    metrics: Mapping[str, float],
    conditions: Mapping[str, Any],
    facts: Mapping[str, Any],
    published: float | None = None,
    made: datetime | None = None,
) -> str:
    """The page, in Markdown.

    Args:
        metrics: The ten numbers; -1 is not defined and shown as "-".
        conditions: Of the evaluation; those that are not known here are shown as they are.
        facts: Further rows, such as checkpoint, recipe, commit, versions, device.
        published: AP of the paper for this network, with detector boxes and flip.
        made: When; None takes now.

    Returns:
        Text with a newline at its end.
    """
    made = made or datetime.now().astimezone()
    cells = [f"{metrics[name]:.3f}" if metrics[name] >= 0 else "-" for name in METRICS]
    persons, counts = conditions["persons"], conditions["results"]
    skipped = ", ".join(f"{count} {reason}" for reason, count in persons["skipped"].items())
    rows = {
        "boxes": f"{WORDS[conditions['boxes']]} boxes of {conditions['boxes_file']}",
        "records": f"{persons['total']} = {persons['used']} used on {conditions['images']} images "
        f"+ {persons['total'] - persons['used']} skipped ({skipped or 'none'})",
        "results": f"{counts['given']} = {counts['kept']} kept + {counts['suppressed']} suppressed "
        f"by OKS-NMS ({conditions['oks_nms'] or 'none'}); "
        "of each image the best 20 are scored",
        "flip test": _flip(conditions),
    }
    told = {"boxes", "boxes_file", "persons", "images", "results", "oks_nms", "flip", "flip_shift"}
    rows |= {
        key.replace("_", " "): _show(value) for key, value in conditions.items() if key not in told
    }
    rows |= {key: _show(value) for key, value in facts.items()}
    rows["made"] = made.isoformat(timespec="seconds")
    lines = [
        "# Results card",
        "",
        _row(METRICS),
        _row(["---"] * len(METRICS)),
        _row(cells),
        "",
    ]
    if "-" in cells:
        lines += [
            "`-` (-1 in `metrics.json`): the annotations have no person of this size (M 32^2 to "
            "96^2, L above, in square pixels of the annotated area), so nothing defines the "
            "number; it is not 0.",
            "",
        ]
    lines += ["| | |", "|---|---|", *(_row([key, value]) for key, value in rows.items()), ""]
    lines += ["## Compare with", "", *_remarks(metrics, conditions, published)]
    return "\n".join(lines) + "\n"


def _remarks(
    metrics: Mapping[str, float], conditions: Mapping[str, Any], published: float | None
) -> list[str]:
    """What these numbers may be held against, as a list."""
    skeleton = conditions.get("skeleton", "coco17")
    if skeleton != "coco17":
        return [
            "* Numbers with the same annotations, sigmas, boxes, flip test, input size and "
            f"decoding only. AP of {skeleton} says nothing beside AP on COCO.",
            PAIRED,
        ]
    boxes = conditions["boxes"]
    numbers = f"AP50 {metrics['AP50']:.3f}, AR - AP {metrics['AR'] - metrics['AP']:.3f}"
    usual = (
        "on val2017, ground-truth boxes show AP50 0.92 to 0.93 and AR - AP near 0.03, "
        "the field's detector boxes AP50 near 0.89 and AR - AP near 0.06"
    )
    looks = boxes_by_numbers(metrics)
    if looks is None:
        verdict = "these numbers look like neither kind of boxes (or AP is too low to tell)"
    elif looks == boxes:
        verdict = f"these numbers look like {WORDS[boxes]} boxes, as they are"
    else:
        verdict = (
            f"**these numbers look like {WORDS[looks]} boxes, and {WORDS[boxes]} boxes were "
            f"given: check {conditions['boxes_file']}**"
        )
    remarks = [
        "* Numbers with the same boxes, flip test, input size and decoding only. Papers report "
        "detector boxes (person AP 56.4) with flip test; ground-truth boxes give about 2 AP more.",
        f"* {numbers}: {verdict}; {usual}.",
    ]
    if published is not None:
        others = [key for key, value in CONDITIONS.items() if conditions.get(key) != value]
        which = f" ({', '.join(others).replace('_', ' ')})" if others else ""
        remarks.append(
            f"* Published for this network: AP {published:.3f}, with detector boxes (person AP "
            "56.4) and flip test"
            + (
                f"; this is {metrics['AP'] - published:+.3f}, if the boxes are the same."
                if not others and metrics["AP"] >= 0
                else f". This evaluation has other conditions{which}: not to be held against it."
            )
        )
    return [*remarks, PAIRED]


def _flip(conditions: Mapping[str, Any]) -> str:
    if not conditions["flip"]:
        return "off"
    shift = "shifted by one heatmap pixel" if conditions["flip_shift"] else "not shifted"
    return f"averaged with the mirrored crop, {shift}"


def _show(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_show(entry)}" for key, entry in value.items())
    if isinstance(value, (list, tuple)):
        return " x ".join(map(str, value))
    return str(value)


def _row(cells: Any) -> str:
    """One row of a table; a bar or a line break within a cell would begin another."""
    escaped = (" ".join(str(cell).split()).replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"
