"""A folded network answers as the whole one does."""

import copy

import pytest
import torch
from torch import nn

from keypoint.models import create_model
from keypoint.models.fold_norms import fold_norms


def trained(**options):
    """With statistics, factors and shifts that all differ, as a training leaves them."""
    torch.manual_seed(0)
    model = create_model(**options).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.5)
            nn.init.uniform_(module.running_var, 0.3, 3)
            nn.init.uniform_(module.weight, 0.3, 1.5)
            nn.init.normal_(module.bias, std=0.5)
        if isinstance(module, nn.ConvTranspose2d):
            nn.init.normal_(module.weight, std=0.05)
    nn.init.normal_(model.final_layer.weight, std=1.0)
    return model


@pytest.mark.parametrize(
    "options",
    [
        {"encoder": "resnet18", "input_size": (64, 64)},
        {"encoder": "resnet50", "input_size": (64, 32)},
        {"encoder": "resnet18", "input_size": (64, 64), "blocks": {"deconv1": "srl_fft", "layer3": "nl"}},
        {"encoder": "resnet50", "input_size": (64, 64), "encoder_stride": 8, "dilated": True},
    ],
    ids=["basic", "bottleneck", "blocks", "dilated"],
)  # fmt: skip
def test_the_output_is_the_same(options):
    model = trained(**options).double()
    folded = copy.deepcopy(model)
    fold_norms(folded)
    outside = [m for name, m in folded.named_modules() if "blocks" not in name]
    assert not any(isinstance(module, nn.BatchNorm2d) for module in outside)
    images = torch.randn(2, 3, *model.input_size, dtype=torch.float64)
    with torch.no_grad():
        expected = model(images)
        assert expected.abs().max() > 0.1
        torch.testing.assert_close(folded(images), expected, rtol=1e-9, atol=1e-9)


def test_a_block_between_convolution_and_norm_keeps_them_apart():
    blocks = {"conv1": "nl", "layer2.0.bn1": "nl", "deconv_layers.3": "nl"}
    model = trained(encoder="resnet18", input_size=(64, 64), blocks=blocks).double()
    folded = copy.deepcopy(model)
    fold_norms(folded)
    left = [name for name, m in folded.named_modules() if isinstance(m, nn.BatchNorm2d)]
    assert {name for name in left if "block" not in name} == {
        "bn1", "layer2.0.bn1.site", "deconv_layers.4"
    }  # fmt: skip
    images = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(folded(images), model(images), rtol=1e-9, atol=1e-9)


def test_to_rounding_in_single_precision():
    model = trained(encoder="resnet18", input_size=(64, 64))
    folded = copy.deepcopy(model)
    fold_norms(folded)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = model(images)
        error = (folded(images) - expected).abs().max() / expected.abs().max()
    assert 0 < error < 2e-6


def test_a_network_in_training_is_refused():
    with pytest.raises(AssertionError, match="cannot be folded"):
        fold_norms(create_model("resnet18", input_size=(64, 64)).train())
