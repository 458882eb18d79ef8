"""--device: mps is asked for by name only, marked untested, and never given a float64 tensor."""

from functools import partial

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from keypoint import distributed
from keypoint.data.batches import TrainBatch
from keypoint.errors import ConfigError
from keypoint.export.onnx_predictor import choose_providers
from keypoint.prediction.detector import HOG, detect, load_detector
from keypoint.training.keypoints import keypoint_loss
from keypoint.training.losses import heatmap_loss
from keypoint.training.step import TrainingStep
from tests import tiny_network
from tests.calling import tool


class Float64(TorchDispatchMode):
    """Keeps the operations that give float64; mps has none of that type."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given = func(*args, **kwargs or {})
        for one in tree_leaves(given):
            if isinstance(one, torch.Tensor) and one.dtype == torch.float64:
                self.found.append(str(func))
        return given


def test_mps_is_refused_where_there_is_none(tmp_path, capsys):
    if torch.backends.mps.is_available():
        pytest.fail("this test is for machines without mps; try the toolkit there by hand")
    with pytest.raises(ConfigError, match="--device mps: torch finds no such device; .* use cpu"):
        distributed.choose_device("mps")
    checkpoint = tiny_network.checkpoint(tmp_path / "best.pt")
    given = ["--checkpoint", checkpoint, "--output", tmp_path / "out", "--device", "mps"]
    (tmp_path / "a.png").write_bytes(b"x")
    assert tool("predict", *given, "--whole-image", tmp_path / "a.png") == 2
    assert "--device mps: torch finds no such device" in capsys.readouterr().err
    with pytest.raises(
        ConfigError, match="--device mps is for checkpoints only, not for onnxruntime"
    ):
        choose_providers("mps", ["CPUExecutionProvider", "CoreMLExecutionProvider"])


def test_mps_is_said_to_be_untested_and_never_chosen_by_itself(monkeypatch, warnings):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert distributed.choose_device(None).type == "cpu"
    assert warnings.text == ""
    assert distributed.choose_device("mps") == torch.device("mps")
    assert "device=mps is untested" in warnings.text
    monkeypatch.setenv("LOCAL_RANK", "0")
    with pytest.raises(ConfigError, match="--device mps: one process only"):
        distributed.initialise("mps")


@pytest.mark.parametrize("command", ["train", "test", "predict", "app", "detect-boxes"])
def test_help_says_that_mps_is_untested(command, capsys):
    with pytest.raises(SystemExit):
        tool(command, "--help")
    assert "mps (Apple, untested)" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("decoding", ["quarter", "dark", None])
def test_a_predictor_makes_no_float64_on_its_device(decoding):
    predictor = tiny_network.predictor(flip=True, decoding=decoding)
    crops = np.random.default_rng(0).integers(0, 255, (2, 64, 64, 3), np.uint8)
    with Float64() as seen:
        predictor.predict_crops(crops)
        predictor.predict_heatmaps(crops)
    assert seen.found == []
    with Float64() as seen:  # the check sees one
        predictor.model.pixel_mean.double()
    assert seen.found


@pytest.mark.parametrize(("blocks", "amp"), [("srl_fft", "bf16"), ("srl_lo", None)])
def test_a_training_step_makes_no_float64_on_its_device(blocks, amp):
    model = tiny_network.model(blocks=blocks).train()
    step = TrainingStep(
        model,
        optimizer=torch.optim.Adam(model.parameters(), lr=1e-3),
        loss=partial(keypoint_loss, model=model, heatmap_loss=heatmap_loss),
        amp=amp,
        ema=0.9,
    )
    rng = np.random.default_rng(0)
    batch = TrainBatch(
        crops=torch.from_numpy(rng.integers(0, 255, (2, 64, 64, 3), np.uint8)),
        keypoints_crop=torch.from_numpy(rng.uniform(0, 60, (2, 17, 2)).astype(np.float32)),
        visibility=torch.full((2, 17), 2, dtype=torch.uint8),
        image_ids=torch.arange(2),
    )
    with Float64() as seen:
        step.gradients(iter([batch]), 1)
        step.optimizer.step()
    assert seen.found == []


def test_hog_makes_no_float64_on_its_device():
    with Float64() as seen:
        load_detector(HOG, 0.0)([torch.rand(3, 130, 70)])
    assert seen.found == []
    [found] = detect(load_detector(HOG), [np.zeros((130, 70, 3), np.uint8)], ["a"])
    assert found.scores.dtype == np.float64  # on the CPU, and only there
