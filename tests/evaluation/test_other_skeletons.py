"""Everything after the annotations is sized from the skeleton: one keypoint, no pairs, no edges, 26 of them."""

import json

import cv2
import numpy as np
import pytest
import torch

from keypoint.data.annotations import read_annotations
from keypoint.data.coco import select_persons
from keypoint.evaluation import evaluate_coco, run
from keypoint.evaluation.pictures import truth_beside_prediction
from keypoint.evaluation.run import evaluate_model, name_sigmas
from keypoint.evaluation.runs.files import UNIFORM_SIGMAS, current_names
from keypoint.models import create_model
from keypoint.pose.skeleton import UNIFORM_SIGMA, load_skeleton, skeleton_from_dict
from keypoint.prediction.predictor import Predictor
from tests.evaluation.cases import plain_coco_eval, result_of

DOT = skeleton_from_dict({"name": "dot", "keypoints": ["centre"], "pairs": [], "edges": []}, "test")
LOOSE = skeleton_from_dict(
    {
        "name": "loose",
        "keypoints": list("abcd"),
        "pairs": [],
        "edges": [],
        "oks_sigmas": [0.02, 0.05, 0.1, 0.2],
    },
    "test",
)
SKELETONS = [
    DOT,
    LOOSE,
    *(load_skeleton(name) for name in ("mpii16", "crowdpose14", "aic14", "halpe26")),
]
OBJECT = 908  # category id
WIDTH, HEIGHT = 160, 120


def annotations(skeleton, images=6, seed=0):
    rng = np.random.default_rng(seed)
    entries = []
    for number in range(2 * images):
        x, y, w, h = rng.uniform([5, 5, 50, 50], [60, 40, 90, 70])
        points = np.column_stack(
            [
                rng.uniform([x, y], [x + w, y + h], (skeleton.num_keypoints, 2)),
                np.full(skeleton.num_keypoints, 2),
            ]
        )
        entries.append({
            "id": 7000 + 3 * number, "image_id": 10**9 + number // 2, "category_id": OBJECT, "iscrowd": 0, "area": 0.7 * w * h,
            "bbox": [x, y, w, h], "keypoints": points.ravel().tolist(), "num_keypoints": skeleton.num_keypoints,
        })  # fmt: skip
    return {
        "images": [{"id": 10**9 + i, "file_name": f"part{i % 2}/{i}.png", "width": WIDTH, "height": HEIGHT} for i in range(images)],
        "annotations": entries,
        "categories": [{"id": 3, "name": "other"}, {"id": OBJECT, "name": skeleton.name, "keypoints": list(skeleton.keypoints)}],
    }  # fmt: skip


@pytest.fixture(params=SKELETONS, ids=lambda skeleton: skeleton.name)
def skeleton(request):
    return request.param


def test_the_numbers_are_cocoevals_with_these_sigmas(skeleton):
    truth = annotations(skeleton)
    rng = np.random.default_rng(1)
    results = []
    for entry in truth["annotations"]:
        points = np.array(entry["keypoints"]).reshape(-1, 3)
        points[:, :2] += rng.normal(0, 100 * np.mean(skeleton.oks_sigmas), (len(points), 2))
        results.append(result_of(entry["image_id"], points, rng.uniform(), OBJECT))
    ours = evaluate_coco(truth, results, oks_sigmas=skeleton.oks_sigmas)
    theirs = plain_coco_eval(truth, results, skeleton.oks_sigmas)
    assert ours == pytest.approx(theirs, rel=0, abs=1e-12)
    assert 0 < ours["AP"] < 1

    perfect = [dict(entry, score=1.0) for entry in truth["annotations"]]
    assert evaluate_coco(truth, perfect, oks_sigmas=skeleton.oks_sigmas)["AP"] == 1.0


@pytest.mark.parametrize("skeleton", [DOT, LOOSE], ids=lambda skeleton: skeleton.name)
def test_a_network_is_sized_from_it_from_the_file_to_the_picture(
    skeleton, tmp_path, caplog, monkeypatch
):
    content = annotations(skeleton)
    for entry in content["images"]:
        file = tmp_path / "images" / entry["file_name"]
        file.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(entry["id"]).integers(
            0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8
        )
        cv2.imwrite(str(file), noise)
    (tmp_path / "objects.json").write_text(json.dumps(content))
    truth = read_annotations(tmp_path / "objects.json", tmp_path / "images", skeleton, scored=True)
    persons = select_persons(truth)
    assert persons.keypoints_image.shape == (12, skeleton.num_keypoints, 2)
    assert persons.category_id == OBJECT
    torch.manual_seed(0)
    model = create_model("resnet18", input_size=(64, 32), num_keypoints=skeleton.num_keypoints)
    name_sigmas.cache_clear()
    warnings = []
    monkeypatch.setattr(run.logger, "warning", lambda text, *values: warnings.append(text % values))
    evaluations = [
        evaluate_model(model, persons=persons, annotations=truth, skeleton=skeleton, batch_size=8, workers=0)
        for _ in range(2)
    ]  # fmt: skip
    if skeleton.uniform_sigmas:
        assert len(warnings) == 1  # of two evaluations
        assert f"skeleton dot: sigmas are {UNIFORM_SIGMAS}; keypoint estimate" in warnings[0]
    else:
        assert not warnings
    evaluations[0].save(tmp_path)
    conditions = json.loads((tmp_path / "metrics.json").read_text())["conditions"]
    text = f"uniform ({UNIFORM_SIGMA}), so AP can be compared only with others of this skeleton"
    assert text == UNIFORM_SIGMAS
    before = {"oks_sigmas": "uniform sigmas (0.067): AP is comparable only with itself"}
    assert current_names(before) == {"oks_sigmas": text}
    assert conditions["oks_sigmas"] == (text if skeleton.uniform_sigmas else "loose")
    assert (text in evaluations[0].table()) == skeleton.uniform_sigmas
    predictions = evaluations[0].predictions
    assert truth_beside_prediction(persons, predictions, persons, skeleton, 2).ndim == 3
    found = Predictor(model, skeleton, flip=True)(np.zeros((50, 60, 3), np.uint8))
    assert found.keypoints.shape == (1, skeleton.num_keypoints, 2)
