"""Numbers to compare an AP with: its conditions, and the papers' AP on val2017.

Source: Chi et al. 2019 (spectral residual learning), Tables 2, 3 and 6; its rows without blocks
are SimpleBaseline's (Xiao et al. 2018). All with detector boxes of person AP 56.4 and flip test.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

SIZES: tuple[tuple[int, ...], ...] = ((256, 192), (384, 288), (512, 384))
# Encoder and block behind all three deconvolutions: AP at these sizes.
AP = {
    ("resnet50", None): (0.704, 0.722, 0.717),
    ("resnet101", None): (0.714, 0.736, 0.742),
    ("resnet152", None): (0.720, 0.743, 0.749),
    ("resnet50", "srl_fft"): (0.709, 0.733, 0.738),
    ("resnet101", "srl_fft"): (0.718, 0.743, 0.749),
    ("resnet152", "srl_fft"): (0.721, 0.746, 0.753),
    ("resnet50", "srl_lo"): (0.710, 0.728, None),
    ("resnet101", "srl_lo"): (0.717, None, None),
    ("resnet152", "srl_lo"): (0.723, None, None),
    ("resnet50", "nl"): (0.706, 0.728, None),
    ("resnet50", "a2"): (0.705, 0.728, None),
    ("resnet50", "cgnl"): (0.706, 0.724, None),
    ("resnet50", "rcca"): (0.706, 0.728, None),
}

# Conditions of `metrics.json` under which an AP is comparable with these, input size apart.
CONDITIONS = {
    "boxes": "detector",
    "box_score_threshold": 0.0,
    "images_left_out": 0,
    "codec": "heatmap",
    "flip": True,
    "decoding": "quarter offset",
    "oks_nms": "hard at 0.9",
    "keypoint_threshold": 0.2,
}

# With the field's 56.4 AP detector AP50 is near 0.89 and AR - AP near 0.06, with ground-truth
# boxes near 0.925 and 0.03; the borders are half way.
AP50_BORDER, GAP_BORDER = 0.9075, 0.045
LEAST_AP = 0.6  # a weaker network shows neither


def measured_under(conditions: Mapping[str, Any], amp: str | None) -> dict[str, Any]:
    """Return what decides whether an AP can be compared, short enough to be stored with each.

    Args:
        conditions: Of an `Evaluation`; files lose their folders, and entries their list.
        amp: The dtype of autocast, None for float32.
    """
    files = {key: Path(conditions[key]).name for key in ("boxes_file", "annotations")}
    persons = {key: conditions["persons"][key] for key in ("total", "used", "skipped")}
    return {**conditions, **files, "persons": persons, "amp": amp}


def compare(
    metrics: Mapping[str, float],
    conditions: Mapping[str, Any],
    *,
    network: str,
    encoder: str,
    blocks: object,
    encoder_stride: int,
) -> dict[str, str]:
    """Return rows of a card: the published AP, and a warning if the boxes look like the other kind.

    Args:
        metrics: The ten numbers.
        conditions: Of the evaluation.
        network: As in a config; only simple_baseline has an AP here.
        encoder: As well.
        blocks: None, or one name for all deconvolutions; others were not published.
        encoder_stride: Only 32 has an AP here.
    """
    if conditions["skeleton"] != "coco17":
        return {"published": f"none; AP of {conditions['skeleton']} says nothing next to COCO's"}
    rows = {}
    ap, gap = metrics["AP"], metrics["AR"] - metrics["AP"]
    signs = {metrics["AP50"] > AP50_BORDER, gap < GAP_BORDER}
    from_truth = conditions["boxes"] == "ground truth"
    if ap >= LEAST_AP and signs == {not from_truth}:
        rows["warning"] = (
            f"AP50 {metrics['AP50']:.3f} and AR - AP {gap:.3f} look like "
            f"{'detector' if from_truth else 'ground truth'} boxes, but {conditions['boxes']} "
            f"boxes were given: check {Path(conditions['boxes_file']).name}"
        )
    published = None
    if network == "simple_baseline":
        published = _published_ap(encoder, blocks, tuple(conditions["input_size"]), encoder_stride)
    if published is not None and ap >= 0:
        others = other_conditions(conditions)
        verdict = f"here {ap - published:+.3f}, if the boxes are the same"
        if others:
            verdict = f"not comparable, other conditions: {', '.join(others).replace('_', ' ')}"
        rows["published"] = f"AP {published:.3f} (detector boxes, flip test); {verdict}"
    return rows


def other_conditions(conditions: Mapping[str, Any]) -> list[str]:
    """Return the conditions that keep an AP from being compared with these."""
    return [key for key, value in CONDITIONS.items() if conditions.get(key) != value]


def comparable_ap(model: Mapping[str, Any], conditions: Mapping[str, Any]) -> float | None:
    """Return the published AP of a network, None if it has none or was measured otherwise.

    Args:
        model: The section of a config.
        conditions: Of the evaluation.
    """
    if model.get("network") != "simple_baseline" or conditions.get("skeleton") != "coco17":
        return None
    size = tuple(conditions.get("input_size") or ())
    stride = int(model.get("encoder_stride", 32))
    ap = _published_ap(str(model.get("encoder")), model.get("blocks"), size, stride)
    return None if other_conditions(conditions) else ap


def _published_ap(
    encoder: str, blocks: object, input_size: tuple[int, ...], encoder_stride: int
) -> float | None:
    """Return the paper's AP of a network, None if it has none."""
    row = AP.get((encoder, blocks)) if blocks is None or isinstance(blocks, str) else None
    if row is None or encoder_stride != 32 or input_size not in SIZES:
        return None
    return row[SIZES.index(input_size)]
