"""Encoders of stride 16 and 8, plain and dilated: the SRL paper's table 4."""

import pytest
import torch
from torch import nn

from keypoint.checkpoint.file import checkpoint_of, load_model, save_checkpoint
from keypoint.config.load import config_from_dict
from keypoint.errors import ConfigError
from keypoint.models import create_model
from keypoint.models.complexity import Count, count_model
from keypoint.models.names import STRIDES_OF_SITES
from keypoint.pose.skeleton import load_skeleton
from tests.calling import command


def twins(encoder, **options):
    """A network of stride 32 and another form of it, with the same random weights and norms."""
    torch.manual_seed(0)
    plain = create_model(encoder, input_size=(64, 96), num_keypoints=5).eval()
    for module in plain.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    other = create_model(encoder, input_size=(64, 96), num_keypoints=5, **options).eval()
    state = {k: v for k, v in plain.state_dict().items() if not k.startswith("deconv_layers")}
    missing, unexpected = other.load_state_dict(state, strict=False)
    assert not unexpected  # the encoder's names and shapes are the same
    assert all(name.startswith("deconv_layers.") for name in missing)
    return plain.double(), other.double()


def encoder_maps(model, images):
    x = model.maxpool(model.relu(model.bn1(model.conv1(images))))
    maps = []
    for site in ("layer1", "layer2", "layer3", "layer4"):
        x = getattr(model, site)(x)
        maps.append(x)
    return maps


@torch.no_grad()
@pytest.mark.parametrize("encoder", ["resnet50", "tiny"])
@pytest.mark.parametrize("stride", [8, 16])
def test_a_dilated_encoder_gives_the_strided_ones_map_and_the_places_between(stride, encoder):
    """The meaning of "a trous": every second (fourth) place is what the stride would give."""
    plain, dilated = twins(encoder, encoder_stride=stride, dilated=True)
    images = torch.randn(2, 3, 64, 96, dtype=torch.float64)
    for strided, dense in zip(
        encoder_maps(plain, images), encoder_maps(dilated, images), strict=True
    ):
        step = dense.shape[-1] // strided.shape[-1]
        assert dense.shape[-2:] == (strided.shape[-2] * step, strided.shape[-1] * step)
        torch.testing.assert_close(dense[..., ::step, ::step], strided, rtol=1e-9, atol=1e-9)
    assert dense.shape[-1] == 96 // stride


@torch.no_grad()
@pytest.mark.parametrize("encoder", ["resnet18", "resnet50", "tiny"])
def test_a_stride_that_is_left_out_changes_nothing_else(encoder):
    plain, dense = twins(encoder, encoder_stride=8)
    images = torch.randn(1, 3, 64, 96, dtype=torch.float64)
    before, after = encoder_maps(plain, images), encoder_maps(dense, images)
    assert torch.equal(before[1], after[1])
    # Up to its first 3x3 convolution a stage sees the same neighbours as with its stride.
    depth = 2 if encoder == "resnet50" else 1
    first = [
        nn.Sequential(*list(model.layer3[0].children())[: 2 * depth])(before[1])
        for model in (plain, dense)
    ]
    torch.testing.assert_close(first[1][..., ::2, ::2], first[0], rtol=1e-12, atol=1e-12)
    for name, module in dense.named_modules():
        if isinstance(module, nn.Conv2d):
            own = plain.get_submodule(name)
            assert module.dilation == (1, 1)
            in_place = name.startswith(("layer3", "layer4"))
            assert module.stride == ((1, 1) if in_place else own.stride)


@pytest.mark.parametrize(("stride", "deconvs"), [(32, 3), (16, 2), (8, 1)])
def test_the_heatmap_stays_a_quarter(stride, deconvs):
    model = create_model("resnet18", input_size=(64, 96), encoder_stride=stride).eval()
    names = {name.split(".")[1] for name in model.state_dict() if name.startswith("deconv_layers.")}
    assert names == {str(3 * i + j) for i in range(deconvs) for j in (0, 1)}
    assert model.deconv_sites == ("deconv1", "deconv2", "deconv3")[:deconvs]
    x = torch.randn(1, 3, 64, 96)
    sizes = {}
    hooks = [
        getattr(model, site).register_forward_hook(
            lambda m, i, out, site=site: sizes.update({site: 96 // out.shape[-1]})
        )
        for site in ("layer1", "layer2", "layer3", "layer4")
    ] + [
        model.deconv_layers[3 * i + 2].register_forward_hook(
            lambda m, i, out, site=site: sizes.update({site: 96 // out.shape[-1]})
        )
        for i, site in enumerate(model.deconv_sites)
    ]
    assert model(x).shape == (1, 17, *model.heatmap_size) == (1, 17, 16, 24)
    assert sizes == STRIDES_OF_SITES[stride]
    for hook in hooks:
        hook.remove()


def test_parameters_and_costs_of_table_4():
    """By hand: two deconvolutions less, layer3 on 4 and layer4 on 16 times as many places."""
    size = (384, 288)
    plain = count_model("resnet50", input_size=size)
    two_deconvs = 2 * (256 * 256 * 16 + 2 * 256)
    for dilated in (False, True):
        parts = count_model("resnet50", input_size=size, encoder_stride=8, dilated=dilated)
        assert list(parts) == ["stem", *(f"layer{i}" for i in (1, 2, 3, 4)), "deconv1", "head"]
        total = sum(parts.values(), Count.zero())
        assert total.paper.parameters == total.true.parameters == 33_999_697 - two_deconvs
        assert parts["layer2"] == plain["layer2"]
        # The first 1x1 convolution of a stage stands before its stride: its places grow by less.
        for name, factor, before, conv1 in (
            ("layer3", 4, 1, 512 * 256),
            ("layer4", 16, 4, 1024 * 512),
        ):
            positions = (384 // 8) * (288 // 8)
            once = positions // before * conv1  # at the stride that the stage got its map with
            rest = plain[name].true.multiply_adds - once
            expected = factor * rest + positions * conv1
            assert parts[name].true.multiply_adds == expected
        assert parts["deconv1"].true.multiply_adds == 2048 * 256 * 16 * 48 * 36


def test_blocks_of_table_4_are_built_for_their_maps():
    blocks = dict.fromkeys(("layer2", "layer3", "layer4", "deconv1"), "srl_fft")
    options = {"input_size": (96, 64), "encoder_stride": 8}
    model = create_model("resnet18", blocks=blocks, **options).eval()
    sizes = {site: block.transform.size for site, block in model.blocks.items()}
    assert sizes == {"layer2": (12, 8), "layer3": (12, 8), "layer4": (12, 8), "deconv1": (24, 16)}
    plain = create_model("resnet18", **options).eval()
    plain.load_state_dict(model.state_dict(), strict=False)
    x = torch.randn(1, 3, 96, 64)
    assert torch.equal(model(x), plain(x))  # a new block is the identity
    tiny = create_model("tiny", blocks=blocks, **options)
    assert tiny.blocks["deconv1"](torch.randn(1, 64, 24, 16)).shape == (1, 64, 24, 16)
    by_name = create_model("resnet18", blocks="srl_fft", **options)
    assert list(by_name.blocks) == ["deconv1"]  # a name alone is for every deconvolution there is


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"encoder_stride": 4}, r"encoder_stride=4 must be one of \[32, 16, 8\]"),
        ({"dilated": True}, "dilated=true has no effect with encoder_stride=32"),
        (
            {"encoder": "resnet18", "encoder_stride": 8, "dilated": True},
            "not possible with resnet18: of torchvision's only bottlenecks",
        ),
        (
            {"encoder": "tiny", "weights": "imagenet"},
            "encoder='tiny' has no such weights; give weights=None",
        ),
        (
            {"encoder_stride": 8, "blocks": {"deconv2": "nl"}},
            r"site 'deconv2'; sites of an encoder of this stride are .*'layer4', 'deconv1'\]",
        ),
        ({"encoder_stride": 8, "input_size": (100, 64)}, "both positive multiples of 8"),
    ],
)
def test_what_does_not_fit_is_refused(options, text):
    with pytest.raises(ConfigError, match=text):
        create_model(**options)


@torch.no_grad()
def test_a_checkpoint_brings_its_form_along(tmp_path):
    given = {
        "encoder": "resnet50",
        "input_size": [64, 64],
        "encoder_stride": 8,
        "dilated": True,
        "blocks": {"layer3": "srl_fft", "deconv1": "nl"},
    }
    config = config_from_dict({"model": given}, "test")
    model = create_model(**{**given, "input_size": (64, 64)}).eval()
    content = checkpoint_of(model, config, load_skeleton("coco17"), {})
    save_checkpoint(tmp_path / "last.pt", content)
    restored = load_model(tmp_path / "last.pt").model
    x = torch.randn(1, 3, 64, 64)
    assert torch.equal(restored(x), model(x))
    del content["config"]["model"]["encoder_stride"], content["config"]["model"]["dilated"]
    del content["config"]["model"]["blocks"]
    content["model"] = dict(create_model("resnet50", input_size=(64, 64)).state_dict())
    save_checkpoint(tmp_path / "older.pt", content)  # from before these keys: stride 32
    assert load_model(tmp_path / "older.pt").model.encoder_stride == 32


@torch.no_grad()
def test_bare_weights_are_tested_in_the_configs_form(tmp_path):
    torch.manual_seed(0)
    options = {"input_size": (64, 64), "encoder_stride": 8}
    plain = create_model("resnet50", **options).eval()
    torch.save(plain.state_dict(), tmp_path / "weights.pth")
    overrides = ["model.encoder=resnet50", "model.input_size=[64,64]", "model.blocks=none"]
    x = torch.randn(1, 3, 64, 64)
    outputs = []
    for form in ("res50_384x288_stride8.yaml", "res50_384x288_stride8_dilated.yaml"):
        opened = command("test").open_network(tmp_path / "weights.pth", form, overrides)[0].eval()
        outputs.append(opened(x))
    assert torch.equal(outputs[0], plain(x))
    assert not torch.allclose(outputs[1], outputs[0], rtol=1e-2, atol=1e-7)
    dilated = create_model("resnet50", **options, dilated=True).eval()
    dilated.load_state_dict(plain.state_dict())
    assert torch.equal(outputs[1], dilated(x))


def test_the_tiny_encoder_starts_without_weights():
    config = config_from_dict({"model": {"encoder": "tiny"}}, "test")
    assert config.model.weights is None
    with pytest.raises(
        ConfigError, match=r"model\.encoder=tiny has no ImageNet weights; give none"
    ):
        config_from_dict({"model": {"encoder": "tiny", "weights": "imagenet"}}, "test")
    parts = count_model("tiny", input_size=(256, 192))
    total = sum(parts.values(), Count.zero())
    assert total.true.parameters == 573_089
