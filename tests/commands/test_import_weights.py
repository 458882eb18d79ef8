"""The commands that bring weights in and out, as a user runs them."""

import json
import re
from pathlib import Path

import pytest
import torch

from keypoint.checkpoint.file import load_model
from tests import tiny_coco
from tests.calling import tool as run
from tests.reference import pose_resnet


@pytest.fixture
def official(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "pose_resnet_18_96x64.pth.tar"
    torch.save(pose_resnet.simple_baseline(18), path, _use_new_zipfile_serialization=False)
    return path


def test_a_file_becomes_a_checkpoint_that_test_takes_alone(official, tmp_path, capsys):
    output = tmp_path / "new" / "best.pt"
    assert run("import_weights", official, "--input-size", 96, 64, "--output", output) == 0
    assert f"written: {output}" in capsys.readouterr().out
    restored = load_model(output)
    assert (restored.config.model.encoder, restored.model.input_size) == ("resnet18", (96, 64))
    assert restored.model.color_order == "bgr"
    report = json.loads(output.with_suffix(".json").read_text())
    assert report["counts"]["matched"] == len(pose_resnet.simple_baseline(18))
    assert "final_layer.bias" in report["matched"]
    assert (report["format"], report["color_order"]) == ("simple_baseline", "bgr")

    tiny_coco.write(tmp_path / "data", tiny_coco.content())
    data = [f"data.root={tmp_path / 'data'}", "data.workers=0"]
    assert run("test", "--checkpoint", output, *data) == 0
    alone = json.loads((tmp_path / "output/best/results.json").read_text())
    card = (tmp_path / "output/best/card.md").read_text()
    assert "* recipe: unknown: imported weights\n" in card
    assert official.name in card
    (tmp_path / "r18.yaml").write_text("model: {encoder: resnet18, input_size: [96, 64]}")
    arguments = ["--cfg", tmp_path / "r18.yaml", "--checkpoint", official, "output=bare"]
    assert run("test", *arguments, *data) == 0
    assert json.loads((tmp_path / "bare/results.json").read_text()) == alone
    bare = (tmp_path / "bare/card.md").read_text()
    assert "* content: a pose network, not a checkpoint of this toolkit\n" in bare
    assert re.findall(r"\* metrics: .*", bare) == re.findall(r"\* metrics: .*", card) != []
    assert len(alone) == 8


def test_the_input_size_is_asked_for(official, capsys):
    assert run("import_weights", official, "--output", "best.pt") == 2
    assert "lowers AP silently; give --input-size H W" in capsys.readouterr().err
    assert not Path("best.pt").exists()
    size = ["--input-size", 96, 64]
    assert run("import_weights", official, *size, "--output", official) == 2
    assert run("import_weights", "absent.pth", *size, "--output", "best.pt") == 4
    assert "absent.pth: no such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    ["train.lr=3", "augment.rotation=3", "seed=1", "test.flip=false", "data.root=x"]
    + ["model.weights=./a.pt", "model.partial_weights=true", "data.skeletons=x"],
)
def test_keys_without_effect_are_refused(text, capsys):
    """Before the file is looked for."""
    assert run("import_weights", "absent.pth", "--output", "best.pt", text) == 2
    assert f"{text}: it has no effect on an import" in capsys.readouterr().err


def test_the_report_overwrites_no_weights(official, tmp_path, capsys):
    size = ["--input-size", 96, 64]
    for output in ("q.json", "q.JSON", tmp_path, ".", "folder.pt"):
        (tmp_path / "folder.json").mkdir(exist_ok=True)
        assert run("import_weights", official, *size, "--output", output) == 2
        assert f"--output {output}: the name of the checkpoint cannot" in capsys.readouterr().err
        assert not Path("q.json").exists()
    official.rename(tmp_path / "mine.json")
    before = (tmp_path / "mine.json").read_bytes()
    assert run("import_weights", "mine.json", *size, "--output", "mine.pt") == 2
    assert "the report would overwrite mine.json" in capsys.readouterr().err
    assert (tmp_path / "mine.json").read_bytes() == before


def test_places_that_cannot_be_written(official, tmp_path, capsys):
    Path("afile").write_bytes(b"mine")
    size = ["--input-size", 96, 64]
    assert run("import_weights", official, *size, "--output", "afile/x.pt") == 2
    assert "--output: cannot make the folder afile (File exists)" in capsys.readouterr().err
    assert run("import_weights", official, *size, "--output", "a.pt") == 0
    before = Path("a.pt").read_bytes()
    assert run("import_weights", official, *size, "--output", "a.pt") == 2
    assert "--output a.pt already exists; give another" in capsys.readouterr().err
    assert Path("a.pt").read_bytes() == before
    export = ["export_weights", "--checkpoint", "a.pt", "--format", "mmpose", "--output", tmp_path]
    assert run(*export, "--overwrite") == 4
    assert f"{tmp_path}: cannot be written" in capsys.readouterr().err
    assert Path("afile").read_bytes() == b"mine"


def test_colour_order_skeleton_and_config(official, tmp_path):
    size = ["--input-size", 96, 64]
    assert run("import_weights", official, *size, "--output", "a.pt", "--color-order", "rgb") == 0
    assert load_model(tmp_path / "a.pt").model.color_order == "rgb"
    (tmp_path / "r18.yaml").write_text("model: {encoder: resnet18, input_size: [64, 96]}")
    assert run("import_weights", official, "--cfg", "r18.yaml", "--output", "b.pt") == 0
    assert load_model(tmp_path / "b.pt").model.input_size == (64, 96)
    (tmp_path / "r34.yaml").write_text("model: {encoder: resnet34, input_size: [64, 96]}")
    assert run("import_weights", official, "--cfg", "r34.yaml", "--output", "c.pt") == 4
    assert not Path("c.pt").exists()


def test_another_number_of_keypoints_needs_its_skeleton(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.save(pose_resnet.simple_baseline(18, 3), "w.pth")
    arguments = ["w.pth", "--input-size", 96, 64, "--output", "best.pt"]
    assert run("import_weights", *arguments) == 4
    assert "The file has 3 keypoints, the skeleton 17: set data.skeleton" in capsys.readouterr().err
    Path("three.yaml").write_text(
        "name: three\nkeypoints: [a, b, c]\npairs: [[a, b]]\nedges: []\noks_sigmas: [0.1, 0.1, 0.1]\n"
    )
    assert run("import_weights", *arguments, "data.skeleton=three.yaml") == 0
    assert load_model(tmp_path / "best.pt").skeleton.num_keypoints == 3


def test_blocks_are_added_by_the_flag_alone(official, tmp_path, capsys):
    size = ["--input-size", 96, 64]
    assert run("import_weights", official, *size, "--output", "plain.pt") == 0
    added = ["plain.pt", "--output", "with.pt", "model.blocks=srl_fft"]
    assert run("import_weights", *added) == 4
    assert "--partial of keypoint import-weights" in capsys.readouterr().err
    assert run("import_weights", "plain.pt", "--output", "again.pt", "--partial") == 4
    assert "lacks none of the blocks; remove --partial\n" in capsys.readouterr().err
    assert run("import_weights", *added, "--partial") == 0
    plain, with_blocks = load_model(tmp_path / "plain.pt"), load_model(tmp_path / "with.pt")
    assert set(with_blocks.model.blocks) == {"deconv1", "deconv2", "deconv3"}
    x = torch.randn(1, 3, 96, 64)
    with torch.no_grad():
        assert torch.equal(with_blocks.model(x), plain.model(x))
    assert with_blocks.model.color_order == "bgr"


def test_other_networks_are_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.save({"stage2.0.branches.0.0.conv1.weight": torch.zeros(18, 18, 3, 3)}, "w.pth")
    assert run("import_weights", "w.pth", "--input-size", 96, 64, "--output", "best.pt") == 4
    found = (
        "w.pth: contains an HRNet of another width than 32 or 48, which matches no ResNet of depth"
    )
    assert found in capsys.readouterr().err


@pytest.mark.parametrize("target", ["simple_baseline", "mmpose"])
def test_out_and_in_again(official, tmp_path, capsys, target):
    size = ["--input-size", 96, 64]
    assert run("import_weights", official, *size, "--output", "a.pt", "--color-order", "rgb") == 0
    export = ["export_weights", "--checkpoint", "a.pt", "--format", target, "--output", "out.pth"]
    assert run(*export) == 0
    printed = capsys.readouterr().out
    assert {"simple_baseline": "Normalize(mean=[0.406, 0.456, 0.485]"}.get(
        target, "123.675"
    ) in printed
    assert run("import_weights", "out.pth", *size, "--output", "b.pt") == 0
    a, b = (torch.load(name, weights_only=True) for name in ("a.pt", "b.pt"))
    assert all(torch.equal(a["model"][name], tensor) for name, tensor in b["model"].items())
    for key in ("color_order", "mean", "std", "skeleton"):
        assert a[key] == b[key]


def test_udp_comes_back_as_udp_and_cannot_be_taken_for_another(official, tmp_path, capsys):
    Path("udp.yaml").write_text(
        "model: {encoder: resnet18, input_size: [96, 64], codec: udp, heatmap_sigma: 1.5}"
    )
    assert run("import_weights", official, "--cfg", "udp.yaml", "--output", "a.pt") == 0
    export = ["export_weights", "--checkpoint", "a.pt", "--format", "mmpose", "--output", "out.pth"]
    assert run(*export) == 0
    assert run("import_weights", "out.pth", "--output", "b.pt") == 0  # nor is the size asked for
    a, b = (load_model(tmp_path / name) for name in ("a.pt", "b.pt"))
    assert a.config.model == b.config.model
    assert (b.model.codec, b.model.codec.name) == (a.model.codec, "udp")
    for file in ("out.pth", "a.pt"):
        assert run("import_weights", file, "--output", "c.pt", "model.codec=heatmap") == 4
        words = "trained with codec udp, but the config has heatmap"
        assert words in capsys.readouterr().err
    assert not Path("c.pt").exists()


def test_one_skeletons_keypoints_are_not_anothers(tmp_path, monkeypatch, capsys):
    """crowdpose14 and aic14 have fourteen each, in other orders."""
    monkeypatch.chdir(tmp_path)
    torch.save(pose_resnet.simple_baseline(18, 14), "w.pth")
    made = ["w.pth", "--input-size", 96, 64, "--output", "cp14.pt", "data.skeleton=crowdpose14"]
    assert run("import_weights", *made) == 0
    export = ["--checkpoint", "cp14.pt", "--format", "mmpose", "--output", "out.pth"]
    assert run("export_weights", *export) == 0
    for file in ("cp14.pt", "out.pth"):
        assert run("import_weights", file, "--output", "aic14.pt", "data.skeleton=aic14") == 4
        expected = f"{file}: its keypoint 0 is left_shoulder, but the skeleton's is right_shoulder"
        assert expected in capsys.readouterr().err
        again = ["--output", f"{file}.again", "data.skeleton=crowdpose14"]
        assert run("import_weights", file, *again) == 0
        assert load_model(tmp_path / f"{file}.again").skeleton.name == "crowdpose14"
    assert not Path("aic14.pt").exists()


def test_training_starts_from_official_weights_with_new_blocks(official, tmp_path):
    """And keeps their colours: what is trained on BGR stays so."""
    tiny_coco.write(tmp_path / "data", tiny_coco.content())
    tiny_coco.write(tmp_path / "data", tiny_coco.content(), "train2017")
    Path("r18.yaml").write_text(
        f"data: {{root: {tmp_path / 'data'}, workers: 0}}\n"
        "model: {encoder: resnet18, input_size: [96, 64], blocks: nl}\n"
        "train: {epochs: 1, batch_size: 4}\n"
    )
    start = ["--cfg", "r18.yaml", f"model.weights={official}", "output=out"]
    assert run("train", *start) == 4  # blocks are missing
    assert run("train", *start, "model.partial_weights=true", "--overwrite") == 0
    restored = load_model(tmp_path / "out" / "last.pt")
    assert restored.model.color_order == "bgr"
    assert restored.model.pixel_mean.tolist() == pytest.approx([103.53, 116.28, 123.675])
    weight = restored.model.conv1.weight
    difference = (weight - pose_resnet.simple_baseline(18)["conv1.weight"]).abs().max()
    assert 0 < difference < 0.01  # Adam moved it by a few steps of 0.001
    assert run("test", "--checkpoint", "out/last.pt") == 0
