"""MFNet-3D against a restatement of the paper, fiber by fiber."""

import pytest
import torch

from keypoint.action import create_model
from keypoint.errors import ConfigError
from tests.action.networks.test_c2d import random_norms
from tests.reference.mfnet import mfnet


@pytest.mark.parametrize(("frames", "size"), [(4, (33, 48)), (3, (32, 32))])
def test_is_the_papers_network(frames, size):
    torch.manual_seed(0)
    net = random_norms(create_model("mfnet", 5, frames, input_size=size)).double().eval()
    clips = torch.randn(2, 3, frames, *size, dtype=torch.float64)
    torch.testing.assert_close(net(clips), mfnet(clips, net.state_dict()), rtol=1e-10, atol=1e-10)


def test_maps_are_those_of_the_table():
    """T, H and W after each unit, which blocks are built for."""
    for frames, size in ((16, (224, 224)), (5, (45, 70))):
        with torch.device("meta"):
            net = create_model("mfnet", 5, frames, input_size=size)
            x = net.maxpool(net.conv1(net.example(2)))
            for site, at_site in net.maps.items():
                x = net.get_submodule(site)(x)
                assert x.shape[1:] == (at_site.channels, at_site.frames, *at_site.size), site
        assert len(net.maps) == 16


def test_starts_as_the_authors_do():
    net = create_model("mfnet", 7)
    weight = net.conv4.B02.conv_i1.conv.weight.detach()
    bound = (6 / (384 + 96)) ** 0.5  # Xavier-uniform
    assert weight.abs().max().item() == pytest.approx(bound, rel=0.01)
    assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.02)
    assert not net.classifier.bias.any()


def test_every_parameter_gets_a_gradient():
    torch.manual_seed(0)
    net = create_model("mfnet", 3, 2, input_size=(32, 32), dropout=0.0)
    net(torch.randn(2, 3, 2, 32, 32)).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())


def test_the_form_is_c2ds():
    with pytest.raises(ConfigError, match="form=32x2 has no effect with network=mfnet"):
        create_model("mfnet", form="32x2")
