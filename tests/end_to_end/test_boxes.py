"""keypoint test --boxes: truth and detections in one run, and images without annotations."""

import json
import sys
from argparse import Namespace
from pathlib import Path

import cv2
import numpy as np
import pytest

from keypoint.commands import cli
from keypoint.config.load import config_from_dict
from keypoint.evaluation.coco import evaluate_coco
from tests import forked, tiny_coco
from tests.calling import command
from tests.end_to_end.test_train import ENVIRONMENT, REPOSITORY
from tests.evaluation.cases import boxes_of
from tests.test_readme import small_checkpoint


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A set, a checkpoint, and the truth's boxes as a detector's, each twice."""
    folder = tmp_path_factory.mktemp("boxes")
    content = tiny_coco.content(3, 2)
    file, images = tiny_coco.write(folder, content)
    small_checkpoint(folder / "run" / "best.pt")
    (folder / "found.json").write_text(json.dumps(boxes_of(content, 0.9, 0.4)))
    info = {key: content[key] for key in ("images", "categories")}
    info["categories"] = [{"id": 1, "name": "person", "supercategory": "person"}]
    (folder / "image_info.json").write_text(json.dumps(info))
    return folder, file, images


def run(folder, *arguments, status=0):
    command = [sys.executable, REPOSITORY / "tools" / "test.py", "--device", "cpu"]
    command += ["--checkpoint", folder / "run" / "best.pt", f"data.root={folder}", "data.workers=0"]
    done = forked.run([*command, *arguments], env=ENVIRONMENT, timeout=200, cwd=REPOSITORY)
    assert done.returncode == status, done.stdout + done.stderr
    return done


def test_tool():
    """keypoint test as a module."""
    return command("test")


test_tool.__test__ = False


def test_results_go_where_they_belong(tmp_path):
    """As typed; by the config given; in the run of the checkpoint, wherever it is; by its name."""

    def output_folder(checkpoint, cfg, config, overrides, weights=None):
        given = Namespace(checkpoint=checkpoint, cfg=cfg, overrides=overrides, weights=weights)
        return cli.results_folder(given, config.output)

    run_folder = tmp_path / "elsewhere" / "run"
    run_folder.mkdir(parents=True)
    config = config_from_dict({"output": "output/of_another_day"}, source="test")
    best, moved = run_folder / "best.pt", tmp_path / "moved.pt"
    (run_folder / "config.yaml").write_text("")
    assert output_folder(best, None, config, ["test.flip=false"]) == run_folder
    typed = config_from_dict({"output": "here"}, source="test")
    assert output_folder(best, None, typed, ["output=here"]) == Path("here")
    assert output_folder(best, "my.yaml", config, []) == Path("output/of_another_day")
    assert output_folder(moved, None, config, []) == Path("output/moved")
    nothing = config_from_dict({}, source="test")
    assert output_folder(moved, "my.yaml", nothing, []) == Path("output/moved")
    assert output_folder(moved, None, nothing, [], "mmpose/res50") == Path("output/res50")


def test_an_output_that_cannot_be_written_is_refused_before_the_data(data, tmp_path, capsys):
    folder, _, _ = data
    (tmp_path / "file").write_text("")
    (tmp_path / "log" / "log.txt").mkdir(parents=True)
    for place, words in (
        (tmp_path / "file", f"output: cannot make the folder {tmp_path / 'file'}"),
        ("/proc/nowhere", "output: cannot make the folder /proc/nowhere"),
        (tmp_path / "log", "log.txt cannot be written"),
    ):
        command = ["--checkpoint", str(folder / "run" / "best.pt"), f"output={place}"]
        assert cli.run(test_tool().main, [*command, "data.root=/absent"]) == 2
        said = capsys.readouterr().err
        assert words in said
        assert "/absent" not in said


def test_truth_and_detections_in_one_run(data, tmp_path):
    folder, file, _ = data
    both = ["--boxes", "truth", "--boxes", folder / "found.json"]
    said = run(folder, *both, f"output={tmp_path / 'both'}", "test.oks_nms=none", "--pictures", "1")
    lines = said.stdout.splitlines()[-3:]
    assert lines[0].split() == ["AP", "AR", "boxes"]
    assert [line.split()[2] for line in lines[1:]] == ["ground", "detector"]
    for name, boxes, persons in (("truth_boxes", "ground truth", 6), ("found", "detector", 12)):
        metrics = json.loads((tmp_path / "both" / name / "metrics.json").read_text())
        results = json.loads((tmp_path / "both" / name / "results.json").read_text())
        assert metrics["conditions"]["boxes"] == boxes
        assert metrics["conditions"]["persons"]["used"] == len(results) == persons
        assert metrics["metrics"] == evaluate_coco(file, results, repeats=True)
        assert (tmp_path / "both" / name / "card.md").is_file()
    sheets = [
        cv2.imread(str(tmp_path / "both" / name / "predictions.jpg")).astype(int)
        for name in ("truth_boxes", "found")
    ]
    width = sheets[0].shape[1] // 2
    assert np.abs(sheets[0][:, :width] - sheets[1][:, :width]).max() < 40  # the truth, by JPEG
    assert sheets[0][:, :width].std() > 10
    alone = run(folder, "--boxes", folder / "found.json", f"output={tmp_path / 'alone'}")
    assert "6 kept, 6 suppressed" in alone.stdout  # of 12, by OKS-NMS
    origin = json.loads((tmp_path / "alone" / "metrics.json").read_text())["origin"]
    assert (origin["train_data"], len(origin["truth"])) == ("unknown", 16)
    assert not (tmp_path / "alone" / "config.yaml").exists()  # the checkpoint is of no training


def test_images_without_annotations(data, tmp_path):
    folder, _, _ = data
    found = ["--boxes", folder / "found.json", f"data.val_annotations={folder / 'image_info.json'}"]
    said = run(folder, *found, f"output={tmp_path}", "--analyse")
    assert "no annotations, so no AP: submit results.json" in said.stdout
    assert "nothing is analysed" in said.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    assert len(results) == 6
    assert {len(r["keypoints"]) for r in results} == {51}
    assert {r["category_id"] for r in results} == {1}
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["metrics"] == {}
    assert metrics["conditions"]["results"] == {"given": 12, "kept": 6, "suppressed": 6}
    refused = run(folder, f"data.val_annotations={folder / 'image_info.json'}", status=3)
    assert "'annotations' is missing" in refused.stderr


def test_boxes_are_checked_before_any_work(data, tmp_path):
    folder, _, _ = data
    twice = run(folder, "--boxes", "truth", "--boxes", "truth", f"output={tmp_path}", status=2)
    assert "give each once" in twice.stderr
    (tmp_path / "other.json").write_text('[{"image_id": 5, "category_id": 1, "bbox": [0, 0, NaN, 9], "score": 1}]')  # fmt: skip
    other = run(folder, "--boxes", "truth", "--boxes", tmp_path / "other.json", status=3)
    assert "other.json" in other.stderr
    assert "image_id 5" in other.stderr
    assert "evaluate" not in other.stderr
    wrong = run(folder, "test.decoding=quarter", "model.codec=udp", status=2)
    assert "model.codec='udp' has no effect" in wrong.stderr


def test_the_flags_boxes_have_a_score_threshold(data, tmp_path):
    folder, _, _ = data
    both = ["--boxes", "truth", "--boxes", folder / "found.json", "test.box_score_threshold=0.5"]
    run(folder, *both, f"output={tmp_path}", "test.keypoint_threshold=0.3")
    for name, threshold in (("truth_boxes", None), ("found", 0.5)):
        had = json.loads((tmp_path / name / "metrics.json").read_text())["conditions"]
        assert had["persons"]["used"] == 6
        assert (had["box_score_threshold"], had["keypoint_threshold"]) == (threshold, 0.3)
        card = (tmp_path / name / "card.md").read_text()
        assert f"  * box score threshold: {threshold or 'none'}\n" in card
        assert "  * keypoint threshold: 0.3\n" in card


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["--boxes", "a/x.json", "--boxes", "b/x.json"],
            "--boxes a/x.json b/x.json: results are written",
        ),
        (["--boxes", "a/truth_boxes.json", "--boxes", "truth"], "would overwrite each other"),
        (["--boxes", "truth", "test.box_score_threshold=0.3"], "no effect with --boxes truth"),
        (["--boxes", "truth", "test.boxes=x.json"], "test.boxes has no effect with --boxes"),
        (["train.lr=5", "augment.rotation=3", "seed=5"], "no effect in testing: 'train.lr=5' (n"),
        (["--cfg", "demo.yaml", "train.lr=5"], "no effect in testing: 'train.lr=5' (n"),
        (
            ["data.skeleton=absent.yaml"],
            "'data.skeleton=absent.yaml' (the checkpoint's skeleton is",
        ),
    ],
)
def test_what_has_no_effect_is_refused_before_any_work(data, arguments, words, capsys, tmp_path):
    folder, _, _ = data
    output = tmp_path / "refused"
    command = ["--checkpoint", str(folder / "run" / "best.pt"), f"output={output}", *arguments]
    assert cli.run(test_tool().main, command) == 2
    assert words in capsys.readouterr().err
    assert not output.exists()
