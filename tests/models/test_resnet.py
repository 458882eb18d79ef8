"""Our residual units and encoders against torchvision's: names, random numbers, maps."""

import copy

import pytest
import torch
import torchvision

from keypoint.models.encoder import SIZES, resnet_encoder
from keypoint.models.hrnet import BasicBlock, Bottleneck
from keypoint.models.names import ENCODERS, TINY

NAMES = [name for name in ENCODERS if name != TINY]


def torchvisions(name, replace=None):
    return torchvision.models.get_model(
        name, weights=None, replace_stride_with_dilation=replace
    ).eval()


@pytest.mark.parametrize(
    ("name", "stride", "replace"),
    [
        ("resnet18", 32, None),
        ("resnet50", 8, [False, True, True]),
    ],
)
@torch.no_grad()
def test_the_same_network_of_a_seed_as_torchvisions_and_the_same_maps(name, stride, replace):
    torch.manual_seed(0)
    theirs, next_theirs = torchvisions(name, replace), torch.rand(1)
    torch.manual_seed(0)
    ours, channels = resnet_encoder(name, stride, dilated=replace is not None)
    assert torch.equal(torch.rand(1), next_theirs)
    expected = {n: t for n, t in theirs.state_dict().items() if not n.startswith("fc.")}
    assert list(ours.state_dict()) == list(expected)
    for tensor, other in zip(ours.state_dict().values(), expected.values(), strict=True):
        assert torch.equal(tensor, other)
    x = same = torch.randn(2, 3, 38, 30)
    for stage, module in ours.eval().items():
        x, same = module(x), getattr(theirs, stage)(same)
        assert torch.equal(x, same), stage
        assert x.shape[1] == channels.get(stage, 64)


@pytest.mark.parametrize("name", NAMES)
def test_every_size_is_torchvisions(name):
    with torch.device("meta"):
        ours, theirs = resnet_encoder(name)[0], torchvisions(name)
    shapes = {n: t.shape for n, t in theirs.state_dict().items() if not n.startswith("fc.")}
    assert {n: t.shape for n, t in ours.state_dict().items()} == shapes
    assert set(SIZES) == set(ENCODERS)


@pytest.mark.parametrize("unit", [BasicBlock, Bottleneck])
def test_gradients_of_a_strided_unit_are_torchvisions(unit):
    """In training mode, where the in-place sum and ReLU could spoil what backward needs."""
    twin = getattr(torchvision.models.resnet, unit.__name__)
    shortcut = torch.nn.Conv2d(6, 8 * unit.expansion, 1, stride=2)
    theirs = twin(6, 8, 2, shortcut).double()
    ours = unit(6, 8, 2, copy.deepcopy(shortcut)).double()
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 6, 5, 7, dtype=torch.float64)
    grads = []
    for module in (ours, theirs):
        given = x.clone().requires_grad_()
        module(given).square().sum().backward()
        grads.append([given.grad, *(p.grad for p in module.parameters())])
    for found, expected in zip(*grads, strict=True):
        assert torch.equal(found, expected)
