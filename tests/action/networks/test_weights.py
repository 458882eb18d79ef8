"""Weights of video networks: torchvision's, the authors' of MFNet, and our checkpoints."""

import logging

import pytest
import torch
import torchvision

from keypoint.action import create_model
from keypoint.errors import CheckpointError, ConfigError
from keypoint.models import create_model as create_pose_model
from keypoint.models.weights.load import load_weights_file
from tests.action.networks.test_c2d import random_norms

SMALL = {"frames": 2, "input_size": (32, 32)}
CLASSES = ["jump", "run", "sit"]


@pytest.fixture(scope="module")
def resnet():
    torch.manual_seed(0)
    return random_norms(torchvision.models.resnet18())


@pytest.fixture
def encoder_file(resnet, tmp_path):
    torch.save(resnet.state_dict(), tmp_path / "resnet18.pth")
    return tmp_path / "resnet18.pth"


def checkpoint(path, model, **section):
    """What weights are read from in a checkpoint of ours."""
    content = {
        "format": 1, "model": model.state_dict(), "ema": None, "skeleton": None, "classes": CLASSES,
        "config": {"model": {"network": model.name, "input_size": list(model.input_size), **section}},
        **model.colors(),
    }  # fmt: skip
    torch.save(content, path)
    return path


def trained(name="c2d_resnet18", **options):
    torch.manual_seed(1)
    return random_norms(create_model(name, 3, **SMALL, **options))


@pytest.mark.parametrize("blocks", [None, "srl_fft"])
def test_imagenet_weights_fill_the_encoder_alone(resnet, encoder_file, blocks, caplog):
    caplog.set_level(logging.INFO)
    net = create_model("c2d_resnet18", 3, **SMALL, blocks=blocks, weights=encoder_file)
    ours = {name.replace(".site.", "."): value for name, value in net.state_dict().items()}
    for name, value in resnet.state_dict().items():
        assert name.startswith("fc.") or torch.equal(ours[name], value), name
    assert "120 tensors loaded into the encoder" in caplog.text
    assert "2 not used: fc.weight, fc.bias" in caplog.text


def test_imagenet_is_torchvisions_download(resnet, monkeypatch):
    weights = torchvision.models.get_model_weights("resnet18").IMAGENET1K_V1
    monkeypatch.setattr(
        type(weights), "get_state_dict", lambda self, **_: resnet.state_dict(), raising=True
    )
    net = create_model("c2d_resnet18", 3, **SMALL, weights="imagenet")
    assert torch.equal(net.layer4[1].bn2.running_var, resnet.layer4[1].bn2.running_var)
    with pytest.raises(ConfigError, match="weights='imagenet' is for C2D; for mfnet give None"):
        create_model("mfnet", 3, 16, weights="imagenet")


def test_blocks_are_added_to_a_trained_network(tmp_path):
    plain = trained().eval()
    file = checkpoint(tmp_path / "best.pt", plain)
    options = {**SMALL, "blocks": "nl", "weights": file}
    net = create_model("c2d_resnet18", 3, **options, partial_weights=True).eval()
    clips = torch.randn(2, 3, 2, 32, 32)
    assert torch.equal(net(clips), plain(clips))
    with pytest.raises(CheckpointError, match="no blocks at .*model.partial_weights=true"):
        create_model("c2d_resnet18", 3, **options)
    with pytest.raises(CheckpointError, match="a partial load has no effect"):
        create_model("c2d_resnet18", 3, **SMALL, weights=file, partial_weights=True)


def test_all_keys_without_effect_are_named_at_once(resnet, tmp_path):
    encoder = {k: v for k, v in resnet.state_dict().items() if not k.startswith("fc.")}
    torch.save(encoder, tmp_path / "encoder.pth")
    both = {"partial_weights": True, "new_head": True}
    text = (
        "a new head has no effect, as the file has no head; a partial load has no effect, as it has "
        "only an encoder; remove model.new_head and model.partial_weights$"
    )
    for blocks in (None, "nl"):
        options = {**SMALL, "blocks": blocks, "weights": tmp_path / "encoder.pth"}
        with pytest.raises(CheckpointError, match=text):
            create_model("c2d_resnet18", 3, **options, **both)
    with pytest.raises(ConfigError, match="partial_weights and new_head have no effect with weig"):
        create_model("c2d_resnet18", 3, **SMALL, **both)


def test_a_mini_kinetics_config_starts_from_the_authors_file(tmp_path):
    """Blocks and a head that the file lacks, at once."""
    plain = trained("mfnet")
    torch.save(plain.state_dict(), tmp_path / "mfnet.pth")
    options = {"blocks": "pnl", "weights": tmp_path / "mfnet.pth", "partial_weights": True}
    net = create_model("mfnet", 7, **SMALL, **options, new_head=True)
    assert torch.equal(net.conv4.B05.site.conv_m1.conv.weight, plain.conv4.B05.conv_m1.conv.weight)
    assert net.classifier.weight.shape[0] == 7


def test_a_whole_checkpoint_with_blocks_comes_back(tmp_path):
    net = trained(blocks="srl_fft", places="res4").eval()
    net.set_colors("bgr", (0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
    torch.nn.init.constant_(net.all_blocks()["layer3.1"].alpha, 0.5)
    section = {"blocks": "srl_fft", "places": "res4", "form": "8x8"}
    file = checkpoint(tmp_path / "best.pt", net, **section)
    again = create_model(
        "c2d_resnet18", 3, **SMALL, blocks="srl_fft", places="res4", weights=file
    ).eval()
    clips = torch.randn(1, 3, 2, 32, 32)
    assert torch.equal(again(clips), net(clips))
    assert again.colors() == net.colors()


def test_a_new_head_for_other_classes(tmp_path):
    for name, head in (("c2d_resnet18", "fc"), ("mfnet", "classifier")):
        plain = trained(name)
        file = checkpoint(tmp_path / "best.pt", plain)
        net = create_model(name, 7, **SMALL, weights=file, new_head=True)
        assert net.get_submodule(head).weight.shape[0] == 7
        ours, theirs = net.state_dict(), plain.state_dict()
        assert all(torch.equal(ours[k], v) for k, v in theirs.items() if not k.startswith(head))
        with pytest.raises(CheckpointError, match="3 classes, the data 7: .*model.new_head=true"):
            create_model(name, 7, **SMALL, weights=file)


@pytest.mark.parametrize(
    ("section", "options", "message"),
    [
        ({}, {"network": "c2d_resnet34"}, r"trained with network=c2d_resnet18.*set model.network"),
        (
            {"form": "32x2"}, {}, r"trained with form=32x2, but the network has 8x8; set model.form=32x2"
        ),
        ({"blocks": "nl"}, {"blocks": {"type": "nl", "inner": 8}}, "its block at layer2.0 is"),
    ],
)  # fmt: skip
def test_what_names_do_not_show_is_checked(tmp_path, section, options, message):
    blocks = {"blocks": section["blocks"]} if "blocks" in section else {}
    file = checkpoint(tmp_path / "best.pt", trained(**blocks), **section)
    with pytest.raises(CheckpointError, match=message):
        create_model(
            **{"network": "c2d_resnet18", "num_classes": 3, **SMALL, **options}, weights=file
        )


def test_a_file_that_does_not_fit_says_what_to_do(tmp_path, encoder_file):
    bare = tmp_path / "bare.pt"
    torch.save(trained(blocks="srl_fft").state_dict(), bare)
    cases = [
        (
            {"network": "c2d_resnet34"},
            encoder_file,
            "a resnet18, this one is a resnet34: set model.",
        ),
        ({"network": "mfnet"}, encoder_file, "a resnet18, this one is not a ResNet"),
        ({}, bare, r"The file has blocks at \['layer2.0', .*: set model.blocks and model.places"),
    ]
    torch.save(trained("mfnet").state_dict(), tmp_path / "mfnet.pt")
    cases.append(({}, tmp_path / "mfnet.pt", "no ResNet with torchvision's names"))
    for options, file, message in cases:
        with pytest.raises(CheckpointError, match=message):
            create_model(**{"network": "c2d_resnet18", **SMALL, **options}, weights=file)
    longer = checkpoint(tmp_path / "best.pt", trained(blocks="srl_fft"), blocks="srl_fft")
    with pytest.raises(CheckpointError, match="number of frames: set model.blocks, .*clips.frames"):
        create_model("c2d_resnet18", 3, 4, input_size=(32, 32), blocks="srl_fft", weights=longer)


def test_the_authors_files_of_mfnet(tmp_path):
    """cypw/PyTorch-MFNet saves a DataParallel's state dict in a training checkpoint."""
    plain = trained("mfnet")
    state = {f"module.{name}": value for name, value in plain.state_dict().items()}
    file = tmp_path / "mfnet.pth"
    torch.save({"state_dict": state, "epoch": 3}, file)
    net = create_model("mfnet", 3, **SMALL, weights=file)
    assert all(torch.equal(v, plain.state_dict()[k]) for k, v in net.state_dict().items())
    clip = torch.tensor([124, 117, 104], dtype=torch.uint8).expand(1, 1, 2, 2, 3).clone()
    clip[0, 0, 0, 0, 0] += 60
    normal = net.normalize(clip)
    assert normal[0, 0, 0, 0, 0].item() == pytest.approx(60 * 0.0167, rel=1e-5)
    assert normal.flatten()[1:].abs().max() < 1e-5


def test_a_checkpoint_of_the_other_task_is_refused(tmp_path):
    pose = create_pose_model("resnet18", input_size=(64, 64))
    file = checkpoint(tmp_path / "action.pt", trained())
    text = "a checkpoint for action recognition, but the network is for keypoints"
    with pytest.raises(CheckpointError, match=text):
        load_weights_file(pose, file)
    content = torch.load(file) | {"classes": None, "skeleton": {"keypoints": ["nose"]}}
    torch.save(content | {"model": pose.state_dict()}, file)
    text = "a checkpoint for keypoints, but the network is for action recognition"
    with pytest.raises(CheckpointError, match=text):
        create_model("c2d_resnet18", 3, **SMALL, weights=file)
