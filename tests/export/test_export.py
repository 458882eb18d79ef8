"""Exported networks give what the network in torch gives, whatever the batch, and nothing else is written."""

import json
import sys
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from keypoint import __version__
from keypoint.blocks.build import BLOCKS
from keypoint.errors import ConfigError, ExportError, NumericsError
from keypoint.export import write
from keypoint.export.card import ExportCard, card_from_texts
from keypoint.export.network import ExportedNetwork
from keypoint.export.read import read_export
from keypoint.export.write import check_choice, export_network
from keypoint.models import create_model
from keypoint.models.inference import predict_keypoints
from keypoint.pose.codec import Codec
from tests import tiny_coco, tiny_network
from tests.calling import tool

SITES = ("layer1", "layer2", "layer3", "layer4", "deconv1", "deconv2", "deconv3")
# What the heatmaps must agree to, of their highest value; float32 has 1e-7, and sums are long.
TOLERANCE = 2e-5


def card_of(model, **changed):
    return ExportCard(**{
        "version": __version__, "skeleton": tiny_network.SKELETON, "input_size": model.input_size,
        "input": "uint8", "outputs": "keypoints", "codec": model.codec.name, "decoding": model.codec.decoding(), "flip": False,
        "precision": "float32",
    } | changed)  # fmt: skip


def network(names, codec, color_order):
    """Each block at a site of its own, with gates open and norms of their own."""
    torch.manual_seed(0)
    model = create_model("resnet18", input_size=(64, 96), codec=codec, blocks=dict(zip(SITES[:len(names)], names, strict=True)))  # fmt: skip
    torch.nn.init.normal_(model.final_layer.weight, std=1.0)
    for parameter in model.blocks.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.3)
    for name, buffer in model.blocks.named_buffers():
        if name.endswith("running_mean"):
            torch.nn.init.normal_(buffer, std=0.1)
    model.set_colors(color_order=color_order, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))
    return model.eval()


HALVES = {
    "first": (list(BLOCKS)[:6], "heatmap", "dark", "rgb", "uint8"),
    "second": (list(BLOCKS)[6:], "udp", "dark", "bgr", "float32"),
}


@pytest.fixture(scope="module", params=list(HALVES))
def case(request):
    names, codec, decoding, color_order, given = HALVES[request.param]
    model = network(names, codec, color_order)
    return model, card_of(model, input=given, decoding=decoding)


def crops_of(card, number, seed=7):
    """As people have them, and in the form that the file takes; by another generator than export/check.py's."""
    shape = (number, *card.input_size, 3)
    crops = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))  # fmt: skip
    given = crops if card.input == "uint8" else crops.permute(0, 3, 1, 2).float() / 255
    return crops, given.contiguous()


def expected_of(model, card, crops):
    """By the toolkit's own inference, which has a flip average of its own: keypoints in the crop's frame."""
    flip = torch.tensor(card.skeleton.flip_indices) if card.flip else None
    with torch.no_grad():
        points, scores = predict_keypoints(model, crops, flip, decoding=card.decoding)
    height, width = card.input_size
    if card.codec == "heatmap":
        return 4 * points, scores
    return points * torch.tensor([(width - 1) / (width / 4 - 1), (height - 1) / (height / 4 - 1)]), scores  # fmt: skip


def require_same(model, card, run):
    for batch in (1, 3, 5):
        crops, given = crops_of(card, batch)
        points, scores = expected_of(model, card, crops)
        keypoints, peaks, heatmaps = (torch.as_tensor(part) for part in run(given))
        assert heatmaps.shape == (batch, 17, card.input_size[0] // 4, card.input_size[1] // 4)
        highest = float(scores.max())
        torch.testing.assert_close(peaks, scores, rtol=0, atol=TOLERANCE * highest)
        torch.testing.assert_close(heatmaps.amax((2, 3)), scores, rtol=0, atol=TOLERANCE * highest)
        torch.testing.assert_close(keypoints, points, rtol=0, atol=0.01)


def test_onnx_of_every_block(case, tmp_path):
    model, card = case
    before = [parameter.clone() for parameter in model.parameters()]
    path = tmp_path / "model.onnx"
    result = export_network(model, card, path)
    assert 0 <= result.heatmaps < TOLERANCE
    assert len(result.moved) == 4
    session = onnxruntime.InferenceSession(str(path))
    require_same(model, card, lambda given: session.run(None, {"crops": given.numpy()}))
    proto = onnx.load(path)
    operations = {node.op_type for node in proto.graph.node}
    assert {"Conv", "MatMul"} <= operations
    assert not {"DFT", "STFT"} & operations
    text = path.read_bytes()
    assert b"site-packages" not in text  # nor any other path of this machine
    assert b"/keypoint/" not in text
    assert proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert "pixels of the crop" in {o.name: o.doc_string for o in proto.graph.output}["keypoints"]
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]
    assert all(map(torch.equal, before, model.parameters()))
    assert not any(getattr(part, "matmul", False) for part in model.modules())


def test_torch_export_of_every_block(case, tmp_path):
    model, card = case
    card = replace(card, flip=card.codec == "udp")  # the half with fewer and faster blocks
    path = tmp_path / "model.pt2"
    export_network(model, card, path)
    assert read_export(path) == card
    texts = {write.CARD_FILE: ""}
    program = torch.export.load(path, extra_files=texts)
    assert card_from_texts(json.loads(texts[write.CARD_FILE]), "the file") == card
    assert b"/keypoint/" not in path.read_bytes()  # nor any other path of this machine
    assert ("fft" in str(program)) == (card.codec == "heatmap")  # SRL-FFT is in the first half
    with torch.no_grad():
        require_same(model, card, program.module())


@pytest.fixture(scope="module")
def tiny():
    return tiny_network.model()


def test_heatmaps_alone(tiny, tmp_path):
    card = card_of(tiny, outputs="heatmaps")
    result = export_network(tiny, card, tmp_path / "model.pt2")
    assert result.decoding is None
    assert "decoding" not in result.describe()
    crops, given = crops_of(card, 2)
    with torch.no_grad():
        (heatmaps,) = torch.export.load(tmp_path / "model.pt2").module()(given)
        torch.testing.assert_close(heatmaps, tiny(tiny.normalize(crops)), rtol=1e-4, atol=1e-4)


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("broken", "text"),
    [
        ("normalize", r"heatmaps differ from torch's by \d.* at crop \d, \w+, row \d+, column \d+ \(allowed: 1e-04"),
        ("crop_per_heatmap", r"keypoints differ by up to \S+ px from its decoded heatmaps \(allowed: 0\.01"),
    ],
)  # fmt: skip
def test_another_result_is_refused_and_nothing_left(tiny, tmp_path, monkeypatch, broken, text):
    if broken == "normalize":
        monkeypatch.setattr(
            ExportedNetwork,
            "normalize",
            lambda self, x: x.permute(0, 3, 1, 2) / 255.0,
        )
    else:
        monkeypatch.setattr(Codec, "crop_per_heatmap", (4.0, 4.01))
    path = tmp_path / "model.pt2"
    path.write_text("what was there")
    with pytest.raises(ExportError, match=text) as error:
        export_network(tiny, card_of(tiny), path)
    assert error.value.exit_status == 4
    assert "no file was written" in str(error.value)
    assert [p.name for p in tmp_path.iterdir()] == ["model.pt2"]
    assert path.read_text() == "what was there"


def test_a_fixed_batch_is_refused(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(write, "program_of", lambda net, x: torch.export.export(net, (x,)))
    with pytest.raises(ExportError, match=r"does not run on 1 crops \("):
        export_network(tiny, card_of(tiny), tmp_path / "model.pt2")
    assert list(tmp_path.iterdir()) == []


class Branching(torch.nn.Module):
    """No graph holds its two ways."""

    def forward(self, x):
        return x if float(x.sum()) > 0 else 2 * x


def test_the_block_that_cannot_be_exported_is_named(tmp_path):
    torch.manual_seed(0)
    blocks = {"layer4": "a2", "deconv1": "cgnl"}
    model = create_model("resnet18", input_size=(32, 32), blocks=blocks).eval()
    model.blocks["deconv1"] = Branching()
    with pytest.raises(
        ExportError, match=r"the block cgnl at deconv1 cannot be exported as torch.export \("
    ):
        export_network(model, card_of(model), tmp_path / "model.pt2")
    assert list(tmp_path.iterdir()) == []


def test_broken_weights_are_refused(tmp_path):
    model = tiny_network.model()
    model.final_layer.bias.data[3] = float("nan")
    with pytest.raises(NumericsError, match="heatmaps are nan or inf: its weights are broken"):
        export_network(model, card_of(model), tmp_path / "model.pt2")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "changed", "text"),
    [
        ("model.ts", {}, r"model\.ts: the suffix chooses the format; give one of \.onnx \(ONNX\), \.pt2 \(torch"),
        ("model.pt2", {"precision": "int8"}, "--precision int8 is for ONNX; give --output FILE.onnx"),
        ("model.onnx", {"precision": "fp16"}, "--precision fp16 needs real crops"),
    ],
)  # fmt: skip
def test_choices_are_checked_first(tiny, tmp_path, name, changed, text):
    with pytest.raises(ConfigError, match=text):
        check_choice(card_of(tiny, **changed), tmp_path / name, None)


def test_a_package_that_is_not_there_is_named(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ConfigError, match=r'onnxscript is not installed; pip install "keypoint\['):
        check_choice(card_of(tiny), tmp_path / "model.onnx", None)


# ---------------------------------------------------------------- the command


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny_network.checkpoint(tmp_path_factory.mktemp("network") / "best.pt")


def test_the_command_says_what_it_wrote(checkpoint, tmp_path, capsys):
    path = tmp_path / "model.pt2"
    arguments = ["--checkpoint", checkpoint, "--output", path, "--outputs", "heatmaps"]
    path.write_text("what was there")
    assert tool("export", *arguments) == 2
    assert "already exists; give another name, or --overwrite" in capsys.readouterr().err
    assert path.read_text() == "what was there"
    assert tool("export", *arguments, "--overwrite") == 0
    said = capsys.readouterr().out
    assert "compared with torch on 4 crops, batches of 1 and 3: heatmaps " in said
    assert f"written: {path}, " in said
    assert "  crops: (B, 64, 64, 3) uint8, RGB\n  heatmaps: (B, 17, 16, 16) float32" in said
    assert path.stat().st_size > 60e6


def test_the_command_keeps_the_checkpoint(checkpoint, capsys):
    assert tool("export", "--checkpoint", checkpoint, "--output", checkpoint, "--overwrite") == 2
    assert "is the checkpoint itself; give another name" in capsys.readouterr().err


def test_the_command_wants_enough_persons(checkpoint, tmp_path, capsys):
    file, images = tiny_coco.write(tmp_path / "data", tiny_coco.content(1, 2))
    arguments = ["--checkpoint", checkpoint, "--output", tmp_path / "m.onnx", "--precision", "fp16"]
    assert tool("export", *arguments, "--annotations", file, "--images", images) == 3
    assert "2 persons are too few for int8; give at least 8" in capsys.readouterr().err


def test_annotations_and_images_belong_together(checkpoint, tmp_path, capsys):
    arguments = ["--checkpoint", checkpoint, "--output", tmp_path / "model.onnx"]
    assert tool("export", *arguments, "--images", tmp_path) == 2
    assert "--annotations and --images belong together" in capsys.readouterr().err


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_reduced_precision_is_smaller_and_says_how_far_keypoints_move(
    checkpoint, tmp_path, capsys, precision
):
    file, images = tiny_coco.write(tmp_path / "data", tiny_coco.content(4, 3))
    path = tmp_path / "new" / "model.onnx"
    arguments = ["--checkpoint", checkpoint, "--output", path, "--precision", precision]
    assert tool("export", *arguments, "--annotations", file, "--images", images) == 0
    said = capsys.readouterr().out
    assert "compared with torch on 6 crops" in said  # calibrated by the other six
    assert f"{precision} differs: keypoints move by " in said
    assert "px (102 keypoints)" in said
    assert path.stat().st_size < 0.62 * 61.5e6  # of float32
    operations = [node.op_type for node in onnx.load(path).graph.node]
    if precision == "int8":
        assert operations.count("QuantizeLinear") > 20
    model = tiny_network.model()
    card = card_of(model, precision=precision)
    crops, given = crops_of(card, 3)
    names = ["heatmaps", "scores"]
    heatmaps, scores = onnxruntime.InferenceSession(str(path)).run(names, {"crops": given.numpy()})
    with torch.no_grad():
        expected = model(model.normalize(crops)).numpy()
    assert not np.allclose(heatmaps, expected, rtol=1e-5, atol=1e-6)
    alike = np.corrcoef(heatmaps.ravel(), expected.ravel())[0, 1]
    assert alike > (0.9999 if precision == "fp16" else 0.98)
    np.testing.assert_array_equal(scores, heatmaps.max((2, 3)))
