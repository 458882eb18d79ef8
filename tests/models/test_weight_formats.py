"""Files of other toolkits give here what they give there: names, colour order, mean and std."""

import argparse

import cv2
import numpy as np
import pytest
import torch

from keypoint.errors import CheckpointError
from keypoint.models import create_model
from keypoint.models.weights.formats import read_weights, recognise
from keypoint.models.weights.load import fill, load_weights_file
from keypoint.models.weights.report import encoder_of
from tests.reference import pose_resnet

SIZE = (64, 96)
IMAGE_BGR = cv2.resize(
    np.random.default_rng(3).integers(0, 256, (9, 12, 3), dtype=np.uint8), (96, 64)
)
CROPS_RGB = torch.from_numpy(IMAGE_BGR[None, ..., ::-1].copy())
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.fixture(scope="module")
def sb18():
    return pose_resnet.simple_baseline(18)


def saved(folder, content, name="weights.pth", **options):
    torch.save(content, folder / name, **options)
    return folder / name


def network(path, depth=18, **options):
    return create_model(f"resnet{depth}", input_size=SIZE, weights=path, **options).eval()


def heatmaps_here(model):
    with torch.no_grad():
        return model(model.normalize(CROPS_RGB)).double()


def simple_baselines_heatmaps(state):
    return pose_resnet.heatmaps(state, pose_resnet.simple_baseline_input(IMAGE_BGR))


@pytest.fixture(scope="module")
def expected_bgr(sb18):
    return simple_baselines_heatmaps(sb18)


@pytest.fixture(scope="module")
def expected_rgb(sb18):
    image_rgb = CROPS_RGB[0].numpy()
    return pose_resnet.heatmaps(sb18, pose_resnet.simple_baseline_input(image_rgb))


def wrapped(state, form):
    module = {f"module.{name}": tensor for name, tensor in state.items()}
    odd = {"args": argparse.Namespace(lr=1), "perf": np.float64(0.704), "model": "pose_resnet"}
    return {
        "bare": state,
        "simple_baseline training": odd | {"epoch": 3, "state_dict": module, "optimizer": {}},
        "hrnet training": odd | {"best_state_dict": state, "state_dict": module},
        "lightning of DDP": {"state_dict": {f"model.{k}": v for k, v in module.items()}},
        "DDP of compiled": {f"module._orig_mod.{name}": tensor for name, tensor in state.items()},
    }[form]


FORMS = (
    "bare",
    "simple_baseline training",
    "hrnet training",
    "DDP of compiled",
    "lightning of DDP",
)


@pytest.mark.parametrize("form", FORMS)
def test_simple_baselines_files_give_its_heatmaps(tmp_path, sb18, expected_bgr, form):
    zipped = form != "simple_baseline training"
    path = saved(tmp_path, wrapped(sb18, form), "a.tar", _use_new_zipfile_serialization=zipped)
    model = network(path)
    assert expected_bgr.std() > 0.1
    torch.testing.assert_close(heatmaps_here(model), expected_bgr, rtol=0, atol=2e-5)
    assert model.color_order == "bgr"


def test_bottlenecks_too(tmp_path):
    state = pose_resnet.simple_baseline(50)
    model = network(saved(tmp_path, state), 50)
    expected = simple_baselines_heatmaps(state)
    scale = expected.abs().max().item()
    torch.testing.assert_close(heatmaps_here(model), expected, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_the_names_give_the_depth(depth):
    assert encoder_of(pose_resnet.resnet(depth, np.random.default_rng(0))) == f"resnet{depth}"


def test_any_other_colours_give_others(tmp_path, sb18, expected_bgr):
    model = network(saved(tmp_path, sb18))
    for wrong in (
        ("rgb", *IMAGENET),
        ("bgr", *IMAGENET),  # blue with blue's mean, as one would think
        ("rgb", IMAGENET[0][::-1], IMAGENET[1][::-1]),
    ):
        model.set_colors(*wrong)
        assert (heatmaps_here(model) - expected_bgr).abs().max() > 0.01


@pytest.mark.parametrize("head", ["keypoint_head", "head"])
def test_mmposes_files(tmp_path, sb18, expected_rgb, head):
    state = pose_resnet.mmpose(sb18, head)
    weights = read_weights(saved(tmp_path, {"meta": {}, "state_dict": state}))
    assert weights.format == {"keypoint_head": "mmpose 0.x", "head": "mmpose 1.x"}[head]
    model = network(tmp_path / "weights.pth")
    assert model.color_order == "rgb"
    torch.testing.assert_close(heatmaps_here(model), expected_rgb, rtol=0, atol=2e-5)


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_mmposes_stored_mean_gives_the_colours(tmp_path, sb18, order):
    """In 0..255, by place, after the conversion."""
    mean, std = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
    if order == "bgr":
        mean, std = mean[::-1], std[::-1]
    state = pose_resnet.mmpose(sb18, "head") | {
        "data_preprocessor.mean": torch.tensor(mean).view(3, 1, 1),
        "data_preprocessor.std": torch.tensor(std).view(3, 1, 1),
    }
    weights = read_weights(saved(tmp_path, {"state_dict": state}))
    assert weights.color_order == order
    assert weights.mean == pytest.approx(IMAGENET[0])  # in RGB order, red's first
    assert weights.std == pytest.approx(IMAGENET[1])
    assert weights.left_out == ("data_preprocessor.mean", "data_preprocessor.std")
    image = IMAGE_BGR if order == "bgr" else CROPS_RGB[0].numpy()
    images = pose_resnet.simple_baseline_input(
        image, [m / 255 for m in mean], [s / 255 for s in std]
    )
    model = network(tmp_path / "weights.pth")
    expected = pose_resnet.heatmaps(sb18, images)
    torch.testing.assert_close(heatmaps_here(model), expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    ("mean", "std"),
    [([1.0], [1.0, 1.0, 1.0]), ([1.0, 2.0, np.nan], [1.0] * 3), ([1.0] * 3, [1.0, 0.0, 1.0])],
)
def test_a_damaged_mean_is_named(sb18, mean, std):
    state = pose_resnet.mmpose(sb18, "head")
    state["data_preprocessor.mean"], state["data_preprocessor.std"] = map(torch.tensor, (mean, std))
    with pytest.raises(CheckpointError, match=r"w\.pth: its data_preprocessor is damaged"):
        recognise({"state_dict": state}, "w.pth")


def test_a_strange_mean_asks(tmp_path, sb18):
    state = pose_resnet.mmpose(sb18, "head")
    state["data_preprocessor.mean"] = torch.tensor([1.0, 2.0, 3.0])
    state["data_preprocessor.std"] = torch.tensor([57.0, 58.0, 59.0])
    path = saved(tmp_path, {"state_dict": state})
    with pytest.raises(CheckpointError, match=r"weights\.pth: .*mean is \[1.0, 2.0.*--color-order"):
        read_weights(path)
    weights = read_weights(path, "bgr")
    assert weights.mean == pytest.approx((3 / 255, 2 / 255, 1 / 255))


@pytest.mark.parametrize("order", ["rgb", "bgr"])
@pytest.mark.parametrize("kind", ["simple_baseline", "mmpose"])
def test_the_flag_overrides(tmp_path, sb18, expected_rgb, expected_bgr, kind, order):
    state = sb18 if kind == "simple_baseline" else pose_resnet.mmpose(sb18, "head")
    model = create_model("resnet18", input_size=SIZE).eval()
    load_weights_file(model, saved(tmp_path, state), color_order=order)
    expected = expected_rgb if order == "rgb" else expected_bgr
    torch.testing.assert_close(heatmaps_here(model), expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("source", ["torchvision", "timm", "safetensors"])
def test_encoders(tmp_path, source):
    if source == "torchvision":
        import torchvision

        net = torchvision.models.resnet18(weights=None)
    else:
        net = pytest.importorskip("timm").create_model("resnet18", pretrained=False)
    if source == "safetensors":
        path = tmp_path / "model.bin"  # by content, not by name
        pytest.importorskip("safetensors.torch").save_file(net.state_dict(), path)
    else:
        path = saved(tmp_path, net.state_dict())
    weights = read_weights(path)
    assert (weights.format, weights.left_out) == ("resnet", ("fc.weight", "fc.bias"))
    model = create_model("resnet18", input_size=SIZE, weights=path)
    assert (model.color_order, model.pixel_mean.tolist()) == (
        "rgb",
        (torch.tensor(IMAGENET[0]) * 255).tolist(),
    )
    for name, tensor in net.state_dict().items():
        if not name.startswith("fc."):
            assert torch.equal(model.state_dict()[name], tensor), name
    assert model.deconv_layers[0].weight.std() < 0.002
    with pytest.raises(CheckpointError, match="only an encoder, which finds no keypoints"):
        load_weights_file(model, path, whole=True)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("resnet50d", "deep stem"),
        ("resnet50s", "deep stem"),
        ("seresnet50", "attention .SE"),
        ("ecaresnet50t", "deep stem"),
        ("resnext50_32x4d", "ResNeXt"),
        ("wide_resnet50_2", "wide ResNet"),
        ("resnet50_gn", "group norm"),
        ("resnetv2_50", "network in stages"),
        ("hrnet_w18", "an HRNet"),
        ("vit_tiny_patch16_224", "a transformer"),
        ("resnet26", "Use the network"),
        ("resnet101", "is resnet101, the network's resnet50: set model.encoder=resnet101"),
    ],
)
def test_timms_variants_that_do_not_fit_are_named(resnet50, name, text):
    timm = pytest.importorskip("timm")
    with torch.device("meta"):
        net = timm.create_model(name, pretrained=False)
    state = {n: torch.zeros(()).expand(t.shape) for n, t in net.state_dict().items()}
    weights = recognise(state, "weights.pth")
    with pytest.raises(CheckpointError, match=rf"weights\.pth: does not match .*{text}"):
        fill(resnet50, weights, "weights.pth")


@pytest.fixture(scope="module")
def resnet50():
    return create_model("resnet50", input_size=SIZE)


@pytest.mark.parametrize(
    ("change", "options", "text"),
    [
        (
            {"final_layer.weight": torch.zeros(16, 256, 1, 1), "final_layer.bias": torch.zeros(16)},
            {},
            "has 16 keypoints, the skeleton 17: set data.skeleton",
        ),
        (
            {},
            {"encoder": "resnet34"},
            "resnet18, the network's resnet34: set model.encoder=resnet18",
        ),
        ({"blocks.deconv1.norm.weight": torch.zeros(1)}, {}, r"blocks at \['deconv1'\]: set"),
        (
            {},
            {"blocks": {"deconv2": "nl"}},
            r"no blocks at \['deconv2'\]: add them with model.partial_weights=true",
        ),
        (
            {"deconv_layers.3.weight": torch.zeros(256, 256, 2, 2)},
            {},
            r"shape: deconv_layers.3.weight \(256, 256, 2, 2\) for \(256, 256, 4, 4\)\. Use the net",
        ),
        ({"final_layer.weight": torch.zeros(())}, {}, r"final_layer.weight \(\) for \(17, 256"),
    ],
)
def test_the_remedy_is_named(sb18, change, options, text):
    model = create_model(**{"encoder": "resnet18", "input_size": SIZE, **options})
    with pytest.raises(CheckpointError, match=text) as caught:
        fill(model, recognise(sb18 | change, "w.pth"), "w.pth")
    assert len(str(caught.value).splitlines()) <= 3


def test_nothing_changes_when_something_does_not_fit(tmp_path, sb18):
    model = create_model("resnet18", input_size=SIZE)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    path = saved(tmp_path, {k: v for k, v in sb18.items() if k != "final_layer.bias"})
    with pytest.raises(CheckpointError, match="1 missing: final_layer.bias"):
        load_weights_file(model, path)
    assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())
    assert model.color_order == "rgb"


def test_the_report_conserves_every_tensor(tmp_path, sb18):
    state = sb18 | {"fc.weight": torch.zeros(1), "odd": torch.zeros(2)}
    state["final_layer.bias"] = torch.zeros(3)
    state["conv1.weight"] = torch.full((64, 3, 7, 7), torch.nan)
    del state["bn1.weight"]
    model = create_model("resnet18", input_size=SIZE)
    weights = read_weights(saved(tmp_path, state))
    with pytest.raises(CheckpointError) as caught:
        fill(model, weights, "a.pth")
    for text in ("1 missing: bn1.weight", "1 unexpected: odd", "1 of another shape: final_layer.b"):
        assert text in str(caught.value)
    assert "1 with nan or inf (not finite): conv1.weight" in str(caught.value)

    report = load_weights_file(model, saved(tmp_path, sb18 | {"fc.bias": torch.zeros(1)})).to_dict()
    assert report["format"] == "simple_baseline"
    assert set(report["matched"]) == set(sb18)
    assert report["counts"] == {
        "matched": len(sb18),
        "missing": 0,
        "missing_allowed": 0,
        "unexpected": 0,
        "wrong_shape": 0,
        "not_finite": 0,
        "skipped": 1,
    }


@pytest.mark.parametrize(
    "content",
    [
        {"state_dict": {"conv1.weight": torch.zeros(1), "meta": argparse.Namespace()}},
        {"conv1.weight": torch.zeros(1), "best": 0.7},
    ],
)
def test_entries_that_are_no_tensors_are_named(tmp_path, content):
    with pytest.raises(
        CheckpointError, match="1 entries of its state dict are not tensors: '(meta|best)'"
    ):
        read_weights(saved(tmp_path, content))
