"""What a user sees of an error: cause, place, what to do, in at most three lines."""

import ast
import json
import logging
import re
import sys

import numpy as np
import pytest

from keypoint.commands import cli
from keypoint.errors import CheckpointError, ConfigError, DataError, KeypointError, NumericsError
from tests import forked, tiny_coco
from tests.calling import tool
from tests.test_readme import REPOSITORY

KINDS = {"ConfigError": 2, "DataError": 3, "CheckpointError": 4, "NumericsError": 5}
FILES = sorted([*(REPOSITORY / "keypoint").rglob("*.py"), *(REPOSITORY / "tools").rglob("*.py")])
TRAIN = ["train", "--cfg", "tiny.yaml", "--device", "cpu"]

# What is given to which command, the status, the words that it begins with, what it names, and what
# it advises. {} is the folder of the test.
TABLE = [
    # the command line
    (["train"], 2, "error: the following arguments are required: --cfg", "--help"),
    (["train", "--nonsense"], 2, "error: the following arguments are required: --cfg", "--help"),
    ([*TRAIN, "--nonsense"], 2, "error: command line, '--nonsense'|error: unrecognized arguments: --nonsense", "--help"),
    (["info", "net.pt"], 2, "error: unrecognized arguments: net.pt", "did you mean --checkpoint net.pt"),
    (["info", "--jsn"], 2, "error: unrecognized arguments: --jsn .keypoint info --help", "--help"),
    (["test", "--checkpoint", "x.pt", "--worst", "many"], 2, "error: argument --worst: given 'many'", "give a whole number"),
    (["check_data", "--boxes", "x.json"], 2, "error: given --boxes", "give --cfg FILE, or --annotations FILE"),
    ([*TRAIN, "--resume", "--overwrite"], 2, "error: --resume continues a run", "give one of them"),
    # configs and overrides
    (["train", "--cfg", "tyni.yaml"], 2, "error: tyni.yaml: no such file", "check the path"),
    (["train", "--cfg", "res50_256x129.yaml"], 2, "error: res50_256x129.yaml: no such file", "did you mean"),
    ([*TRAIN, "train.epoch=1"], 2, "error: command line, 'train.epoch=1': train.epoch: no such key", "did you mean epochs"),
    ([*TRAIN, "train.epochs=x", "train.lr=-1", "seed=x", "data.workers=-1"], 2, r"error: command line: 4 mistakes\n  command line, '\S+': \S+: given ", "and 3 more; --debug lists all"),
    (["train", "--cfg", "broken.yaml"], 2, "error: {}/?broken.yaml, line 1: |error: broken.yaml, line ", "line"),
    (["train", "--cfg", "twice.yaml"], 2, "error: twice.yaml, line 2: seed: given twice", "keep one"),
    ([*TRAIN, "data.skeleton=coco18"], 2, "error: skeleton 'coco18' is neither built in", "did you mean coco17"),
    ([*TRAIN, "data.skeleton=twice.yaml"], 2, "error: {}/twice.yaml: not the YAML of a skeleton", "keep one"),
    ([*TRAIN, "augment.transforms=[{name: ColorJitter, brightness: [7, x]}]"], 2, "error: augment.transforms: ColorJitter: ", "brightness"),
    ([*TRAIN, "train.batch_size=1000"], 2, "error: train.batch_size=1000 on 1 process", "lower train.batch_size"),
    ([*TRAIN, "output=tiny.yaml/x"], 2, "error: output: tiny.yaml/x cannot be written to .Not a directory", "give another folder"),
    # data
    ([*TRAIN, "data.root=nowhere"], 3, "error: nowhere/annotations/person_keypoints_train2017.json: no such annotation file", "set data.root"),
    ([*TRAIN, "data.train_annotations=many.json"], 3, "error: {}/many.json: 8 faults; fix or remove these entries\n  annotation id 1: keypoints", "and 7 more like it, such as annotation id 2, 3; --debug lists all"),
    ([*TRAIN, "data.train_annotations=empty.json"], 3, "error: {}/empty.json: empty", "again"),
    ([*TRAIN, "data.train_images=annotations"], 3, "error: {}/annotations: 4 of the 4 image files .* are missing: ", "check data.root"),
    ([*TRAIN, "data.train_annotations=many.json", "data.on_bad=skip"], 3, "error: {}/many.json: 8 of 8 annotations .* are bad, over the limit", "fix them, or raise the limit"),
    (["check_data", "--cfg", "tiny.yaml", "data.train_annotations=many.json", "output=o"], 3, "error: 9 faults would stop training", "see o/data_report.json"),
    (["detect_boxes", "--images", "nowhere", "--output", "b.json"], 3, "error: nowhere: no such folder", "give the folder of the images"),
    # checkpoints
    (["test", "--checkpoint", "nowhere.pt"], 4, "error: nowhere.pt: no such", ""),
    (["test", "--checkpoint", "tiny.yaml"], 4, "error: tiny.yaml: is not a checkpoint", "give best.pt"),
    (["test", "--checkpoint", "tiny.yaml", "--cfg", "tiny.yaml"], 4, "error: tiny.yaml: is not a checkpoint", "give best.pt"),
    (["import_weights", "empty.json", "--input-size", "64", "64", "--output", "o.pt"], 4, "error: empty.json: the file is empty", "use another copy"),
    # numbers
    ([*TRAIN, "train.lr=1000", "train.optimizer=sgd", "train.epochs=9", "train.evaluate_every=9", "train.batch_size=2", "output=diverged"], 5, "error: (the loss is|heatmaps of)", "[Ll]ower"),
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny data set, with files that are wrong beside it."""
    root = tmp_path_factory.mktemp("messages")
    for split in ("train2017", "val2017"):
        tiny_coco.write(root, tiny_coco.content(4, 2, seed=len(split)), split)
    data = tiny_coco.content(4, 2)
    for entry in data["annotations"]:
        entry["keypoints"] = [1] * 48
    (root / "many.json").write_text(json.dumps(data))
    (root / "empty.json").write_text("")
    (root / "tiny.yaml").write_text(
        f"data: {{root: {root}, workers: 0}}\n"
        "model: {encoder: resnet18, input_size: [32, 32], weights: none}\n"
        "train: {epochs: 2, batch_size: 4, evaluate_every: 1}\n"
    )
    (root / "broken.yaml").write_text("a: [")
    (root / "twice.yaml").write_text("seed: 1\nseed: 2\n")
    return root


def run(folder, arguments, monkeypatch, capsys):
    """A command in this process: its status, and what it said on stderr after the log's lines."""
    monkeypatch.chdir(folder)
    name, *rest = arguments
    try:
        status, logged = tool(name, *rest), True
    except SystemExit as ended:  # argparse, before anything is logged
        status, logged = ended.code, False
    finally:
        for handler in list(logging.getLogger("keypoint").handlers):
            logging.getLogger("keypoint").removeHandler(handler)
            handler.close()
    said = capsys.readouterr().err
    return status, said[said.rindex("error: ") :] if logged else said


@pytest.mark.parametrize(("arguments", "status", "begin", "advice"), TABLE, ids=lambda v: " ".join(v)[:50] if isinstance(v, list) else "")  # fmt: skip
def test_a_message_of_every_kind(folder, arguments, status, begin, advice, monkeypatch, capsys):
    found, message = run(folder, arguments, monkeypatch, capsys)
    assert found == status, message
    assert re.match(begin.replace("{}", re.escape(str(folder))), message), message
    assert re.search(advice, message), message
    assert 1 <= len(message.splitlines()) <= 3, message
    assert max(map(len, message.splitlines())) < 400, message
    assert "Traceback" not in message


def test_the_table_has_every_kind():
    assert {status for _, status, *_ in TABLE} == {2, 3, 4, 5}


def raised():
    """Every place where one of the toolkit's errors is made: file, line, its text's template."""
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func).removesuffix(".of_many")
                if name in KINDS:
                    yield file.relative_to(REPOSITORY), node.lineno, template(node.args[0])


def template(node):
    """The text of an error as the source has it; {} stands for what is filled in."""
    if isinstance(node, ast.JoinedStr):
        return "".join(
            part.value if isinstance(part, ast.Constant) else "{}" for part in node.values
        )
    return str(node.value) if isinstance(node, ast.Constant) else "{}"


def test_no_error_is_written_with_more_than_three_lines_or_without_a_place():
    places = list(raised())
    assert len(places) > 190
    for file, line, text in places:
        assert text.count("\n") < 3, f"{file}:{line}"
        assert re.search(r"[{.]|--|network", text), f"{file}:{line} names no file nor key"
        assert len(text) < 420, f"{file}:{line}: {len(text)} characters before anything is put in"


# ---------------------------------------------------------------- the classes


@pytest.mark.parametrize("kind", [ConfigError, DataError, CheckpointError, NumericsError])
@pytest.mark.parametrize("number", [1, 2, 3, 20])
def test_many_faults_are_three_lines_and_all_are_kept(kind, number):
    faults = [f"fault {place}\nwith a second line" for place in range(number)]
    error = kind.of_many("file: mend these", faults)
    lines = str(error).splitlines()
    assert lines[0] == "file: mend these"
    assert len(lines) == min(1 + number, 3)
    one_line = [fault.replace("\n", " ") for fault in faults]
    told = [line.strip() for line in lines[1:]] if number < 3 else list(error.faults)
    assert told == one_line
    if number > 2:
        assert lines[1:] == [f"  {one_line[0]}", f"  and {number - 1} more; --debug lists all"]


@pytest.mark.parametrize("text", ["", "one", "one\ntwo", "one\ntwo\nthree"])
def test_three_lines_are_left_as_they_are(text):
    assert str(DataError(text)) == text
    assert str(KeypointError(text)) == text


def test_a_librarys_long_text_is_joined_and_nothing_of_it_lost():
    text = "a\nb\n" + "\n".join(map(str, range(10)))
    assert str(ConfigError(text)) == "a\nb\n  0 1 2 3 4 5 6 7 8 9"


# ---------------------------------------------------------------- what the command does with them


def call(error, arguments=(), output=None):
    def main(_):
        cli.log_to(output)
        cli.keep_log()
        raise error

    try:
        return cli.run(main, list(arguments))
    finally:
        cli.log_to()  # closes the file


def test_faults_are_in_the_log_file_with_the_traceback_and_on_the_terminal_with_debug(
    tmp_path, capsys
):
    error = DataError.of_many("x.json: 5 faults", [f"annotation id {key}: odd" for key in range(5)])
    assert call(error, output=tmp_path) == 3
    shown = capsys.readouterr().err
    assert shown == "error: x.json: 5 faults\n  annotation id 0: odd\n  and 4 more; --debug lists all\n"  # fmt: skip
    kept = (tmp_path / "log.txt").read_text()
    assert all(f"annotation id {key}: odd" in kept for key in range(5))
    assert "Traceback (most recent call last)" in kept
    with pytest.raises(DataError):
        call(error, ["--debug"])
    listed = capsys.readouterr().err.splitlines()
    assert listed[:5] == [f"  annotation id {key}: odd" for key in range(5)]


@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError("division by zero"),
        RuntimeError("first\nsecond\nthird\nfourth\nfifth"),
        RuntimeError("x" * 5000),
        MemoryError(),
        KeyError("a\nb"),
        OSError(28, "No space left on device", "somewhere"),
    ],
)
@pytest.mark.parametrize("with_file", [True, False])
def test_what_nobody_thought_of_is_two_lines_that_say_where_the_traceback_is(
    tmp_path, capsys, error, with_file
):
    assert call(error, output=tmp_path if with_file else None) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"error: unexpected {type(error).__name__}: ")
    assert len(first) < 400
    where = f"in {tmp_path / 'log.txt'}" if with_file else "that --debug shows"
    assert second.endswith(f"report it with the traceback {where}")
    if with_file:
        kept = (tmp_path / "log.txt").read_text()
        assert "Traceback (most recent call last)" in kept
        assert str(error) in kept


def test_a_worker_keeps_the_message_to_three_lines(tmp_path):
    """torch puts the worker's traceback of a dozen lines before it."""
    file, images = tiny_coco.write(tmp_path, tiny_coco.content(4, 2))
    program = f"""
import logging
from pathlib import Path
from keypoint.pose.codec import Codec
from keypoint.data.batches import EvaluationDataset, evaluation_loader
from keypoint.data.coco import load_persons
from keypoint.errors import DataError
from keypoint.pose.skeleton import load_skeleton
persons = load_persons(Path({str(file)!r}), Path({str(images)!r}), load_skeleton("coco17"))
persons.images.path(2).unlink()
dataset = EvaluationDataset(persons, codec=Codec((64, 64)), batch_size=2)
try:
    list(evaluation_loader(dataset, workers=2))
except DataError as error:
    print(error)
"""
    done = forked.run([sys.executable, "-c", program], cwd=REPOSITORY, timeout=200)
    name = images / "000000000102.png"
    assert done.stdout == (
        f"{name}: cannot be read (no such file); check the path, or data.root and the image folder\n"
    ), done.stderr


def test_a_path_with_line_breaks_does_not_break_the_limit():
    error = DataError(f"{'a' + chr(10)}{'b' + chr(10)}c{chr(10)}d: no such file; check it")
    assert len(str(error).splitlines()) == 3
    assert np.char.count(str(error), "no such file; check it") == 1


def test_no_text_of_a_file_moves_the_terminal(tmp_path, capsys):
    """Errors and what is logged, on the terminal and in log.txt; 0x9b is an escape too."""
    evil = "a\x1b[2J\x9b31m\u202e"
    shown = r"a\x1b[2J\x9b31m\u202e"
    cli.log_to(tmp_path)
    cli.keep_log()
    cli.logger.warning("%s is\nodd", evil)
    assert capsys.readouterr().err == f"{shown} is\nodd\n"
    assert f"{shown} is\nodd\n" in (tmp_path / "log.txt").read_text()
    assert str(DataError(f"{evil}\n  b\t")) == f"{shown}\n  b\\t"
    assert str(DataError.of_many("head", [evil])) == f"head\n  {shown}"


def test_a_long_line_of_a_message_loses_its_middle():
    text = str(CheckpointError(f"a.pt: has {'b' * 10**6}; use another copy"))
    assert text.startswith("a.pt: has bbb")
    assert text.endswith("bbb; use another copy")
    assert len(text) < 4_100
