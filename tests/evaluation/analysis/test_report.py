"""The report: every number of the tables is one of the analysis, and JSON can hold it."""

import json
from dataclasses import replace

import pytest

from keypoint.evaluation.analysis.analyse import analyse, compare
from keypoint.evaluation.analysis.errors import KINDS
from keypoint.evaluation.analysis.report import hint, to_dict, to_text
from keypoint.pose.skeleton import load_skeleton
from tests.evaluation.analysis.cases import OWN, UNPAIRED, crowded_case

COCO17 = load_skeleton("coco17")


@pytest.fixture(scope="module")
def analysis():
    content, results, _ = crowded_case(3, COCO17, images=12)
    return analyse(compare(content, results, COCO17), COCO17)


def test_plain_values_conserve_counts(analysis):
    content = json.loads(json.dumps(to_dict(analysis), allow_nan=False))
    pairs, keypoints = content["pairs"], content["keypoints"]
    assert list(keypoints) == list(COCO17.keypoints)
    assert pairs["persons"] == pairs["paired"] + pairs["unpaired"]
    assert pairs["unpaired"] > 0
    assert sum(row["persons"] for row in keypoints.values()) == pairs["labelled_keypoints"]
    by_kind = {kind: sum(row[kind] for row in keypoints.values()) for kind in KINDS}
    assert by_kind == content["errors"]["keypoints"]
    assert sum(by_kind.values()) == pairs["labelled_keypoints_of_paired"]
    assert keypoints["nose"]["PCK@0.1"] == analysis.within[0.1][0] / analysis.labelled[0]
    assert content["errors"]["AP"] == content["scores"]["AP"] == analysis.all.ap
    scores = content["scores"]
    counted = scores["keypoints_above"]["count"] + scores["keypoints_below"]["count"]
    assert counted == sum(by_kind.values())
    assert scores["keypoints_below"]["high"] <= 0.2 < scores["keypoints_above"]["low"]


def test_tables_show_the_numbers(analysis):
    text = to_text(analysis)
    lines = {line.split()[0]: line.split() for line in text.splitlines() if line.split()}
    wrist = lines["left_wrist"]
    k = COCO17.keypoints.index("left_wrist")
    assert int(wrist[1]) == analysis.labelled[k]
    assert wrist[2] == f"{analysis.alone[k].ap:.3f}"
    assert wrist[7] == f"{analysis.within[0.2][k] / analysis.labelled[k]:.3f}"
    shares = [float(cell) for cell in wrist[8:] if cell != "%"]
    assert sum(shares) == pytest.approx(100, abs=0.3)
    assert shares[-1] == pytest.approx(100 * analysis.kinds[k, 4] / analysis.kinds[k].sum(), abs=0.1)  # fmt: skip
    assert lines["all"][1] == str(analysis.labelled.sum())
    assert lines["miss"][1] == str(analysis.kinds[:, 4].sum())
    assert lines["miss"][4:6] == [f"{analysis.if_fixed['miss']:.3f}", f"{analysis.if_fixed['miss'] - analysis.all.ap:+.3f}"]  # fmt: skip
    assert lines["swap"][6] == f"{analysis.if_fixed_cumulative['swap']:.3f}"
    step = analysis.if_fixed_cumulative["swap"] - analysis.if_fixed_cumulative["miss"]
    assert lines["swap"][7] == f"{step:+.3f}"
    assert lines["best"][2] == f"{analysis.best_order:.3f}"
    assert f"not counted above: {analysis.persons - analysis.paired} person" in text
    assert "matched at OKS 0.1" in text
    assert max(map(len, text.splitlines())) <= 130


@pytest.mark.parametrize("skeleton", [OWN, UNPAIRED], ids=lambda s: s.name)
def test_any_skeleton_and_nothing_at_all(skeleton):
    content, results, _ = crowded_case(1, skeleton)
    for entry in content["annotations"]:
        entry["keypoints"][2] = 0  # no person has the first keypoint labelled
    for given in (results, []):
        analysis = analyse(compare(content, given, skeleton), skeleton)
        text = to_text(analysis)
        row = next(line for line in text.splitlines() if line.startswith(skeleton.keypoints[0]))
        assert row.split()[1:] == ["0"] + ["-"] * 11
        assert "-: no person has this keypoint labelled" in text
        assert "nan" not in text.lower()
        json.dumps(to_dict(analysis), allow_nan=False)
        assert to_dict(analysis)["keypoints"][skeleton.keypoints[0]]["AP"] is None
    assert hint(analysis) == "There is no result to judge scores by."
    assert "0.000" in text  # no result at all is an AP of 0, not an undefined one


@pytest.mark.parametrize(
    ("by_id", "ap", "best", "words"),
    [
        (False, 0.70, 0.77, "Scores rank persons well: AP 0.700 is 91% of what the best order of the scores would give (+0.070; usual with detector boxes: +0.06)."),
        (False, 0.70, 0.79, "Scores rank persons worse than in published results: AP 0.700 is 89%"),
        (True, 0.70, 0.77, "Scores rank persons worse than in published results: "),
        (True, 0.72, 0.75, "Scores rank persons well: "),
        # No published network is there to compare with, and a small gain says little.
        (True, 0.002, 0.013, "AP 0.002 is 15% of what the best order of the scores would give (0.013)."),
        (True, 0.5, 0.51, "AP 0.500 is 98% of what"),
    ],
)  # fmt: skip
def test_hint_tells_good_orders_from_bad_ones(analysis, by_id, ap, best, words):
    of_coco = replace(analysis, by_id=by_id, all=replace(analysis.all, ap=ap), best_order=best)
    assert hint(of_coco).startswith(words)
    names = tuple(f"corner_{k}" for k in range(17))
    of_others = hint(replace(of_coco, keypoints=names))
    assert of_others.startswith(f"AP {ap:.3f} is ")  # published results are of COCO's persons
    assert "usual" not in of_others
    assert "Of the keypoints scored above 0.2, " in of_others


def test_hint_of_results_that_no_order_helps(analysis):
    nothing = replace(analysis, all=replace(analysis.all, ap=0.0), best_order=0.0)
    assert hint(nothing).startswith("Of the keypoints scored above")
