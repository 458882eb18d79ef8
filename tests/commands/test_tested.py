"""keypoint test in another folder than the training's: what keypoint compare finds there."""

import json
import shutil

import pytest

from keypoint.config.load import load_config
from keypoint.evaluation.runs.read import read_run
from keypoint.pose.skeleton import load_skeleton
from keypoint.strict_yaml import dump_yaml
from tests import tiny_coco
from tests.calling import tool
from tests.evaluation.cases import boxes_of

CONFIG = """
data: {root: data, skeleton: mine.yaml, workers: 0}
model: {network: 'tests.commands.tiny_nets:build', input_size: [32, 32]}
train: {epochs: 1, batch_size: 2, save_every: none, optimizer: sgd, momentum: 0}
"""
COMMANDS = ["--device", "cpu"]


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Two configs with two seeds, on a data set with its own skeleton; all paths are relative."""
    folder = tmp_path_factory.mktemp("tested")
    for split in ("train2017", "val2017"):
        content = tiny_coco.content(3, 2, seed=len(split))
        tiny_coco.write(folder / "data", content, split)
    (folder / "found.json").write_text(json.dumps(boxes_of(content, 0.9)))
    skeleton = load_skeleton("coco17").to_dict() | {"name": "mine"}
    (folder / "data" / "mine.yaml").write_text(dump_yaml(skeleton))
    (folder / "tiny.yaml").write_text(CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, width in (("none", 8), ("wide", 9)):
            for seed in (0, 1):
                keys = [f"output=out/{name}/seed{seed}", f"seed={seed}"]
                keys.append(f'model.options={{"width": {width}}}')
                assert tool("train", "--cfg", "tiny.yaml", *keys, *COMMANDS) == 0
    return folder


@pytest.fixture(autouse=True)
def here(work, monkeypatch):
    monkeypatch.chdir(work)


def begin_test(name, output, *words):
    checkpoint = f"out/{name}/last.pt"
    return tool("test", "--checkpoint", checkpoint, f"output={output}", *words, *COMMANDS)


def test_seeds_tested_elsewhere_are_one_group(work, capsys):
    names = [f"{config}/seed{seed}" for config in ("none", "wide") for seed in (0, 1)]
    for name in names:
        assert begin_test(name, f"nf/{name}", "test.flip=false") == 0
    capsys.readouterr()
    assert tool("compare", *(f"nf/{name}" for name in names)) == 0
    said = capsys.readouterr().out
    assert "| none | 2 | 0 1 |" in said
    assert "| wide | AP | " in said
    differ = said.split("The groups differ in\n\n")[1].splitlines()
    assert differ[0] == "|  | none | wide |"
    assert differ[2:] == ["| model.options.width | 8 | 9 |"]
    # The skeleton's file and the data are found from here, as in a training.
    assert tool("compare", "nf/none/seed0", "nf/wide/seed1") == 0
    said = capsys.readouterr().out
    assert "these two networks only, 3 images)" in said.splitlines()[0]
    assert said.startswith("* AP: wide/seed1 - none/seed0 = ")


def test_config_and_facts_are_those_of_the_checkpoint(work):
    assert begin_test("none/seed1", "facts", "test.flip=false", "model.input_size=[64,32]") == 0
    config, trained = load_config("facts/config.yaml"), load_config("out/none/seed1/config.yaml")
    assert (config.output, config.test.flip) == ("facts", False)
    assert config.model.input_size == (64, 32)
    changed = trained.model.model_copy(update={"input_size": (64, 32)})
    parts = {"output": "facts", "test": config.test, "model": changed}
    assert config == trained.model_copy(update=parts)
    facts, theirs = read_run(work / "facts").facts, read_run(work / "out/none/seed1").facts
    assert facts == theirs | {"numbers": "keypoint test"}
    assert "unknown" not in {facts[key] for key in ("train_data", "truth", "crops")}
    assert facts["finished"] == "yes"
    shutil.copy("out/none/seed1/last.pt", "moved.pt")
    assert tool("test", "--checkpoint", "moved.pt", *COMMANDS) == 0
    assert load_config("output/moved/config.yaml").output == "output/moved"
    # Other annotations are other facts.
    content = json.loads((work / "data/annotations/person_keypoints_val2017.json").read_text())
    content["annotations"].pop()
    (work / "data" / "fewer.json").write_text(json.dumps(content))
    words = ["data.val_annotations=fewer.json", "data.val_images=val2017"]
    assert begin_test("none/seed1", "fewer", *words) == 0
    assert read_run(work / "fewer").facts["truth"] != facts["truth"]


@pytest.mark.parametrize("owner", ["none/seed0", "wide/seed1"])
def test_the_config_of_a_training_is_left_alone(work, owner, tmp_path):
    """Its own, and that of another training."""
    shutil.copytree(work / "out" / owner, tmp_path / "run")
    file = tmp_path / "run" / "config.yaml"
    before = file.read_bytes()
    assert begin_test("none/seed0", tmp_path / "run", "test.flip=false") == 0
    assert file.read_bytes() == before
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["origin"]["commit"]


def test_a_later_test_replaces_the_config_of_an_earlier_one(work):
    for name in ("none/seed0", "wide/seed1"):
        assert begin_test(name, "again") == 0
        assert read_run(work / "again").seed == int(name[-1])


def test_several_boxes_share_the_config_of_their_folder(work, capsys):
    both = ["--boxes", "truth", "--boxes", "found.json"]
    for name in ("none/seed0", "wide/seed0"):
        assert begin_test(name, f"two/{name}", *both) == 0
    files = {path.name for path in (work / "two/none/seed0").iterdir()}
    assert files == {"config.yaml", "log.txt", "truth_boxes", "found"}
    capsys.readouterr()
    assert tool("compare", "two/none/seed0/found", "two/wide/seed0/found") == 0
    said = capsys.readouterr().out
    assert said.startswith("* AP: wide/seed0/found - none/seed0/found = ")
    assert "| model.options.width | 8 | 9 |" in said
    assert "unknown" not in said
