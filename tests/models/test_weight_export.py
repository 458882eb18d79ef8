"""An export gives our heatmaps in the other toolkit's own pipeline, and comes back to the bit."""

import functools
import re

import pytest
import torch

from keypoint.checkpoint.card import read_card
from keypoint.commands.import_weights import derived_config
from keypoint.errors import CheckpointError
from keypoint.models import SimpleBaseline, create_model
from keypoint.models.weights.export import export_weights
from keypoint.models.weights.formats import read_weights
from keypoint.models.weights.load import load_weights_file
from tests.models.test_weight_formats import IMAGE_BGR, IMAGENET, SIZE, heatmaps_here
from tests.reference import pose_resnet

MEAN, STD = IMAGENET
COLORS = {
    "ours": ("rgb", MEAN, STD),
    "simple_baseline's": ("bgr", MEAN[::-1], STD[::-1]),
    "bgr": ("bgr", MEAN, STD),
    "of other data": ("rgb", (0.1, 0.5, 0.8), (0.3, 0.2, 0.15)),
}


STATE = functools.cache(lambda: pose_resnet.simple_baseline(18, seed=5))


def trained(colors):
    order, mean, std = COLORS[colors]
    model = SimpleBaseline("resnet18", input_size=SIZE)
    model.set_colors(order, mean, std)
    model.load_state_dict(STATE())
    return model.eval()


def numbers_after(key, text):
    """The first list after `key=`, as a user reads it off the settings."""
    found = re.search(rf"{key}=\[([^\]]*)\]", text)
    return [float(number) for number in found[1].split(",")] if found else None


@pytest.mark.parametrize("colors", COLORS)
def test_simple_baseline_gets_our_heatmaps(tmp_path, colors):
    """Its pipeline: BGR, Normalize by place with its own numbers or those of the settings."""
    model = trained(colors)
    export = export_weights(model, "simple_baseline")
    torch.save(export.content, tmp_path / "w.pth")
    state = torch.load(tmp_path / "w.pth", weights_only=True)  # as valid.py does: a bare state dict
    assert list(state) == list(STATE())
    mean = numbers_after("mean", export.settings) or MEAN
    std = numbers_after("std", export.settings) or STD
    assert ("nothing to set" in export.settings) == (colors == "simple_baseline's")
    images = pose_resnet.simple_baseline_input(IMAGE_BGR, mean, std)
    theirs = pose_resnet.heatmaps(state, images)
    torch.testing.assert_close(theirs, heatmaps_here(model), rtol=0, atol=2e-5)


@pytest.mark.parametrize("colors", COLORS)
def test_mmpose_gets_our_heatmaps(tmp_path, colors):
    """Its pipeline: BGR to RGB, then mean and std in 0..255."""
    model = trained(colors)
    export = export_weights(model, "mmpose", epoch=7)
    torch.save(export.content, tmp_path / "w.pth")
    content = torch.load(tmp_path / "w.pth", weights_only=True)
    assert content["meta"]["epoch"] == 7
    assert list(content["state_dict"]) == list(pose_resnet.mmpose(STATE(), "head"))
    state = {name.split(".", 1)[1]: tensor for name, tensor in content["state_dict"].items()}
    mean = [value / 255 for value in numbers_after("mean", export.settings)]
    std = [value / 255 for value in numbers_after("std", export.settings)]
    images = pose_resnet.simple_baseline_input(IMAGE_BGR[..., ::-1], mean, std)
    theirs = pose_resnet.heatmaps(state, images)
    torch.testing.assert_close(theirs, heatmaps_here(model), rtol=0, atol=2e-5)
    assert "input_size=(96, 64), heatmap_size=(24, 16), sigma=1)" in export.settings
    if colors == "ours":  # mmpose's own config
        assert numbers_after("mean", export.settings) == [123.675, 116.28, 103.53]
        assert numbers_after("std", export.settings) == [58.395, 57.12, 57.375]


def test_their_numbers_instead_of_ours_would_not_do():
    """The settings are needed: the wrong mean moves heatmaps."""
    model = trained("ours")
    state = export_weights(model, "simple_baseline").content
    images = pose_resnet.simple_baseline_input(IMAGE_BGR)
    assert (pose_resnet.heatmaps(state, images) - heatmaps_here(model)).abs().max() > 0.01


@pytest.mark.parametrize("colors", COLORS)
@pytest.mark.parametrize("target", ["simple_baseline", "mmpose"])
def test_there_and_back_is_equal_to_the_bit(tmp_path, target, colors):
    model = trained(colors)
    torch.save(export_weights(model, target).content, tmp_path / "w.pth")
    back = create_model("resnet18", input_size=SIZE).eval()
    report = load_weights_file(back, tmp_path / "w.pth", whole=True)
    assert report.weights.format == {"simple_baseline": target, "mmpose": "mmpose 1.x"}[target]
    assert back.color_order == model.color_order
    for name in ("pixel_mean", "pixel_std"):
        assert torch.equal(getattr(back, name), getattr(model, name))
    for name, tensor in model.state_dict().items():
        assert torch.equal(back.state_dict()[name], tensor), name
    assert torch.equal(heatmaps_here(back), heatmaps_here(model))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mean": [1, 2]}, "its color_order, mean or std is damaged"),
        ({"input_size": 64}, "the note of its export is damaged"),
        ({"keypoints": "nose"}, "the note of its export is damaged"),
    ],
)
def test_the_note_of_an_export_is_checked(tmp_path, change, words):
    state = export_weights(trained("ours"), "simple_baseline").content
    state._metadata["keypoint"] |= change
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=rf"w\.pth: {words}"):
        read_weights(tmp_path / "w.pth")


def test_what_names_do_not_say_comes_back(tmp_path):
    model = SimpleBaseline(
        "resnet50",
        input_size=(64, 128),
        encoder_stride=8,
        dilated=True,
        codec="udp",
        heatmap_sigma=1.5,
        num_keypoints=2,
    )
    export = export_weights(model, "mmpose", keypoints=("head", "tail"))
    torch.save(export.content, tmp_path / "w.pth")
    weights = read_weights(tmp_path / "w.pth")
    assert weights.trained == {
        "codec": "udp",
        "heatmap_sigma": 1.5,
        "input_size": [64, 128],
        "encoder_stride": 8,
        "dilated": True,
    }
    assert weights.keypoints == ("head", "tail")
    same = {"num_keypoints": 2, "encoder": "resnet50"} | weights.trained
    back = create_model(**same)
    report = load_weights_file(back, tmp_path / "w.pth", whole=True, keypoints=("head", "tail"))
    assert not any("codec" in note for note in report.weights.notes)
    other = create_model(**same | {"dilated": False})
    with pytest.raises(
        CheckpointError, match="trained with dilated=true, .*set model.dilated=true"
    ):
        load_weights_file(other, tmp_path / "w.pth", whole=True)


@pytest.mark.parametrize("codec", ["heatmap", "udp"])
def test_the_codec_of_a_file_from_elsewhere_is_an_assumption(tmp_path, codec):
    path = tmp_path / "w.pth"
    torch.save({"state_dict": pose_resnet.mmpose(STATE(), "head")}, path)
    model = create_model("resnet18", input_size=SIZE, codec=codec)
    notes = load_weights_file(model, path, whole=True).weights.notes
    noted = "codec heatmap assumed; give model.codec=udp if it was trained with udp" in notes
    assert noted == (codec == "heatmap")


@pytest.mark.parametrize("target", ["simple_baseline", "mmpose"])
def test_blocks_cannot_run_there(target):
    model = create_model("resnet18", input_size=SIZE, blocks={"layer3": "nl", "deconv1": "srl_fft"})
    with pytest.raises(
        CheckpointError, match=rf"\(nl at layer3, srl_fft at deconv1\), but {target}"
    ):
        export_weights(model, target)


def test_udp_goes_where_udp_is_decoded():
    model = create_model("resnet18", input_size=SIZE, codec="udp")
    with pytest.raises(CheckpointError, match="codec udp.*export to mmpose"):
        export_weights(model, "simple_baseline")
    settings = export_weights(model, "mmpose").settings
    for text in ("'UDPHeatmap'", "use_udp=True", "shift_heatmap=False"):
        assert text in settings


@pytest.mark.parametrize(
    ("target", "decoding", "words"),
    [
        ("mmpose", "dark", "sigma=1, unbiased=True, blur_kernel_size=5)"),
        ("mmpose", None, "without refinement; there they are refined"),
        ("simple_baseline", "dark", "that of DARK; there peaks are refined by a quarter pixel"),
        ("simple_baseline", None, "TEST.POST_PROCESS: false"),
    ],
)
def test_the_decoding_goes_there_and_comes_back(tmp_path, target, decoding, words):
    export = export_weights(trained("bgr"), target, decoding=decoding)
    assert words in export.settings
    torch.save(export.content, tmp_path / "w.pth")
    weights = read_weights(tmp_path / "w.pth")
    assert weights.decoding == decoding
    config = derived_config(weights, tmp_path / "w.pth", [])
    assert config.test.decoding == decoding


@pytest.mark.parametrize("colors", COLORS)
@pytest.mark.parametrize("target", ["simple_baseline", "mmpose"])
def test_info_says_the_order_that_the_file_expects(tmp_path, target, colors):
    torch.save(export_weights(trained(colors), target).content, tmp_path / "w.pth")
    order = {"simple_baseline": "bgr", "mmpose": "rgb"}[target]
    assert read_card(tmp_path / "w.pth")["weights"]["color_order"] == order
