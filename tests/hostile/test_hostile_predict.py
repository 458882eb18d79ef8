"""Hostile images and videos (F), and the hostile images of data sets (I), through keypoint predict.

Exit status 3 with results written means that what could be used was used and the rest is told: the
catalogue's "skip and report", which asks for status 0 there. Without results it is an error.
"""

import functools
import json
import sys

import cv2
import numpy as np
import pytest

from keypoint.commands import cli
from keypoint.prediction.predictor import Predictor
from tests import tiny_network
from tests.calling import command, words
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
from tests.hostile.test_hostile import allows, first_line

pytestmark = pytest.mark.skipif(not GENERATOR.is_file(), reason=f"no generator at {GENERATOR}")

ALONE = "F07"  # judged in a process of its own, where its memory can be measured


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    return generate(tmp_path_factory.mktemp("hostile"), ("F", "I"))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny_network.checkpoint(tmp_path_factory.mktemp("network") / "best.pt")


@pytest.fixture
def loaded_once(monkeypatch):
    """Reading the same network and folding its norms 50 times would take most of the time."""
    monkeypatch.setattr(Predictor, "from_checkpoint", functools.cache(Predictor.from_checkpoint))


def arguments_of(case, checkpoint, output):
    """The command line for a case; the boxes are those of the annotations where it has any."""
    common = ["--checkpoint", checkpoint, "--output", output, "--device", "cpu", "--pictures"]
    if case.has("annotations"):
        more = ["--annotations", case.path("annotations"), case.path("images")]
    else:
        given = case.expected["entry"]["input"]
        more = ["--whole-image", given if "://" in given else case.path("input")]
    return [str(argument) for argument in (*common, *more)]


def predict_door(checkpoint, output, capsys):
    """keypoint predict, in this process."""
    predict = command("predict")

    def door(case):
        folder = output / case.id
        status = cli.run(predict.main, arguments_of(case, checkpoint, folder))
        told = "".join(capsys.readouterr())
        counts = {}
        has_results = (folder / "results.json").exists()
        if has_results:
            check_written(case, folder)
            report = json.loads((folder / "data_report.json").read_text())["predict"]
            told += json.dumps(report)
            counts["files"] = counts_of(report["images"])
            if case.has("annotations"):
                counts["persons"] = counts_of(report)
        if status == 3 and has_results and allows(case, "skip-and-report"):
            assert told_files(case, told), told
            status = 0
        return Outcome(status, told, counts)

    return door


def counts_of(report):
    return report["total"], report["used"], report["skipped"]


def told_files(case, told):
    """Whether the message names a file of the case."""
    return any(file.name in told for file in case.folder.rglob("*") if not file.is_dir())


def check_written(case, folder):
    """Records, results and pictures agree with each other and with what the case says."""
    records = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    results = json.loads((folder / "results.json").read_text())
    assert [r["image_id"] for r in results] == [r["image_id"] for r in records for _ in r["boxes"]]
    flat = [list(map(float, np.ravel(r["keypoints"]))) for r in records]
    assert all(np.isfinite(numbers).all() for numbers in flat)
    for record in records:
        assert (folder / record["picture"]).is_file(), record
        assert len(record["keypoints"]) == len(record["scores"]) == len(record["boxes"])
    pictures = {record["picture"] for record in records}
    assert len(list((folder / "pictures").iterdir())) == len(pictures)
    oracle = case.expected.get("oracle", {})
    assert len(records) == oracle.get("outputs", len(records))
    if "frames" in oracle:
        capture = cv2.VideoCapture(str(folder / pictures.pop()))
        assert len(records) == oracle["frames"] == capture.get(cv2.CAP_PROP_FRAME_COUNT)
        assert capture.read()[1].shape[:2] == (records[0]["height"], records[0]["width"])
    if "read_shape" in oracle:
        assert [records[0]["height"], records[0]["width"]] == oracle["read_shape"]
    if case.id in ("I30", "I31", "I32"):  # annotated images are taken as stored
        assert records[0]["exif_orientation"] == 1


def check_all(cases, group, checkpoint, output, capsys):
    door = predict_door(checkpoint, output, capsys)
    table, wrong = [], []
    for case in cases.values():
        if not case.id.startswith(group) or case.id == ALONE:
            continue
        outcome = run(door, case)
        problems = judge(case, outcome) + [f"changed {f}" for f in changed_inputs(case)]
        table.append(f"{case.id} {outcome.kind:6} {first_line(outcome.text)}")
        wrong += [f"{case.id}: {text}\n    {outcome.text[:600]}" for text in problems]
    with capsys.disabled():
        if "-s" in sys.argv:
            sys.stdout.write("\n" + "\n".join(table) + "\n")
    assert not wrong, "\n".join(wrong)
    return len(table)


@pytest.mark.usefixtures("loaded_once")
def test_images_and_videos_to_predict_on(cases, checkpoint, tmp_path, capsys):
    assert check_all(cases, "F", checkpoint, tmp_path, capsys) == 14


@pytest.mark.usefixtures("loaded_once")
def test_images_of_data_sets(cases, checkpoint, tmp_path, capsys):
    assert check_all(cases, "I", checkpoint, tmp_path, capsys) == 39


@pytest.mark.parametrize(("key", "status"), [("F02", 3), (ALONE, 0), ("F23", 3)])
def test_as_a_command(cases, checkpoint, tmp_path, key, status):
    """F07 is 324 MB decoded; what is beside that is Python, torch and the drawn copy."""
    case = cases[key]
    command = words("predict", *arguments_of(case, checkpoint, tmp_path))
    done = run_alone(command) if key == ALONE else run_forked(command)
    text, mib = done["text"], done["mib"]
    assert done["status"] == status, text
    assert "Traceback" not in text
    check_written(case, tmp_path)
    assert not judge(case, Outcome(0, text))
    sys.stdout.write(f"{key}: {mib:.0f} MiB\n")
    assert 200 < mib < (2000 if key == "F07" else 1200)
