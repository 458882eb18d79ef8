"""An analysis as text, and as plain values."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from keypoint.data.notes import in_number
from keypoint.evaluation.analysis.analyse import PAIRING_OKS, Analysis
from keypoint.evaluation.analysis.calibration import Bin
from keypoint.evaluation.analysis.errors import FIXING_ORDER, KINDS
from keypoint.evaluation.published import LEAST_AP
from keypoint.pose.skeleton import load_skeleton

# The gain of the best order is about AR - AP. These are AR - AP of published results at AP 0.7,
# with ground-truth boxes, and with a detector's boxes and false positives. They hold for COCO's
# persons, not for other keypoints or networks with a much lower AP.
USUAL_GAIN = {True: 0.03, False: 0.06}
NOTABLE = 0.02  # beyond the usual


def to_dict(analysis: Analysis) -> dict[str, Any]:
    """Plain values for `metrics.json`; None if a number is not defined."""
    counts = analysis.kinds.sum(axis=0)
    return {
        "pairs": {
            "by": "annotation id" if analysis.by_id else f"OKS >= {PAIRING_OKS}",
            "persons": analysis.persons,
            "paired": analysis.paired,
            "unpaired": analysis.persons - analysis.paired,
            "labelled_keypoints": int(analysis.labelled.sum()),
            "labelled_keypoints_of_paired": int(counts.sum()),
        },
        "keypoints": {
            name: {
                "persons": int(analysis.labelled[k]),
                "AP": analysis.alone[k].ap,
                "AP50": analysis.alone[k].ap50,
                "AP75": analysis.alone[k].ap75,
                **{
                    f"PCK@{share}": _share(int(within[k]), int(analysis.labelled[k]))
                    for share, within in analysis.within.items()
                },
                **_by_kind(analysis.kinds[k]),
            }
            for k, name in enumerate(analysis.keypoints)
        },
        "errors": {
            "AP": analysis.all.ap,
            "keypoints": _by_kind(counts),
            "AP_if_fixed": analysis.if_fixed,
            "AP_if_fixed_cumulative": analysis.if_fixed_cumulative,
        },
        "scores": {
            "AP": analysis.all.ap,
            "AP_best_order": analysis.best_order,
            "AP_best_order_all_fixed": analysis.best_order_fixed,
            "results": analysis.results,
            "bins": [asdict(entry) for entry in analysis.score_bins],
            "keypoint_bins": [asdict(entry) for entry in analysis.keypoint_score_bins],
            "keypoint_threshold": analysis.keypoint_threshold,
            "keypoints_above": analysis.confident[0] and asdict(analysis.confident[0]),
            "keypoints_below": analysis.confident[1] and asdict(analysis.confident[1]),
        },
        "hint": hint(analysis),
    }


def to_text(analysis: Analysis) -> str:
    """Tables by keypoint, by kind of error and by score, without a newline at the end."""
    return "\n\n".join(
        (_keypoint_table(analysis), _error_table(analysis), _score_table(analysis), hint(analysis))
    )


def hint(analysis: Analysis) -> str:
    """Sentences about the order of the persons' scores and the meaning of a keypoint's score."""
    sentences = []
    if analysis.score_bins and analysis.all.ap is not None and analysis.best_order:
        sentences.append(_order_hint(analysis, analysis.all.ap, analysis.best_order))
    above, below = analysis.confident
    if above is not None:
        sentences.append(
            f"Of the keypoints scored above {analysis.keypoint_threshold:g}, {above.near:.0%} are "
            f"near their place (ks >= 0.5)"
            + ("." if below is None else f"; of the {below.count} others {below.near:.0%}.")
        )
    return "\n".join(sentences) or "There is no result to judge scores by."


def _order_hint(analysis: Analysis, ap: float, best: float) -> str:
    """Compare the order of the scores with the best order, and with the usual gain if known."""
    text = f"AP {ap:.3f} is {ap / best:.0%} of what the best order of the scores would give"
    if analysis.keypoints != load_skeleton("coco17").keypoints or ap < LEAST_AP:
        return f"{text} ({best:.3f})."
    gain, usual = best - ap, USUAL_GAIN[analysis.by_id]
    boxes = "ground-truth boxes" if analysis.by_id else "detector boxes"
    verdict = (
        "Scores rank persons well"
        if gain < usual + NOTABLE
        else "Scores rank persons worse than in published results"
    )
    return f"{verdict}: {text} ({gain:+.3f}; usual with {boxes}: {usual:+.2f})."


def _keypoint_table(analysis: Analysis) -> str:
    width = max(8, *(len(name) for name in analysis.keypoints))
    shares = "".join(f" {f'PCK@{share:g}':>8}" for share in analysis.within)
    kinds = "".join(f"{kind:>{_kind_width(kind)}}" for kind in KINDS)
    matched = "" if analysis.by_id else f" (matched at OKS {PAIRING_OKS:g})"
    lines = [
        "By keypoint: OKS-AP of it alone; PCK by shares of the longer box side (persons without a",
        f"result have missed); kinds of error on the {analysis.paired} of {analysis.persons} "
        f"persons that have a result{matched}",
        f"{'keypoint':{width}} {'persons':>8} {'AP':>6} {'AP50':>6} {'AP75':>6}{shares} {kinds}",
    ]
    for k in [*range(len(analysis.keypoints)), None]:
        name = "all" if k is None else analysis.keypoints[k]
        labelled = int(analysis.labelled.sum() if k is None else analysis.labelled[k])
        scores = analysis.all if k is None else analysis.alone[k]
        counts = analysis.kinds.sum(axis=0) if k is None else analysis.kinds[k]
        within = [w.sum() if k is None else w[k] for w in analysis.within.values()]
        cells = f"{name:{width}} {labelled:>8}"
        cells += "".join(f" {_number(s):>6}" for s in (scores.ap, scores.ap50, scores.ap75))
        cells += "".join(f" {_number(_share(int(w), labelled)):>8}" for w in within)
        cells += " " + "".join(
            f"{_percent(int(n), int(counts.sum())):>{_kind_width(kind)}}"
            for kind, n in zip(KINDS, counts, strict=True)
        )
        lines.append(cells)
    if any("-" in line.split() for line in lines[3:]):
        lines.append("-: no person has this keypoint labelled, or none of them has a result")
    return "\n".join(lines)


def _error_table(analysis: Analysis) -> str:
    counts = analysis.kinds.sum(axis=0)
    lines = [
        "By kind of error: AP with these keypoints fixed, alone and with all above",
        f"{'error':14} {'keypoints':>9} {'share':>8} {'AP alone':>9} {'gain':>7} "
        f"{'AP so far':>9} {'gain':>7}",
        f"{'as it is':14} {'':9} {'':8} {_number(analysis.all.ap):>9}",
    ]
    before = analysis.all.ap
    for kind in FIXING_ORDER:
        name = KINDS[kind]
        alone, so_far = analysis.if_fixed[name], analysis.if_fixed_cumulative[name]
        lines.append(
            f"{name:14} {counts[kind]:>9} {_percent(int(counts[kind]), int(counts.sum())):>8} "
            f"{_number(alone):>9} {_gain(analysis.all.ap, alone):>7} "
            f"{_number(so_far):>9} {_gain(before, so_far):>7}"
        )
        before = so_far
    lines.append(
        f"{'best order':14} {'':9} {'':8} {_number(analysis.best_order):>9} "
        f"{_gain(analysis.all.ap, analysis.best_order):>7} "
        f"{_number(analysis.best_order_fixed):>9} {_gain(before, analysis.best_order_fixed):>7}"
    )
    unpaired = analysis.persons - analysis.paired
    left = int(analysis.labelled.sum() - counts.sum())
    persons = in_number(unpaired, "persons")
    lines.append(f"not counted above: {persons} without a result ({left} labelled keypoints)")
    return "\n".join(lines)


def _score_table(analysis: Analysis) -> str:
    results = ", ".join(f"{count} {reason}" for reason, count in analysis.results.items())
    lines = [
        f"Results: {results}",
        "By score, in tenths",
        f"{'person score':>18} {'results':>8} {'mean OKS':>9} {'>= 0.5':>7}   "
        f"{'keypoint score':>18} {'keypoints':>9} {'mean ks':>8} {'>= 0.5':>7}",
    ]
    left, right = analysis.score_bins[::-1], analysis.keypoint_score_bins[::-1]
    for row in range(max(len(left), len(right))):
        cells = f"{'':45}"
        if row < len(left):
            cells = f"{_range(left[row])} {left[row].count:>8} {left[row].mean:>9.3f} "
            cells += f"{left[row].near:>7.0%}"
        if row < len(right):
            cells += f"   {_range(right[row])} {right[row].count:>9} {right[row].mean:>8.3f} "
            cells += f"{right[row].near:>7.0%}"
        lines.append(cells)
    return "\n".join(lines)


def _kind_width(kind: str) -> int:
    return max(8, len(kind) + 1)


def _range(entry: Bin) -> str:
    return f"{f'{entry.low:.3f} to {entry.high:.3f}':>18}"


def _by_kind(counts: Any) -> dict[str, int]:
    return {kind: int(count) for kind, count in zip(KINDS, counts, strict=True)}


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def _gain(before: float | None, after: float | None) -> str:
    return "-" if before is None or after is None else f"{after - before:+.3f}"
