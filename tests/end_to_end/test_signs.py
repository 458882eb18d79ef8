"""One's own object by the README's commands: generate, train, test, predict; judged by what no network could do."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import yaml

from keypoint import Predictor
from keypoint.data.coco import load_persons
from keypoint.data.images.read import read_image
from keypoint.evaluation import evaluate_coco
from keypoint.pose.skeleton import load_skeleton
from tests import forked
from tests.calling import words

REPOSITORY = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(900)  # half a minute's work, on a busy machine several
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
# Less work than configs/signs.yaml.
SMALL = "data.workers=0 model.encoder=tiny model.input_size=[64,64] train.lr=3e-3 train.warmup_steps=0 train.epochs=10 train.lr_drops=[8] train.batch_size=8 train.evaluate_every=10"


def run(tool, *arguments):
    done = forked.run(words(tool, *arguments), env=ENVIRONMENT, timeout=800, cwd=REPOSITORY)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done


def split(folder, name):
    skeleton = load_skeleton("sign.yaml", folder)
    return load_persons(folder / "annotations" / f"signs_{name}.json", folder / "images", skeleton)


def constant_prediction_ap(folder):
    """The best AP of answers that do not look at the image: the same places in every box."""
    train, val = split(folder, "train"), split(folder, "val")
    inside = (train.keypoints_image - train.bbox_xywh[:, None, :2]) / train.bbox_xywh[:, None, 2:]
    labelled = train.visibility > 0
    places = [
        np.array([average(inside[labelled[:, k], k], axis=0) for k in range(4)])
        for average in (np.mean, np.median)
    ] + [np.array([[0, 0], [1, 0], [1, 1], [0, 1]])]
    aps = []
    for place in places:
        points = val.bbox_xywh[:, None, :2] + place * val.bbox_xywh[:, None, 2:]
        results = [
            {"image_id": int(i), "category_id": 42, "keypoints": np.column_stack([p, np.ones(4)]).ravel().tolist(), "score": 1.0}
            for i, p in zip(val.image_ids, points, strict=True)
        ]  # fmt: skip
        file = folder / "annotations" / "signs_val.json"
        sigmas = load_skeleton("sign.yaml", folder).oks_sigmas
        aps.append(evaluate_coco(file, results, oks_sigmas=sigmas)["AP"])
    return max(aps)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("signs")
    run("make_sign_data", "--output", folder / "data", "--train", 120, "--val", 40)
    paths = [f"data.root={folder / 'data'}", f"output={folder / 'run'}"]
    run("check_data", "--cfg", "signs.yaml", *paths)
    trained = run("train", "--cfg", "signs.yaml", *paths, *SMALL.split())
    tested = run("test", "--checkpoint", folder / "run" / "best.pt", "--pictures", 4)
    return folder, trained, tested


def test_a_network_learns_what_no_constant_answer_reaches(work):
    folder, trained, tested = work
    constant = constant_prediction_ap(folder / "data")
    assert constant < 0.06
    card = json.loads((folder / "run" / "metrics.json").read_text())
    assert card["metrics"]["AP"] > 0.25
    warning = "uniform (0.067), so AP can be compared only with others of this skeleton"
    assert card["conditions"]["oks_sigmas"] == warning
    assert warning in tested.stdout  # the table
    assert trained.stderr.count(f"skeleton sign: sigmas are {warning}") == 1
    report = json.loads((folder / "run" / "data_report.json").read_text())["train"]
    assert report["skipped"] == {"of another category": report["used"]}
    assert (folder / "run" / "predictions.jpg").stat().st_size > 0


def test_results_keep_the_data_sets_own_ids(work):
    folder, _, _ = work
    results = json.loads((folder / "run" / "results.json").read_text())
    truth = json.loads((folder / "data" / "annotations" / "signs_val.json").read_text())
    ids = {image["id"] for image in truth["images"]}
    assert {result["image_id"] for result in results} <= ids
    assert {result["category_id"] for result in results} == {42}
    assert {len(result["keypoints"]) for result in results} == {12}


def test_the_checkpoint_predicts_alone_what_test_predicted(work):
    folder, _, _ = work
    val = split(folder / "data", "val")
    predictor = Predictor.from_checkpoint(folder / "run" / "best.pt", device="cpu", flip=True)
    assert predictor.skeleton == load_skeleton("sign.yaml", folder / "data")
    results = json.loads((folder / "run" / "results.json").read_text())
    row = int(val.image_index[0])
    found = predictor(read_image(val.images.path(row)), val.bbox_xywh[val.image_index == row])
    assert found.keypoints.shape[1:] == (4, 2)
    mine = [r["keypoints"] for r in results if r["image_id"] == int(val.images.ids[row])]
    first = np.array(mine[0]).reshape(4, 3)
    np.testing.assert_allclose(found.keypoints[0], first[:, :2], atol=0.01)


def test_the_skeleton_in_the_run_is_found_next_to_the_data(work):
    folder, _, _ = work
    config = yaml.safe_load((folder / "run" / "config.yaml").read_text())
    assert config["data"]["skeleton"] == "sign.yaml"
    assert not (REPOSITORY / "sign.yaml").exists()
