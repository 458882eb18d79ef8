"""HRNet's files of its repository and of mmpose, there and back, and what is said of others."""

import functools
from pathlib import Path

import numpy as np
import pytest
import torch

from keypoint.checkpoint.card import read_card, weights_section
from keypoint.commands.import_weights import derived_config
from keypoint.errors import CheckpointError
from keypoint.models import HRNet, create_model
from keypoint.models.names import HRNET_WIDTHS
from keypoint.models.weights.export import export_weights
from keypoint.models.weights.formats import read_weights, recognise
from keypoint.models.weights.load import fill, load_weights_file
from keypoint.models.weights.report import network_of
from tests.models.test_weight_formats import CROPS_RGB, IMAGENET, SIZE, saved, wrapped
from tests.reference import pose_hrnet, pose_resnet

STATE = functools.cache(lambda: pose_hrnet.pose_hrnet(8))


def network(**options):
    return HRNet(8, input_size=SIZE, **options).eval()


def heatmaps_here(model):
    with torch.no_grad():
        return model.double()(model.normalize(CROPS_RGB).double())


@functools.cache
def expected():
    """HRNet's repository converts to RGB (COLOR_RGB: true) and normalises with ImageNet's mean."""
    images = pose_resnet.simple_baseline_input(CROPS_RGB[0].numpy())
    return pose_hrnet.heatmaps(STATE(), images)


def require_theirs(model):
    torch.testing.assert_close(
        heatmaps_here(model), expected(), rtol=0, atol=1e-5 * expected().abs().max().item()
    )


@pytest.mark.parametrize("form", ["hrnet training", "lightning of DDP"])
def test_the_repositorys_files_give_its_heatmaps(tmp_path, form):
    model = network()
    report = load_weights_file(model, saved(tmp_path, wrapped(STATE(), form)), whole=True)
    assert report.weights.format == "hrnet"
    assert set(report.matched) == set(STATE())
    assert (model.color_order, report.weights.mean) == ("rgb", IMAGENET[0])
    require_theirs(model)


@pytest.mark.parametrize("head", ["keypoint_head", "head"])
def test_mmposes_files_too(tmp_path, head):
    state = pose_hrnet.mmpose(STATE(), head)
    assert "backbone.stage4.2.fuse_layers.0.3.0.weight" in state
    model = network()
    report = load_weights_file(model, saved(tmp_path, {"meta": {}, "state_dict": state}))
    assert report.weights.format == {"keypoint_head": "mmpose 0.x", "head": "mmpose 1.x"}[head]
    require_theirs(model)


def test_blocks_are_added_to_a_file(tmp_path):
    path = saved(tmp_path, STATE())
    model = network(blocks={"stage3": "srl_fft", "head": "nl"})
    with pytest.raises(CheckpointError, match=r"no blocks at \['stage3', 'head'\]: add them with"):
        load_weights_file(model, path)
    report = load_weights_file(model, path, partial=True)
    assert "blocks.stage3.2.alpha" in report.allowed
    require_theirs(model)
    # Their file in turn, into a network without: all blocks are named.
    with pytest.raises(CheckpointError, match=r"blocks at \['stage3', 'head'\]: set model.blocks"):
        load_weights_file(network(), saved(tmp_path, model.state_dict(), "blocks.pth"))


def classifier():
    """Names that timm's and HRNet's ImageNet files have beyond a pose network's."""
    state = {name: t for name, t in STATE().items() if not name.startswith("final_layer.")}
    more = {
        "incre_modules.0.0.conv1.weight": (4, 8, 1, 1),
        "downsamp_modules.0.0.weight": (16, 8, 3, 3),
        "final_layer.0.weight": (32, 16, 1, 1),
        "classifier.weight": (10, 32),
        "stage4.2.fuse_layers.1.0.0.0.weight": (16, 8, 3, 3),
        "stage4.2.fuse_layers.3.2.0.0.weight": (64, 32, 3, 3),
    }
    return state | {name: torch.zeros(shape) for name, shape in more.items()}, set(more)


def test_an_imagenet_file_fills_all_but_the_head(tmp_path):
    state, more = classifier()
    path = saved(tmp_path, state)
    model = network()
    report = load_weights_file(model, path)
    assert report.weights.format == "hrnet classifier"
    assert set(report.weights.left_out) == more
    assert report.encoder_only
    loaded = model.state_dict()
    assert all(torch.equal(loaded[name], t) for name, t in STATE().items() if "final" not in name)
    assert model.final_layer.weight.std() < 0.002
    with pytest.raises(CheckpointError, match="only an encoder, which finds no keypoints"):
        load_weights_file(network(), path, whole=True)


def of(width):
    """A file's names and shapes without its values."""
    state = pose_hrnet.pose_hrnet(8)
    narrow = {8: width, 16: 2 * width, 32: 4 * width}
    return {
        name: torch.zeros(()).expand([narrow.get(n, n) for n in t.shape])
        if name.startswith("stage2.")
        else t
        for name, t in state.items()
    }


@pytest.mark.parametrize(
    ("into", "state", "text"),
    [
        ("hrnet", lambda: of(48), "The file has hrnet_w48, this network is hrnet_w8: set "
         "model.network=hrnet_w48"),
        ("resnet18", lambda: of(32), "The file has hrnet_w32, this network is resnet18: set "
         "model.network=hrnet_w32"),
        ("hrnet", lambda: of(18), "an HRNet of another width than 32 or 48; use an HRNet's"),
        ("resnet18", lambda: of(18), "an HRNet of another width than 32 or 48; use a plain ResN"),
        ("hrnet", lambda: pose_resnet.simple_baseline(18), "The file has resnet18, this network "
         "is hrnet_w8: set model.network=simple_baseline model.encoder=resnet18"),
        ("hrnet", lambda: pose_hrnet.pose_hrnet(8, 16), "16 keypoints, the skeleton 17"),
        ("hrnet", lambda: STATE() | {"stage4.2.fuse_layers.1.0.0.0.weight": torch.zeros(1)},
         "1 unexpected: stage4.2.fuse_layers.1.0.0.0.weight. Use the network, blocks"),
        ("hrnet", lambda: {n: t for n, t in STATE().items() if n != "transition1.0.0.weight"},
         "1 missing: transition1.0.0.weight. Use the network, blocks"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(into, state, text):
    model = network() if into == "hrnet" else create_model("resnet18", input_size=SIZE)
    with pytest.raises(CheckpointError, match=text):
        fill(model, recognise(state(), "w.pth"), "w.pth")


def test_the_names_give_the_network():
    assert network_of(of(32)) == {"network": "hrnet_w32"}
    assert network_of(of(18)) == {}
    assert network_of(pose_resnet.resnet(34, np.random.default_rng(0))) == {
        "network": "simple_baseline",
        "encoder": "resnet34",
    }


def test_an_import_and_a_card_know_the_network():
    weights = recognise(of(48), "w.pth")
    config = derived_config(weights, Path("w.pth"), ["model.input_size=[256,192]"])
    assert config.model.network == "hrnet_w48"
    section = weights_section(weights)
    assert (section["encoder"], section["keypoints"]) == ("hrnet_w48", 17)
    assert section["next_step"] == "keypoint import-weights converts it to a checkpoint"
    assert weights_section(recognise(of(18), "w.pth"))["next_step"] == "not usable here"
    with pytest.raises(CheckpointError, match="an HRNet of another width .*and no HRNet-W32 or W4"):
        derived_config(recognise(of(18), "w.pth"), Path("w.pth"), [])


# ---------------------------------------------------------------- export-weights


def trained(color_order="rgb", **options):
    model = network(**options)
    model.load_state_dict(STATE())
    mean, std = IMAGENET if color_order == "rgb" else (IMAGENET[0][::-1], IMAGENET[1][::-1])
    model.set_colors(color_order, mean, std)
    return model


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_the_repository_gets_our_heatmaps(tmp_path, order):
    model = trained(order)
    export = export_weights(model, "hrnet")
    state = torch.load(saved(tmp_path, export.content), weights_only=True)
    assert list(state) == list(network().state_dict())
    assert "DATASET.COLOR_RGB: true" in export.settings
    mean, std = IMAGENET if order == "rgb" else (IMAGENET[0][::-1], IMAGENET[1][::-1])
    assert (f"Normalize(mean={list(mean)}, std={list(std)})" in export.settings) == (order == "bgr")
    theirs = pose_hrnet.heatmaps(
        state, pose_resnet.simple_baseline_input(CROPS_RGB[0].numpy(), mean, std)
    )
    scale = theirs.abs().max().item()
    torch.testing.assert_close(heatmaps_here(model), theirs, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize(("target", "order"), [("hrnet", "rgb"), ("mmpose", "bgr")])
def test_there_and_back_is_equal_to_the_bit(tmp_path, target, order):
    model = trained(order)
    path = saved(tmp_path, export_weights(model, target, keypoints=["a"] * 17).content)
    back = network()
    report = load_weights_file(back, path, whole=True)
    assert report.weights.format == {"hrnet": target, "mmpose": "mmpose 1.x"}[target]
    assert report.weights.trained["input_size"] == list(SIZE)
    assert "encoder_stride" not in report.weights.trained
    assert back.colors() == model.colors()
    for name, tensor in model.state_dict().items():
        assert torch.equal(back.state_dict()[name], tensor), name
    assert read_card(path)["weights"]["color_order"] == "rgb"


def test_mmposes_settings_name_the_head():
    export = export_weights(trained(codec="udp"), "mmpose")
    assert list(export.content["state_dict"]) == list(pose_hrnet.mmpose(STATE(), "head"))
    assert "HRNet-W8, and dict(type='HeatmapHead', in_channels=8, out_channels=17, deconv_out_" in (
        export.settings
    )
    assert "'UDPHeatmap'" in export.settings


@pytest.mark.parametrize(
    ("model", "target", "text"),
    [
        (lambda: trained(codec="udp"), "hrnet", "codec udp.*export to mmpose"),
        (trained, "simple_baseline", "is HRNet, which simple_baseline does not have; export it to "
         "hrnet or mmpose"),
        (lambda: create_model("resnet18", input_size=SIZE), "hrnet",
         "is SimpleBaseline, which hrnet does not have; export it to simple_baseline or mmpose"),
        (lambda: network(blocks={"stage2": "nl"}), "hrnet", r"blocks \(nl at stage2\), but hrnet"),
    ],
)  # fmt: skip
def test_what_cannot_run_there_is_refused(model, target, text):
    with pytest.raises(CheckpointError, match=text):
        export_weights(model(), target)


def test_a_file_by_the_networks_name(tmp_path, monkeypatch):
    monkeypatch.setitem(HRNET_WIDTHS, "hrnet_w32", 8)
    path = saved(tmp_path, STATE())
    assert read_weights(path).format == "hrnet"
    require_theirs(create_model(network="hrnet_w32", input_size=SIZE, weights=path).eval())
