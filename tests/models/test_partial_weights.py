"""Blocks added to trained weights change nothing, and only blocks may be missing."""

import shlex

import pytest
import torch

from keypoint.blocks.build import BLOCKS
from keypoint.checkpoint.file import checkpoint_of, load_model, save_checkpoint
from keypoint.config.load import config_from_dict, load_config
from keypoint.errors import CheckpointError, ConfigError
from keypoint.models import create_model
from keypoint.models.weights import load
from keypoint.models.weights.formats import recognise
from keypoint.models.weights.load import fill, load_weights_file
from keypoint.pose.skeleton import load_skeleton
from tests.reference import pose_resnet

SIZE = (64, 96)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "pose_resnet.pth"
    torch.save(pose_resnet.simple_baseline(18), path)
    return path


def output(model):
    crops = torch.randint(0, 256, (2, *SIZE, 3), dtype=torch.uint8, generator=torch.manual_seed(0))
    with torch.no_grad():
        return model.eval()(model.normalize(crops))


@pytest.fixture(scope="module")
def before(plain):
    return output(create_model("resnet18", input_size=SIZE, weights=plain))


def own_checkpoint(path, model, **config):
    config = config_from_dict(
        {"model": {"encoder": "resnet18", "input_size": list(SIZE), **config}}, "test"
    )
    save_checkpoint(path, checkpoint_of(model, config, load_skeleton("coco17"), {}))
    return path


@pytest.mark.parametrize("block", BLOCKS)
def test_the_network_starts_with_exactly_the_old_output(plain, before, block):
    sites = {"deconv1": block, "deconv3": block, "layer3": block}
    model = create_model(
        "resnet18", input_size=SIZE, weights=plain, blocks=sites, partial_weights=True
    )
    assert set(model.blocks) == set(sites)
    assert model.color_order == "bgr"
    assert before.std() > 0.1
    assert torch.equal(output(model), before)


def test_nothing_else_may_be_missing_or_misshapen():
    state = pose_resnet.simple_baseline(18)
    model = create_model("resnet18", input_size=SIZE, blocks="nl")
    for name in ("final_layer.bias", "deconv_layers.4.running_mean", "bn1.weight"):
        fewer = {key: tensor for key, tensor in state.items() if key != name}
        with pytest.raises(CheckpointError, match=rf" 1 missing: {name}"):
            fill(model, recognise(fewer, "w.pth"), "w.pth", partial=True)
        other = state | {name: torch.zeros(3)}
        with pytest.raises(CheckpointError, match=rf" 1 of another shape: {name}"):
            fill(model, recognise(other, "w.pth"), "w.pth", partial=True)


def test_a_flag_without_effect_is_an_error(plain):
    with pytest.raises(CheckpointError, match="no effect, as it lacks none of the blocks"):
        create_model("resnet18", input_size=SIZE, weights=plain, partial_weights=True)
    with pytest.raises(ConfigError, match="partial_weights has no effect with weights=None"):
        create_model("resnet18", input_size=SIZE, blocks="nl", partial_weights=True)


def test_blocks_are_added_to_trained_ones(tmp_path, plain, before):
    """deconv1's block comes from the file, with what it learned; deconv3's is new."""
    trained = create_model(
        "resnet18", input_size=SIZE, weights=plain, blocks={"deconv1": "nl"}, partial_weights=True
    )
    torch.nn.init.ones_(trained.blocks["deconv1"].norm.weight)
    path = own_checkpoint(tmp_path / "a.pt", trained, blocks={"deconv1": "nl"})
    model = create_model(
        "resnet18",
        input_size=SIZE,
        weights=path,
        blocks={"deconv1": "nl", "deconv3": "srl_fft"},
        partial_weights=True,
    )
    assert torch.equal(output(model), output(trained))
    assert not torch.equal(output(trained), before)


def test_a_block_half_there_is_refused(tmp_path, plain):
    model = create_model("resnet18", input_size=SIZE, blocks={"deconv1": "nl"})
    state = {k: v for k, v in model.state_dict().items() if k != "blocks.deconv1.norm.weight"}
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"1 missing: blocks\.deconv1\.norm\.weight"):
        load_weights_file(model, tmp_path / "w.pth", partial=True)


# ---------------------------------------------------------------- our own checkpoints


def test_our_checkpoints_bring_their_colours_and_the_averaged_weights(tmp_path):
    model = create_model("resnet18", input_size=SIZE, blocks="nl")
    model.set_colors("bgr", (0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
    path = own_checkpoint(tmp_path / "a.pt", model, blocks="nl")
    content = torch.load(path, weights_only=True)
    content["ema"] = {
        name: t + 1 if t.is_floating_point() else t for name, t in content["model"].items()
    }
    save_checkpoint(path, content)
    loaded = create_model("resnet18", input_size=SIZE, blocks="nl", weights=path)
    assert torch.equal(loaded.conv1.weight, model.conv1.weight + 1)
    assert loaded.color_order == "bgr"
    assert torch.equal(loaded.pixel_mean, model.pixel_mean)
    assert torch.equal(loaded.state_dict()["bn1.bias"], load_model(path).model.bn1.bias)


def test_blocks_with_other_options_are_not_the_same(tmp_path):
    """Same names, same shapes, another function."""
    names = []
    for recurrence in (2, 3):
        blocks = {"deconv1": {"type": "rcca", "recurrence": recurrence}}
        model = create_model("resnet18", input_size=SIZE, blocks=blocks)
        names.append({name: tensor.shape for name, tensor in model.state_dict().items()})
    assert names[0] == names[1]
    path = own_checkpoint(tmp_path / "a.pt", model, blocks=blocks)
    with pytest.raises(CheckpointError, match=r"blocks=\{deconv1: .*recurrence: 3\}\}'; set this"):
        create_model(
            "resnet18",
            input_size=SIZE,
            blocks={"deconv1": {"type": "rcca", "recurrence": 2}},
            weights=path,
        )


def test_what_only_the_config_says_is_checked_in_testing(tmp_path):
    model = create_model("resnet18", input_size=SIZE, blocks="nl", codec="udp")
    path = own_checkpoint(tmp_path / "a.pt", model, blocks="nl", codec="udp")
    other_size = create_model("resnet18", input_size=(96, 96), blocks="nl", codec="udp")
    with pytest.raises(CheckpointError, match=r"built for input_size=\[64, 96\].*remove --cfg"):
        load_weights_file(other_size, path, whole=True)
    load_weights_file(other_size, path)  # to train on at another size
    other_codec = create_model("resnet18", input_size=SIZE, blocks="nl")
    with pytest.raises(CheckpointError, match="trained with codec udp.*set model.codec=udp"):
        load_weights_file(other_codec, path, whole=True)


@pytest.mark.parametrize(
    ("trained", "given", "text"),
    [
        (1.5, None, r"heatmap_sigma 1.5, but the config has 1.0; set model.heatmap_sigma=1.5"),
        (None, 1.5, r"heatmap_sigma 1.0, but the config has 1.5; set model.heatmap_sigma=none"),
        (1.5, 1.5, None),
        (None, 1.0, None),  # the default at width 96
    ],
)
def test_heatmaps_of_another_width_are_refused_in_testing(tmp_path, trained, given, text):
    """Refinement by DARK depends on it."""
    path = own_checkpoint(
        tmp_path / "a.pt",
        create_model("resnet18", input_size=SIZE, heatmap_sigma=trained),
        heatmap_sigma=trained,
    )
    model = create_model("resnet18", input_size=SIZE, heatmap_sigma=given)
    load_weights_file(model, path)  # to train on
    if text is None:
        load_weights_file(model, path, whole=True)
        return
    with pytest.raises(CheckpointError, match=rf"a\.pt: trained with {text}"):
        load_weights_file(model, path, whole=True)


def test_another_input_size_is_reported_and_keeps_the_proportion(tmp_path, monkeypatch):
    path = own_checkpoint(tmp_path / "a.pt", create_model("resnet18", input_size=SIZE))
    said = []
    monkeypatch.setattr(load.logger, "warning", lambda text, *values: said.append(text % values))
    load_weights_file(create_model("resnet18", input_size=SIZE), path, whole=True)
    assert not said
    load_weights_file(create_model("resnet18", input_size=(96, 192)), path, whole=True)
    assert said == [f"{path}: trained at input_size=[64, 96], but the network has [96, 192]"]


def test_keypoints_of_another_skeleton_are_refused_in_testing(tmp_path):
    path = own_checkpoint(tmp_path / "a.pt", create_model("resnet18", input_size=SIZE))
    model = create_model("resnet18", input_size=SIZE)
    names = load_skeleton("coco17").keypoints
    load_weights_file(model, path, whole=True, keypoints=names)
    other = (*names[:16], "tail")
    load_weights_file(model, path, keypoints=other)  # to train on
    with pytest.raises(
        CheckpointError, match=r"keypoint 16 is right_ankle, but the skeleton's is tail"
    ):
        load_weights_file(model, path, whole=True, keypoints=other)


def test_blocks_of_another_size_are_named(tmp_path):
    torch.save(
        create_model("resnet18", input_size=(96, 96), blocks="srl_fft").state_dict(),
        tmp_path / "w.pth",
    )
    with pytest.raises(CheckpointError, match="blocks differ, or were built for another input"):
        create_model("resnet18", input_size=SIZE, blocks="srl_fft", weights=tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"model": 3}, "contains no state dict"),
        ({"mean": [1]}, "mean or std is damaged"),
        ({"std": [0.1, 0.0, 0.1]}, "mean or std is damaged"),
        ({"color_order": "gbr"}, "color_order, mean or std is damaged"),
        ({"config": 3}, "config is damaged"),
        ({"skeleton": ["nose"]}, "skeleton is damaged"),
        ({"config": {"model": {"input_size": [64, 96], "blocks": 3}}}, "config is damaged"),
    ],
)
def test_a_damaged_checkpoint_of_ours(change, text):
    good = {
        "format": 1,
        "model": {"w": torch.zeros(1)},
        "config": {"model": {"input_size": [64, 96]}},
        "skeleton": {"keypoints": ["nose"]},
        "color_order": "rgb",
        "mean": [0.4, 0.5, 0.6],
        "std": [0.2, 0.2, 0.2],
    }
    assert recognise(good, "a.pt").format == "keypoint"
    with pytest.raises(CheckpointError, match=rf"a\.pt: .*{text}"):
        recognise(good | change, "a.pt")


def checkpoint_with_srl(path):
    blocks, size = {"deconv1": "srl_fft"}, [192, 128]
    model = create_model("resnet18", input_size=tuple(size), blocks=blocks)
    return own_checkpoint(path, model, blocks=blocks, input_size=size)


KEYS_OF_SRL = "'model.blocks={deconv1: srl_fft}' 'model.input_size=[192, 128]'"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            {"encoder": "resnet34", "input_size": SIZE},
            f"trained with model.encoder=resnet18 {KEYS_OF_SRL}; set these",
        ),
        (
            {"encoder": "resnet18", "input_size": SIZE, "num_keypoints": 4, "new_head": False},
            f"trained with {KEYS_OF_SRL}; set these, and model.new_head=true for other keypoints",
        ),
        (
            {"encoder": "resnet18", "input_size": (192, 128), "blocks": {"deconv1": "nl"}},
            "trained with 'model.blocks={deconv1: srl_fft}'; set this",
        ),
        (
            {"encoder": "resnet18", "input_size": SIZE, "blocks": {"deconv1": "srl_fft"}},
            "trained with 'model.input_size=[192, 128]'; set this",
        ),
        (
            {
                "encoder": "resnet34",
                "input_size": (192, 128),
                "blocks": {"deconv1": "srl_fft", "deconv2": "nl"},
            },
            "trained with model.encoder=resnet18; set this, and model.partial_weights=true to add "
            "blocks",
        ),
        (
            {"encoder": "resnet50", "input_size": SIZE, "encoder_stride": 16, "dilated": True},
            "trained with model.encoder=resnet18 model.encoder_stride=32 model.dilated=false "
            f"{KEYS_OF_SRL}; set these",
        ),
        (
            {"network": "hrnet_w32", "input_size": SIZE},
            "trained with model.network=simple_baseline model.encoder=resnet18 "
            f"{KEYS_OF_SRL}; set these",
        ),
    ],
)
def test_all_keys_of_a_checkpoint_are_named_at_once(tmp_path, monkeypatch, given, text):
    path = checkpoint_with_srl(tmp_path / "a.pt")
    said = []
    monkeypatch.setattr(load.logger, "warning", lambda text, *values: said.append(text % values))
    with pytest.raises(CheckpointError) as caught:
        create_model(**{"new_head": True} | given, weights=path)
    assert str(caught.value) == f"{path}: {text}"
    assert not said


def test_the_keys_that_are_named_can_be_set(tmp_path):
    path = checkpoint_with_srl(tmp_path / "a.pt")
    file = tmp_path / "c.yaml"
    file.write_text("model: {encoder: resnet34, input_size: [64, 96]}\n")
    start = {"weights": path, "new_head": True}
    with pytest.raises(CheckpointError) as caught:
        create_model(**load_config(file).model.arguments(4), **start)
    words = str(caught.value).partition("trained with ")[2].partition("; set")[0]
    model = create_model(**load_config(file, shlex.split(words)).model.arguments(4), **start)
    assert model.num_outputs == 4


def test_other_frequencies_are_reported_after_loading(tmp_path, monkeypatch):
    model = create_model("resnet18", input_size=SIZE, blocks="nl")
    path = own_checkpoint(tmp_path / "a.pt", model, blocks="nl")
    said = []
    for level in ("info", "warning"):
        monkeypatch.setattr(load.logger, level, lambda text, *values: said.append(text % values))
    load_weights_file(create_model("resnet18", input_size=(96, 96), blocks="nl"), path)
    assert len(said) == 2
    assert "tensors loaded" in said[0]
    assert said[1].endswith("until trained, they act on other frequencies there")
