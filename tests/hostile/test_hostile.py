"""Hostile annotations (A), configs (B), checkpoints (C), boxes (D), results (E), images (I)

With `-s` a table of all outcomes is printed. The generator stands in ../shared/hostile and is no
part of the project; without it these tests are skipped.
"""

import json
import logging
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keypoint.checkpoint.file import load_model
from keypoint.commands import cli
from keypoint.config.load import load_config
from keypoint.data.annotations import read_annotations
from keypoint.data.augment import Augmentation, PersonCrop
from keypoint.data.batches import EvaluationDataset, TrainDataset
from keypoint.data.boxes import read_boxes
from keypoint.data.coco import load_persons, select_persons
from keypoint.data.images.read import read_image
from keypoint.evaluation.coco import evaluate_coco
from keypoint.pose.codec import Codec
from keypoint.pose.skeleton import load_skeleton
from tests.calling import command as load
from tests.calling import words
from tests.hostile.cases import (
    GENERATOR,
    Outcome,
    changed_inputs,
    generate,
    judge,
    run,
    run_alone,
    run_forked,
)  # fmt: skip

pytestmark = pytest.mark.skipif(not GENERATOR.is_file(), reason=f"no generator at {GENERATOR}")

REPOSITORY = Path(__file__).parents[2]
GROUPS = ("A", "B", "C", "D", "E", "I")
SKELETON = load_skeleton("coco17")
CODEC = Codec((64, 64))
TRAIN_YAML = """
data: {{root: "{root}", train_annotations: {train}, train_images: images, val_annotations: {val}, val_images: images,
  workers: 0}}
"""


@pytest.fixture(scope="session")
def cases(tmp_path_factory):
    return generate(tmp_path_factory.mktemp("session_hostile"), GROUPS)


@pytest.fixture(scope="session")
def output(tmp_path_factory):
    return tmp_path_factory.mktemp("session_hostile_output")


def arguments_of(case, output, *more):
    """The command line of check_data for a case."""
    common = [f"output={output}", "data.workers=0", "--pictures", "0", *more]
    if case.has("train_annotations"):
        text = TRAIN_YAML.format(
            root=case.folder,
            train=case.expected["entry"]["train_annotations"],
            val=case.expected["entry"]["annotations"],
        )
        (output / f"{case.id}.yaml").write_text(text)
        return ["--cfg", str(output / f"{case.id}.yaml"), *common]
    files = ["--annotations", str(case.path("annotations")), "--images", str(case.path("images"))]
    if case.has("detections"):
        files += ["--boxes", str(case.path("detections"))]
    if case.id == "D15":
        common.append("test.box_score_threshold=0.01")
    return [*files, *common]


def check_door(output, capsys, *more):
    """keypoint check-data, in this process."""
    check_data = load("check_data")

    def door(case):
        report = output / "data_report.json"
        report.unlink(missing_ok=True)
        status = cli.run(check_data.main, arguments_of(case, output, *more))
        told = "".join(capsys.readouterr())
        counts = {}
        if report.exists():
            told += report.read_text()
            check = json.loads(report.read_text())["check"]
            part = check["boxes" if "boxes" in check else "val"]
            if "total" in part and part["source"].endswith("keypoints.json"):
                counts["persons"] = part["total"], part["used"], part["skipped"]
                of_images = part["images"]
                counts["images"] = of_images["total"], of_images["used"], of_images["skipped"]
        return Outcome(status, told, counts)

    return door


def train_door(case):
    """What training does with a data set, without a network: load, and cut every person once."""
    persons = load_persons(case.path("annotations"), case.path("images"), SKELETON)
    crop = PersonCrop(codec=CODEC, flip_indices=SKELETON.flip_indices)
    dataset = TrainDataset(persons, Augmentation(crop), seed=0)
    batch = dataset.__getitems__([(0, index) for index in range(len(persons))])
    assert batch.crops.shape == (len(persons), *CODEC.input_size, 3)
    return Outcome(0, str(persons.report), counts_of(persons.report))


def test_door(case):
    """What testing does with it, without a network: the truth, its boxes or a detector's, crops."""
    truth = read_annotations(case.path("annotations"), case.path("images"), SKELETON, scored=True)
    if case.has("detections"):
        threshold = 0.01 if case.id == "D15" else 0.0
        persons = read_boxes(case.path("detections"), truth, threshold)
    else:
        persons = select_persons(truth)
    dataset = EvaluationDataset(persons, codec=CODEC, batch_size=16)
    assert sum(len(batch.index) for batch in dataset) == len(persons)
    what = "boxes" if case.has("detections") else "persons"
    notes = "".join(f"\nnote: {note}" for note in truth.notes)
    return Outcome(0, f"{persons.report}{notes}", counts_of(persons.report, what))


test_door.__test__ = False  # a door, and no test


def config_door(case):
    load_config(case.path("config"))
    return Outcome(0, "")


def checkpoint_door(case):
    load_model(case.path("checkpoint"))
    return Outcome(0, "")


def weights_door(output, capsys):
    """keypoint import-weights, in this process: any form of weights."""
    import_weights = load("import_weights")

    def door(case):
        arguments = [case.path("checkpoint"), "--input-size", 64, 64]
        arguments += ["--output", output / f"{case.id}.pt"]
        status = cli.run(import_weights.main, list(map(str, arguments)))
        assert not (output / f"{case.id}.pt").exists()
        return Outcome(status, "".join(capsys.readouterr()))

    return door


def results_door(caplog):
    """Scoring a results file, with the log's words and the AP that the case says."""

    def door(case):
        caplog.clear()
        files = case.path("annotations"), case.path("results")
        metrics = evaluate_coco(*files)
        oracle = case.expected.get("oracle", {})
        for name in {"AP", "AR"} & oracle.keys():
            assert metrics[name] == pytest.approx(oracle[name], abs=oracle.get("tol", 1e-9))
        if oracle.get("repeatable"):
            assert evaluate_coco(*files) == metrics
        return Outcome(0, caplog.text)

    return door


def counts_of(report, what="persons"):
    return {what: (report.total, report.used, report.skipped)}


def check_all(cases, group, doors, capsys):
    """Go through all doors of every case; tell everything that was not as expected."""
    table, wrong = [], []
    for case in cases.values():
        if not case.id.startswith(group):
            continue
        for name, door in doors.items():
            if name in ("train", "test") and name not in meant_for(case):
                continue
            outcome = run(door, case)
            problems = judge(case, outcome)
            if name != "check" and outcome.kind == "accept":
                # The loaders tell odd things only by counts; check_data is what names them.
                problems = [text for text in problems if not text.startswith("no word")]
                skipped = sum(sum(skipped.values()) for *_, skipped in outcome.counts.values())
                must_act = case.expected["expect"] == "error" and not allows(case, "accept")
                noted = "\nnote: " in outcome.text
                is_silent = must_act and not skipped and not noted
                problems += ["used as if nothing were wrong"] if is_silent else []
            changed = changed_inputs(case)
            problems += [f"changed {changed}"] if changed else []
            table.append(f"{case.id} {name:6} {outcome.kind:6} {first_line(outcome.text)}")
            wrong += [f"{case.id} {name}: {text}\n    {outcome.text[:600]}" for text in problems]
    with capsys.disabled():
        if "-s" in sys.argv:
            sys.stdout.write("\n" + "\n".join(table) + "\n")
    assert table
    assert not wrong, "\n".join(wrong)


def allows(case, kind):
    return kind in (case.expected["expect"], *case.expected["also_ok"])


def meant_for(case):
    """The commands that must meet a case: a fault of loading is met by both."""
    stage = set(case.expected["stage"])
    if case.id in ACCEPTED_IN_TRAINING:
        return stage - {"train"} | {"test"}
    if case.id == "I56":
        return set()  # check_data counts the broken images; training names the first
    return {"train", "test"} if "load" in stage else stage


# COCOeval needs the area, and training does not; an overlap is between two files.
ACCEPTED_IN_TRAINING = ("A62", "A63")


def first_line(text):
    lines = text.strip().splitlines() or [""]
    found = [line.strip() for line in lines if line.startswith(("  FAULT", "  warning"))]
    return (found or lines)[0][:170]


def test_annotations(cases, output, capsys):
    doors = {"check": check_door(output, capsys), "train": train_door, "test": test_door}
    check_all(cases, "A", doors, capsys)


def test_images(cases, output, capsys):
    doors = {"check": check_door(output, capsys), "train": train_door, "test": test_door}
    check_all(cases, "I", doors, capsys)


def test_detector_boxes(cases, output, capsys):
    check_all(cases, "D", {"check": check_door(output, capsys), "test": test_door}, capsys)


def test_configs(cases, capsys):
    check_all(cases, "B", {"config": config_door}, capsys)


def test_checkpoints(cases, output, capsys):
    """None of them is a network's; the canaries of those that hold code are looked for."""
    doors = {"checkpoint": checkpoint_door, "import": weights_door(output, capsys)}
    check_all(cases, "C", doors, capsys)


def test_results(cases, caplog, capsys, monkeypatch):
    monkeypatch.setattr(logging.getLogger("keypoint"), "propagate", True)
    caplog.set_level(logging.INFO, "keypoint")
    check_all(cases, "E", {"results": results_door(caplog)}, capsys)


def test_skipping_leaves_out_what_is_bad_and_keeps_the_rest(cases, output, capsys):
    """Where skipping is right too, it leaves out exactly what the case says."""
    door = check_door(output, capsys, "data.on_bad=skip", "data.max_bad=1.0")
    wrong, tried = [], 0
    for case in cases.values():
        if (
            not {"expect": case.expected["expect"], "also": case.expected["also_ok"]}
            or case.id[0] not in "AI"
        ):
            continue
        if case.expected["expect"] != "error" or "skip-and-report" not in case.expected["also_ok"]:
            continue
        outcome = run(door, case)
        if outcome.status == 0:
            tried += 1
        wrong += [f"{case.id}: {text}\n {outcome.text[-900:]}" for text in judge(case, outcome)]
    assert not wrong, "\n".join(wrong)
    assert tried > 15


def test_results_of_a_perfect_network_score_as_the_case_says(cases):
    tried = 0
    for case in cases.values():
        ap = case.expected.get("oracle", {}).get("AP_of_results")
        if ap is not None and case.has("results"):
            metrics = evaluate_coco(case.path("annotations"), case.path("results"))
            assert metrics["AP"] == pytest.approx(ap, abs=1e-9), case.id
            tried += 1
    assert tried >= 8


def test_pixels_are_as_the_case_says(cases):
    def read(case):
        entry = json.loads(case.path("annotations").read_text())["images"][0]
        return read_image(
            case.path("images") / entry["file_name"], (entry["height"], entry["width"])
        )

    keys = set()
    for case in cases.values():
        oracle = case.expected.get("oracle", {})
        if case.id[0] != "I" or not oracle:
            continue
        image = read(case)
        keys |= set(oracle)
        if "read_shape" in oracle:
            assert list(image.shape[:2]) == oracle["read_shape"], case.id
        if "channels" in oracle:
            assert image.shape[2] == oracle["channels"], case.id
        if "max_value" in oracle:
            assert image.dtype == np.uint8
            assert 100 < image.max() <= oracle["max_value"], case.id
        if "same_pixels_as" in oracle:
            np.testing.assert_array_equal(image, read(cases[oracle["same_pixels_as"]]))
        if "read_equals_without_exif" in oracle:
            np.testing.assert_array_equal(image, read(cases["A00"]))
    assert keys == {
        "read_shape",
        "channels",
        "max_value",
        "same_pixels_as",
        "read_equals_without_exif",
    }
    file = cases["I44"].path("images") / "000000910001.jpg"  # CMYK: not inverted
    with Image.open(file) as opened:
        by_pillow = np.asarray(opened.convert("RGB"), float)
    assert np.abs(read(cases["I44"]) - by_pillow).mean() < 40


def test_boxes_give_no_more_results_and_no_better_ap_than_they_allow(cases, output, capsys):
    door = check_door(output, capsys)
    for case in (cases["D16"], cases["D18"]):
        run(door, case)
        test = json.loads((output / "data_report.json").read_text())["check"]["boxes"]["self_test"]
        if case.id == "D16":
            assert test["persons"] == 10
            assert "5 results suppressed by OKS-NMS as the same person" in test["reasons"]
        else:
            assert test["metrics"]["AP"] < case.expected["oracle"]["AP_below"]


@pytest.mark.parametrize(("key", "status"), [("A00", 0), ("A30", 3), ("I23", 3)])
def test_as_a_command(cases, output, key, status):
    case = cases[key]
    command = words("check_data", *arguments_of(case, output))
    done = run_alone(command) if status == 0 else run_forked(command)
    text, mib = done["text"], done["mib"]
    assert done["status"] == status, text
    assert "Traceback" not in text
    assert not judge(case, Outcome(status, text))
    assert 10 < mib < case.expected["limits"]["mib"] / 2
