"""Our residual units and encoders against torchvision's: names, random numbers, maps."""

import copy

import pytest
import torch
import torchvision

from keypoint.models.encoder import SIZES, resnet_encoder
from keypoint.models.hrnet import BasicBlock, Bottleneck
from keypoint.models.names import ENCODERS, TINY
from keypoint.models.resnet import ThinShortcut, resnet_stages

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


@pytest.mark.parametrize("stride", [1, 2])
def test_a_thin_shortcut_is_the_convolution(stride):
    """The same result and gradients; torch's own may end the process in backward, so in float64."""
    torch.manual_seed(0)
    x = torch.rand(2, 8, 7, 6, dtype=torch.float64, requires_grad=True)
    ours = ThinShortcut(8, 16, 1, stride=stride, bias=False).double()
    theirs = torch.nn.Conv2d(8, 16, 1, stride=stride, bias=False).double()
    theirs.load_state_dict(ours.state_dict())
    for one, other in zip(*(gradients(conv, x) for conv in (ours, theirs)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def gradients(conv, x):
    y = conv(x)
    return y, *torch.autograd.grad(y.square().sum(), [x, conv.weight])


def test_a_thin_network_has_thin_shortcuts_and_survives_a_step():
    """With torch's convolution this step ended the process on a CPU with AVX-512."""
    stages, _ = resnet_stages(BasicBlock, 8, (1, 1, 1, 1))
    net = torch.nn.Sequential(*stages.values()).to(memory_format=torch.channels_last)
    kinds = [type(net[i][0].downsample[0]) for i in (5, 6, 7)]
    assert kinds == [ThinShortcut, torch.nn.Conv2d, torch.nn.Conv2d]
    images = torch.rand(8, 3, 224, 224).contiguous(memory_format=torch.channels_last)
    for _ in range(3):
        net(images).square().mean().backward()
    assert all(p.grad.isfinite().all() for p in net.parameters())
