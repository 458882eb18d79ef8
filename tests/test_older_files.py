"""Files of version 0.1.0, before the package moved into rooms: they load and give the same keypoints.

`tests/fixtures/version_0_1` was written by the commands of commit bce7a3e: two epochs of
ResNet-18 at 64x64 with srl_fft and nl, the weights then replaced by a repeating pattern so that
the files compress; found.json is what its Predictor found in `IMAGE`.
"""

import json
import lzma
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import keypoint
from keypoint.checkpoint.file import load_model, read_checkpoint
from keypoint.config.load import load_config
from keypoint.data.images.read import warp
from keypoint.data.synthetic.demo_set import write_demo_set
from tests.calling import tool

FIXTURES = Path(__file__).parent / "fixtures" / "version_0_1"
IMAGE = (np.indices((80, 100)).sum(0)[..., None] * np.array([1, 2, 3]) % 256).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("version_0_1")
    for file in FIXTURES.glob("*.xz"):
        with lzma.open(file) as packed, (made / file.stem).open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked, 1 << 24)
    return made


@pytest.fixture(scope="module")
def found():
    content = json.loads((FIXTURES / "found.json").read_text())
    return {name: np.array(value) for name, value in content.items()}


def check(keypoints, scores, found):
    """Another CPU rounds otherwise: a quarter offset may turn, a peak may not."""
    np.testing.assert_allclose(scores, found["scores"], rtol=1e-3)
    np.testing.assert_allclose(keypoints, found["keypoints"], atol=4.0)


def test_a_checkpoint_predicts_as_before(folder, found):
    predictor = keypoint.Predictor.from_checkpoint(folder / "old.pt", flip=True, device="cpu")
    result = predictor(IMAGE)
    check(result.keypoints, result.scores, found)


def test_a_checkpoint_keeps_its_network_and_its_training(folder, capsys):
    restored = load_model(folder / "old.pt")
    sites = {"deconv1": "srl_fft", "deconv2": "nl"}
    assert restored.config.model.blocks == sites
    assert (restored.config.model.encoder, restored.epoch) == ("resnet18", 1)
    content = read_checkpoint(folder / "old.pt")
    assert content["optimizer"]["state"]
    assert [record["epoch"] for record in content["history"]] == [1]
    capsys.readouterr()
    assert tool("info", "--checkpoint", folder / "old.pt") == 0
    card = capsys.readouterr().out
    assert "* blocks: deconv1 srl_fft, deconv2 nl\n" in card
    assert "* commit: bce7a3e" in card
    assert "* metrics: AP 0, AP50 0" in card


def test_a_run_resumes_from_it(folder, tmp_path, capsys):
    """The second epoch of the run, on persons that were generated again: allowed when asked for."""
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(folder / "old.pt", run / "last.pt")
    write_demo_set(tmp_path / "data", train_images=20, val_images=6, seed=1)
    changed = [f"data.root={tmp_path / 'data'}", f"output={run}", "train.save_every=1000"]
    more = ["--resume", "--allow-changed", "--device", "cpu"]
    assert tool("train", "--cfg", FIXTURES / "config.yaml", *more, *changed) == 0
    content = torch.load(run / "last.pt", weights_only=True)
    assert [record["epoch"] for record in content["history"]] == [1, 2]


def test_a_config_is_read_as_before():
    config = load_config(FIXTURES / "config.yaml")
    assert config.model.blocks == {"deconv1": "srl_fft", "deconv2": "nl"}
    assert (config.train.ema, config.train.batch_size, config.seed) == (0.9, 4, 0)


def test_an_onnx_file_predicts_as_before(folder, found):
    predictor = keypoint.OnnxPredictor.from_file(folder / "old.onnx")
    result = predictor(IMAGE)
    check(result.keypoints, result.scores, found)


def test_a_torch_export_file_predicts_as_before(folder, found):
    program = torch.export.load(folder / "old.pt2").module()
    predictor = keypoint.Predictor.from_checkpoint(folder / "old.pt", flip=True, device="cpu")
    boxes = np.array([[0.0, 0.0, 100.0, 80.0]])
    frame = predictor.crop_frame(boxes)
    crop = warp(IMAGE, frame.matrices()[0], frame.input_size)
    with torch.inference_mode():
        keypoints, scores, _ = program(torch.from_numpy(crop[None]))
    expected = predictor.predict_crops(crop[None])
    np.testing.assert_allclose(keypoints, expected[0], atol=2.1)  # crop px: a quarter offset turned
    np.testing.assert_allclose(scores, found["scores"], rtol=1e-3)
