import pytest
import torch

from keypoint.blocks.build import BLOCKS
from keypoint.errors import ConfigError
from keypoint.models import SITES, create_model


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
        (
            {"blocks": {"deconv4": "nl"}},
            "blocks at deconv4: .*no submodule 'deconv4'; did you mean .*own sites are",
        ),
        ({"blocks": {"deconv1": {"groups": 3}}}, "'type'"),
        ({"blocks": {"deconv1": {"type": "srl_fft", "goups": 3}}}, "blocks at deconv1: .*goups"),
        ({"blocks": {"deconv1": {"type": "srl_fft", "groups": 7}}}, "blocks at deconv1: .*groups"),
        (
            {"blocks": {"deconv1": {"type": "nl", "dims": 3}}},
            "blocks at deconv1: dims is derived from the net",
        ),
        (
            {"blocks": {"layer3.0": {"type": "nl", "frames": 1}}},
            r"blocks at layer3.0: frames is derived",
        ),
    ],
)
def test_what_does_not_exist_is_refused(options, text):
    with pytest.raises(ConfigError, match=text):
        create_model(**options)
