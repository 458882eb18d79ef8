"""keypoint test --analyse --worst: from a checkpoint to tables, JSON, card and picture."""

import json
import sys

import cv2
import numpy as np
import pytest

from keypoint.data.annotations import read_annotations
from keypoint.data.boxes import read_boxes
from keypoint.data.coco import select_persons
from keypoint.evaluation.analysis.analyse import analyse, compare_evaluation
from keypoint.evaluation.coco import evaluate_coco
from keypoint.evaluation.results import make_results
from keypoint.evaluation.run import Evaluation, Predictions
from keypoint.pose.skeleton import load_skeleton
from tests import forked, tiny_coco
from tests.end_to_end.test_train import ENVIRONMENT, REPOSITORY
from tests.evaluation.cases import boxes_of
from tests.test_readme import small_checkpoint

SKELETON = load_skeleton("coco17")


@pytest.mark.parametrize("boxes", ["ground truth", "detector"])
def test_the_command(tmp_path, boxes):
    data = tiny_coco.content(3, 2)
    tiny_coco.write(tmp_path, data)
    small_checkpoint(tmp_path / "run" / "best.pt")
    override = []
    if boxes == "detector":
        (tmp_path / "boxes.json").write_text(json.dumps(boxes_of(data, 0.7)))
        override = [f"test.boxes={tmp_path / 'boxes.json'}"]
    done = forked.run(
        [sys.executable, REPOSITORY / "tools" / "test.py", "--checkpoint", tmp_path / "run" / "best.pt", "--analyse", "--worst", "2", "--device", "cpu", f"data.root={tmp_path}", f"output={tmp_path / 'out'}", "data.workers=0", *override],
        env=ENVIRONMENT, timeout=120, cwd=REPOSITORY,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "By kind of error: AP" in done.stdout
    assert "right_ankle" in done.stdout
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert list(metrics) == ["metrics", "conditions", "origin", "analysis"]
    analysis = metrics["analysis"]
    assert analysis["errors"]["AP"] == pytest.approx(metrics["metrics"]["AP"], abs=1e-12)
    by_id = boxes == "ground truth"
    assert analysis["pairs"]["by"] == ("annotation id" if by_id else "OKS >= 0.1")
    assert analysis["pairs"]["persons"] == 6
    card = (tmp_path / "out" / "card.md").read_text()
    assert f"  * boxes: {boxes}\n" in card
    assert str(tmp_path) not in card
    assert "* sha256: " in card
    assert "* epochs: 1 of 210\n" in card
    assert "* device: cpu\n" in card
    assert f"* metrics: AP {metrics['metrics']['AP']:.4g}, AP50" in card
    if by_id:
        assert cv2.imread(str(tmp_path / "out" / "worst.jpg")).shape[1] > 1300


def evaluation_of(persons, points, scores, **options):
    areas = np.full(len(persons), 5000.0)
    predictions = Predictions(np.arange(len(persons)), points, scores, areas)
    results, _ = make_results(persons.image_ids, points, scores, persons.bbox_scores, areas, SKELETON.oks_sigmas, **options)  # fmt: skip
    boxes = "ground truth" if (persons.visibility > 0).any() else "detector"
    return Evaluation({}, results, predictions, {"boxes": boxes})


def test_results_find_their_own_person_again_after_nms(tmp_path):
    """Two persons of an image with the same prediction but for a pixel: one of them is suppressed."""
    file, images = tiny_coco.write(tmp_path, tiny_coco.content(3, 3))
    truth = read_annotations(file, images, SKELETON, scored=True)
    persons = select_persons(truth)
    points = persons.keypoints_image.astype(np.float64)
    points[1] = points[0] + 0.5  # in the box of 1 the network saw person 0, and scored it higher
    scores = np.full((9, 17), 0.8)
    scores[1] = 0.9
    evaluation = evaluation_of(persons, points, scores, nms="hard")
    expected = [int(key) for row, key in enumerate(persons.ids) if row != 0]
    case = compare_evaluation(evaluation, persons=persons, annotations=truth, skeleton=SKELETON)
    assert case.by_id
    assert [case.truth.ids[row] for row in case.paired] == expected
    assert len(case.own.result) == 8
    assert case.own_oks[0] < 0.5
    assert case.own_oks[1:].min() == pytest.approx(1)


def test_equal_predictions_are_given_out_once_each(tmp_path):
    file, images = tiny_coco.write(tmp_path, tiny_coco.content(2, 3))
    truth = read_annotations(file, images, SKELETON, scored=True)
    persons = select_persons(truth)
    points, scores = np.zeros((6, 17, 2)), np.zeros((6, 17))  # a network that sees nothing
    evaluation = evaluation_of(persons, points, scores)
    case = compare_evaluation(evaluation, persons=persons, annotations=truth, skeleton=SKELETON)
    assert [case.truth.ids[row] for row in case.paired] == persons.ids.tolist()


def test_detector_boxes_are_matched(tmp_path):
    data = tiny_coco.content(2, 2)
    file, images = tiny_coco.write(tmp_path, data)
    (tmp_path / "boxes.json").write_text(json.dumps(boxes_of(data, 0.5)[::-1]))
    truth = read_annotations(file, images, SKELETON, scored=True)
    persons = read_boxes(tmp_path / "boxes.json", truth)
    points = select_persons(truth).keypoints_image.astype(np.float64)
    evaluation = evaluation_of(persons, points[::-1], np.ones((4, 17)))
    case = compare_evaluation(evaluation, persons=persons, annotations=truth, skeleton=SKELETON)
    assert not case.by_id
    assert case.own_oks == pytest.approx(np.ones(4))


def test_faulty_images_are_left_out_as_in_the_evaluation(tmp_path):
    data = tiny_coco.content(3, 2)
    file, images = tiny_coco.write(tmp_path, data)
    data["annotations"][0]["keypoints"][2] = 7  # no such visibility
    file.write_text(json.dumps(data))
    truth = read_annotations(file, images, SKELETON, scored=True, on_bad="skip", max_bad=0.5)
    persons = select_persons(truth)
    assert truth.left_out_images == {100}
    points = persons.keypoints_image + np.arange(len(persons))[:, None, None]
    evaluation = evaluation_of(persons, points.astype(np.float64), np.ones((len(persons), 17)))
    case = compare_evaluation(evaluation, persons=persons, annotations=truth, skeleton=SKELETON)
    analysis = analyse(case, SKELETON)
    metrics = evaluate_coco(truth, evaluation.results)
    assert analysis.persons == 4
    assert analysis.all.ap == pytest.approx(metrics["AP"], abs=1e-12)
