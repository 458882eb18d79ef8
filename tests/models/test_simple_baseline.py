import pytest
import torch
from torch import nn

from keypoint.blocks.build import BLOCKS
from keypoint.errors import ConfigError
from keypoint.models import SITES, create_model

CONV = (nn.Conv2d, nn.ConvTranspose2d)
COUNTED = (*CONV, nn.BatchNorm2d)


def papers_count(model):
    """Parameters of Conv and BatchNorm and multiply-adds, by hooks, as the SRL paper counts."""
    total = {"parameters": 0, "multiply_adds": 0}

    def count(module, _, output):
        total["parameters"] += sum(p.numel() for p in module.parameters())
        if isinstance(module, CONV):
            total["multiply_adds"] += module.weight.numel() * output.shape[-1] * output.shape[-2]

    hooks = [m.register_forward_hook(count) for m in model.modules() if isinstance(m, COUNTED)]
    with torch.device("meta"), torch.no_grad():
        model.eval()(torch.zeros(1, 3, *model.input_size))
    for hook in hooks:
        hook.remove()
    return total


@pytest.mark.parametrize(
    ("encoder", "parameters", "giga"),
    [
        ("resnet50", 33_999_697, {(256, 192): 8.99, (384, 288): 20.23, (512, 384): 35.96}),
        ("resnet101", 52_991_825, {(256, 192): 12.38, (384, 288): 27.85, (512, 384): 49.51}),
        ("resnet152", 68_635_473, {(256, 192): 15.76, (384, 288): 35.47, (512, 384): 63.06}),
    ],
)
def test_the_papers_parameters_and_multiply_adds(encoder, parameters, giga):
    """SRL paper, Table 2: 35.97 and 49.52 are printed where counting gives 35.96 and 49.51."""
    for size, printed in giga.items():
        with torch.device("meta"):
            model = create_model(encoder, input_size=size)
        total = papers_count(model)
        assert total["parameters"] == parameters
        assert total["multiply_adds"] / 2**30 == pytest.approx(printed, abs=0.0051)


def test_three_srl_blocks_by_the_papers_count():
    plain, with_blocks = create_model(), create_model(blocks="srl_fft")
    counted = [m for m in with_blocks.blocks.modules() if isinstance(m, COUNTED)]
    assert sum(p.numel() for m in counted for p in m.parameters()) == 102_912
    names = {name for name in with_blocks.state_dict() if not name.startswith("blocks.")}
    assert names == set(plain.state_dict())


@pytest.mark.parametrize("blocks", [None, "srl_fft", "srl_lo", "nl"])
def test_shapes_and_the_start(blocks):
    torch.manual_seed(0)
    plain = create_model("resnet18", input_size=(64, 96), num_keypoints=5).eval()
    model = create_model("resnet18", input_size=(64, 96), num_keypoints=5, blocks=blocks).eval()
    model.load_state_dict(plain.state_dict(), strict=False)
    images = torch.randn(2, 3, 64, 96)
    heatmaps = model(images)
    assert heatmaps.shape == (2, 5, 16, 24)
    assert torch.equal(heatmaps, plain(images))  # blocks start as the identity


def test_decoder_starts_as_the_reference_does():
    torch.manual_seed(0)
    model = create_model("resnet18")
    for module in (*model.deconv_layers[::3], model.final_layer):
        assert module.weight.std().item() == pytest.approx(0.001, rel=0.05)
        assert abs(module.weight.mean().item()) < 1e-4
    assert torch.equal(model.final_layer.bias, torch.zeros(17))
    norm = model.deconv_layers[1]
    assert (norm.weight == 1).all()
    assert (norm.bias == 0).all()


def test_names_are_the_released_files():
    state = create_model("resnet50").state_dict()
    for name in (
        "conv1.weight",
        "layer1.0.downsample.0.weight",
        "layer4.2.bn3.running_var",
        "deconv_layers.0.weight",
        "deconv_layers.1.bias",
        "deconv_layers.3.weight",
        "deconv_layers.6.weight",
        "deconv_layers.7.running_mean",
        "final_layer.weight",
        "final_layer.bias",
    ):
        assert name in state
    assert list(state["deconv_layers.0.weight"].shape) == [2048, 256, 4, 4]
    assert not any(name.startswith(("pixel", "fc", "blocks")) for name in state)


def test_a_block_fits_at_every_site():
    blocks = dict.fromkeys(SITES, "srl_fft")
    model = create_model("resnet18", input_size=(64, 64), blocks=blocks).eval()
    assert tuple(model.blocks) == SITES
    assert model(torch.randn(1, 3, 64, 64)).shape == (1, 17, 16, 16)


@pytest.mark.parametrize("block", BLOCKS)
def test_a_trained_network_runs_at_another_resolution(block):
    model = create_model("resnet18", input_size=(64, 32), blocks=block).eval()
    for name, parameter in model.blocks.named_parameters():
        if parameter.ndim <= 1 and "transform" not in name:
            torch.nn.init.normal_(parameter, 0.5, 0.1)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    model.set_input_size((96, 64))
    assert (model.input_size, model.heatmap_size) == ((96, 64), (24, 16))
    with torch.no_grad():
        heatmaps = model(torch.randn(2, 3, 96, 64))
    assert heatmaps.shape == (2, 17, 24, 16)
    assert heatmaps.isfinite().all()
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    with pytest.raises(ConfigError, match=r"input_size=\[100, 64\] must be"):
        model.set_input_size((100, 64))


def test_block_options_by_site():
    grouped = {"type": "srl_fft", "groups": 4}
    blocks = {"deconv1": "srl_fft", "layer3": {"type": "nl"}, "deconv3": grouped}
    model = create_model("resnet18", input_size=(64, 64), blocks=blocks)
    assert set(model.blocks) == {"deconv1", "layer3", "deconv3"}


def test_normalize_equals_torchvisions():
    from torchvision.transforms.functional import normalize

    crops = torch.randint(0, 256, (2, 64, 32, 3), dtype=torch.uint8)
    model = create_model("resnet18", input_size=(64, 32))
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    expected = normalize(crops.permute(0, 3, 1, 2) / 255, mean, std)
    torch.testing.assert_close(model.normalize(crops), expected)
    assert model.normalize(crops).is_contiguous(memory_format=torch.channels_last)
    model.color_order = "bgr"
    torch.testing.assert_close(model.normalize(crops), expected.flip(1))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"encoder": "resnet51"}, "encoder='resnet51' is unknown; choose one of"),
        ({"input_size": (250, 192)}, r"input_size=\[250, 192\] must be .* multiples of 32"),
        ({"num_keypoints": 0}, "num_keypoints=0"),
        ({"blocks": "srl_ftt"}, "blocks at deconv1: .*srl_ftt.*srl_fft"),
        ({"blocks": {"deconv4": "nl"}}, "site 'deconv4'; sites are"),
        ({"blocks": {"deconv1": {"groups": 3}}}, "'type'"),
        ({"blocks": {"deconv1": {"type": "srl_fft", "goups": 3}}}, "blocks at deconv1: .*goups"),
        ({"blocks": {"deconv1": {"type": "srl_fft", "groups": 7}}}, "blocks at deconv1: .*groups"),
    ],
)
def test_what_does_not_exist_is_refused(options, text):
    with pytest.raises(ConfigError, match=text):
        create_model(**options)
