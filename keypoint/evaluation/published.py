"""Published numbers on val2017, and the conditions under which they can be compared.

Source: Chi et al. 2019 (spectral residual learning), Tables 2 to 6; its rows without blocks are
SimpleBaseline's (Xiao et al. 2018). All with detector boxes of person AP 56.4 and flip test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NUMBERS = ("AP", "AP50", "AP75", "AP_M", "AP_L", "AR")
# Of the config of that name in configs/coco, in percent as printed; Tables 3 and 6 have AP alone.
ROWS = {
    "res50_256x192": (70.4, 88.6, 78.3, 67.1, 77.2, 76.3),
    "res50_384x288": (72.2, 89.3, 78.9, 68.1, 79.7, 77.6),
    "res50_512x384": (71.7, 88.8, 77.7, 67.2, 79.7, 77.1),
    "res101_256x192": (71.4, 89.3, 79.3, 68.1, 78.1, 77.1),
    "res101_384x288": (73.6, 89.6, 80.3, 69.9, 81.1, 79.1),
    "res101_512x384": (74.2, 89.7, 80.7, 70.2, 81.8, 79.5),
    "res152_256x192": (72.0, 89.3, 79.8, 68.7, 78.9, 77.8),
    "res152_384x288": (74.3, 89.6, 81.1, 70.5, 81.6, 79.7),
    "res152_512x384": (74.9, 89.8, 81.3, 70.8, 82.5, 80.0),
    "res50_256x192_srl3": (70.9, 89.1, 78.5, 67.4, 77.9, 76.8),
    "res50_384x288_srl3": (73.3, 89.5, 80.0, 69.4, 80.6, 78.6),
    "res50_512x384_srl3": (73.8, 89.7, 80.3, 69.6, 81.5, 79.0),
    "res101_256x192_srl3": (71.8, 89.3, 79.6, 68.4, 78.7, 77.6),
    "res101_384x288_srl3": (74.3, 90.1, 81.3, 70.5, 81.5, 79.7),
    "res101_512x384_srl3": (74.9, 89.9, 81.6, 71.1, 82.3, 80.1),
    "res152_256x192_srl3": (72.1, 89.5, 79.7, 68.8, 79.1, 78.0),
    "res152_384x288_srl3": (74.6, 89.7, 81.7, 70.8, 81.9, 80.1),
    "res152_512x384_srl3": (75.3, 90.2, 81.7, 71.5, 82.6, 80.4),
    "res50_256x192_nl3": (70.6,),
    "res50_256x192_a2x3": (70.5,),
    "res50_256x192_cgnl3": (70.6,),
    "res50_256x192_rcca3": (70.6,),
    "res50_384x288_nl3": (72.8,),
    "res50_384x288_a2x3": (72.8,),
    "res50_384x288_cgnl3": (72.4,),
    "res50_384x288_rcca3": (72.8,),
    "res50_384x288_stride8": (66.3, 87.1, 71.4, 61.3, 74.6, 72.0),
    "res50_384x288_stride8_dilated": (72.3, 89.4, 79.1, 68.1, 80.1, 77.6),
    "res50_384x288_stride8_nl3": (72.7, 88.9, 79.1, 68.9, 79.9, 77.9),
    "res50_384x288_stride8_srl3": (73.4, 89.3, 79.8, 69.5, 80.7, 78.8),
    "res50_384x288_stride8_srl4": (73.7, 89.4, 80.3, 69.7, 81.2, 78.9),
    "res50_384x288_srl1_d1": (72.7, 89.2, 79.7, 68.7, 80.0, 78.1),
    "res50_384x288_srl1_d2": (72.6, 89.3, 79.5, 68.7, 79.8, 78.0),
    "res50_384x288_srl1_d3": (72.6, 89.6, 79.4, 68.6, 80.1, 78.0),
    "res50_384x288_srl2_d1d2": (72.9, 89.2, 79.9, 69.5, 79.9, 78.6),
    "res50_256x192_srllo3": (71.0,),
    "res50_384x288_srllo3": (72.8,),
    "res101_256x192_srllo3": (71.7,),
    "res152_256x192_srllo3": (72.3,),
}

# Conditions of `metrics.json` under which an AP may be comparable with these, input size apart.
CONDITIONS = {
    "boxes": "detector",
    "box_score_threshold": 0.0,
    "images_skipped": 0,
    "codec": "heatmap",
    "flip": True,
    "decoding": "quarter offset",
    "oks_nms": "hard at 0.9",
    "keypoint_threshold": 0.2,
}
# Further conditions: the number of entries of the usual detector file (also in HRNet's log) and of
# images of val2017. A truncated file, or another one of the same name, has other numbers.
COUNTED = {
    "boxes_file": "COCO_val2017_detections_AP_H_56_person.json",
    "boxes_in_file": 104_125,
    "images_in_annotations": 5000,
}

# With the field's 56.4 AP detector AP50 is near 0.89 and AR - AP near 0.06, with ground-truth
# boxes near 0.925 and 0.03; the limits are halfway.
AP50_BORDER, GAP_BORDER = 0.9075, 0.045
LEAST_AP = 0.6  # a weaker network does not show these differences


@dataclass(frozen=True)
class Row:
    """A row of the paper.

    Attributes:
        name: Of its config.
        numbers: As printed, 0 to 1: AP alone, or all of `NUMBERS`.
    """

    name: str
    numbers: dict[str, float]

    @classmethod
    def named(cls, name: str) -> Row:
        """The row of a config, a key of `ROWS`."""
        values = (number / 100 for number in ROWS[name])
        return cls(name, dict(zip(NUMBERS, values, strict=False)))


def measured_under(conditions: Mapping[str, Any], amp: str | None) -> dict[str, Any]:
    """Return what determines whether an AP can be compared, short enough to be stored with each.

    Args:
        conditions: Of an `Evaluation`; files lose their folders, and entries their list.
        amp: The dtype of autocast, None for float32.
    """
    files = {key: Path(conditions[key]).name for key in ("boxes_file", "annotations")}
    persons = {key: conditions["persons"][key] for key in ("total", "used", "skipped")}
    return {**conditions, **files, "persons": persons, "amp": amp}


def compare(
    metrics: Mapping[str, float], conditions: Mapping[str, Any], row: Row | None
) -> dict[str, str]:
    """Return rows of a card: the published AP, and a warning if the boxes look like the other kind.

    Args:
        metrics: The ten numbers.
        conditions: Of the evaluation.
        row: Of the network; None if the paper has none.
    """
    if conditions["skeleton"] != "coco17":
        return {"published": f"none; AP of {conditions['skeleton']} is not comparable with COCO's"}
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
    if row is not None and ap >= 0:
        published = row.numbers["AP"]
        others = other_conditions(conditions)
        verdict = f"here {ap - published:+.3f}, if the boxes are the same"
        if others:
            verdict = f"not comparable, other conditions: {', '.join(others).replace('_', ' ')}"
        rows["published"] = f"AP {published:.3f} (detector boxes, flip test); {verdict}"
    return rows


def other_conditions(conditions: Mapping[str, Any]) -> list[str]:
    """Return the conditions because of which an AP cannot be compared with these."""
    return [key for key, value in CONDITIONS.items() if conditions.get(key) != value]


def other_measurement(
    conditions: Mapping[str, Any], input_size: tuple[int, int], annotations: str
) -> list[str]:
    """Return the conditions that differ from those of a row, including boxes and images.

    Args:
        conditions: Of the evaluation, as `metrics.json` has them.
        input_size: The row's.
        annotations: The row's file, without its folder.
    """
    had = _counted(conditions)
    wanted = CONDITIONS | COUNTED | {"input_size": list(input_size), "annotations": annotations}
    return [
        f"{key} {had.get(key)!r} (the paper's: {value!r})"
        for key, value in wanted.items()
        if had.get(key) != value
    ]


def _counted(conditions: Mapping[str, Any]) -> dict[str, Any]:
    """Return conditions with files by name, and the numbers of boxes and images."""
    had = dict(conditions)
    had |= {key: Path(str(had.get(key))).name for key in ("boxes_file", "annotations")}
    try:
        persons = had["persons"]
        had["boxes_in_file"] = persons["used"] + sum(persons["skipped"].values())
        had["images_in_annotations"] = persons["images"]["total"]
    except (AttributeError, KeyError, TypeError):
        pass  # from another version: the two are missing, which counts as different
    return had
