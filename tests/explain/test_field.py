"""Receptive fields against closed forms, and against RepLKNet's script, restated."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from keypoint.blocks import SRL
from keypoint.explain import receptive_field, rows_at
from keypoint.explain.field import BELONGS, SHARES, ReceptiveField

SIZE = (31, 37)


def stack(layers, kernel=3, stride=1):
    """Plain convolutions of ones, one channel."""
    pad = kernel // 2
    net = nn.Sequential(
        *(nn.Conv2d(1, 1, kernel, stride, padding=pad, bias=False) for _ in range(layers))
    )
    for conv in net:
        nn.init.ones_(conv.weight)
    return net


def power(layers, length, kernel=3):
    """Of a line of ones: how often each pixel is counted, around the middle of the length."""
    line = np.ones(1)
    for _ in range(layers):
        line = np.convolve(line, np.ones(kernel))
    full = np.zeros(length)
    full[length // 2 - len(line) // 2 :][: len(line)] = line
    return full


@pytest.mark.parametrize(("layers", "kernel"), [(1, 3), (4, 3), (2, 7)])
def test_a_stack_of_ones_is_the_power_of_a_convolution(layers, kernel):
    expected = np.outer(*(power(layers, side, kernel) for side in SIZE))
    for protocol, sign in (("luo", 1), ("replk", 0)):
        inputs = torch.rand(3, 1, *SIZE) - (0.5 if sign else 0)
        field = receptive_field(stack(layers, kernel), inputs, protocol=protocol)
        assert np.array_equal(field.scores[0], expected)
        assert field.theoretical_size == 1 + layers * (kernel - 1)
        assert field.size == math.sqrt((expected > BELONGS * expected.max()).sum())
        assert field.ratio == field.size / field.theoretical_size
        assert (field.centre, field.inputs) == ((15, 18), 3)


def test_strides_count_by_those_before_them():
    field = receptive_field(stack(3, 3, stride=2), torch.randn(1, 1, 64, 48), at=(4, 3))
    assert field.theoretical_size == 1 + 2 + 2 * 2 + 2 * 4
    assert field.centre == (32, 24)
    assert field.scores[0, 32, 24] > 0
    assert field.scores[0, 32 - 7, 24 - 7] > 0 == field.scores[0, 32 - 8, 24]


def test_many_layers_are_a_gaussian():
    """Luo et al.: variance n (k^2 - 1) / 12 along each axis."""
    layers = 24
    sigma = math.sqrt(layers * (9 - 1) / 12)
    net = stack(layers)
    for conv in net:
        nn.init.constant_(conv.weight, 1 / 9)
    field = receptive_field(net, torch.randn(1, 1, 61, 61))
    # exp(-r^2 / 2 sigma^2) > limit is a disc.
    assert field.size == pytest.approx(math.sqrt(2 * math.pi * math.log(1 / BELONGS)) * sigma, 0.02)
    for share, side, _ in field.squares():
        held = [math.erf((radius + 0.5) / sigma / math.sqrt(2)) ** 2 for radius in range(31)]
        assert side == 2 * next(r for r, value in enumerate(held) if value > share) + 1


def linear_srl(size, w):
    """SRL whose ReLU is open: y = x + alpha f^-1(w f(x)) + a constant; w is (H, W // 2 + 1)."""
    block = SRL(1, size=size, ratio=1, groups=1).double().eval()
    phi = block.phi
    for conv in (phi.reduce, phi.expand):
        conv.weight.data = torch.eye(2, dtype=torch.float64)[:, :, None, None]
    for norm in (phi.reduce_norm, phi.expand_norm):
        norm.eps = 0.0
    phi.relu.weight.data = torch.tensor(w)
    phi.relu.bias.data.fill_(1e3)
    nn.init.constant_(block.alpha, 0.5)
    return block


def test_a_fourier_block_sees_all_by_the_transform_of_its_weights():
    height, width = 6, 9  # odd: no column of its own mirror but the first
    rng = np.random.default_rng(0)
    w = rng.normal(size=(height, width // 2 + 1))
    w[:, 0] = (w[:, 0] + w[-np.arange(height), 0]) / 2
    at, kernel = (2, 5), np.zeros((height, width))
    for u in range(height):
        for v in range(width):
            weight = w[u, v] if v <= width // 2 else w[-u, width - v]
            for y in range(height):
                for x in range(width):
                    angle = 2 * math.pi * (u * (y - at[0]) / height + v * (x - at[1]) / width)
                    kernel[y, x] += weight * math.cos(angle) / (height * width)
    block = linear_srl((height, width), w)
    inputs = torch.randn(2, 1, height, width, dtype=torch.float64)
    itself = np.zeros((height, width))
    itself[at] = 1
    field = receptive_field(block, inputs, at=at)
    assert field.scores[0] == pytest.approx(np.abs(itself + 0.5 * kernel), abs=1e-12)
    assert field.theoretical_size == pytest.approx(math.sqrt(height * width))
    (row,) = rows_at(block, inputs[:1], at)
    assert row.weights[0] == pytest.approx(np.abs(0.5 * kernel), abs=1e-12)


def test_parts_of_the_spectrum_that_weigh_apart_see_the_mirrored_place():
    """Real part by a = 1, imaginary part by b = 0.5: (a + b) / 2 at i and (a - b) / 2 at -i."""
    block = linear_srl((5, 7), np.ones((5, 4)))
    block.phi.expand.weight.data[1, 1] = 0.5
    (row,) = rows_at(block, torch.randn(1, 1, 5, 7, dtype=torch.float64), (1, 5))
    expected = np.zeros((1, 5, 7))
    expected[0, 1, 5], expected[0, -1, -5] = 0.5 * 0.75, 0.5 * 0.25
    assert row.weights == pytest.approx(expected, abs=1e-12)


def test_the_mean_frequency_alone_is_an_even_field():
    w = np.zeros((8, 5))
    w[0, 0] = 1
    block = linear_srl((8, 8), w)
    (row,) = rows_at(block, torch.randn(1, 1, 8, 8, dtype=torch.float64), (3, 3))
    assert row.weights == pytest.approx(np.full((1, 8, 8), 0.5 / 64), abs=1e-15)
    assert row.entropy == pytest.approx(1)
    even = ReceptiveField(np.ones((1, 9, 9)), (4, 4), 1)
    assert (even.size, even.ratio) == (9, 1)
    assert [(s.side, s.area) for s in even.squares((0.1, 0.5, 0.99))] == [
        (3, 9 / 81),
        (7, 49 / 81),
        (9, 1),
    ]
    none = ReceptiveField(np.zeros((2, 9, 9)), (4, 4), 1)
    assert (none.size, none.ratio, none.squares(), none.frames.tolist()) == (0, 0, [], [0, 0])


def script(model, samples):
    """RepLKNet's erf/visualize_erf.py and analyze_erf.py, restated: the map, and (side, area)."""
    total = 0
    for sample in samples:
        sample = sample[None].clone().requires_grad_()
        out = model(sample)
        middle = out[:, :, out.shape[2] // 2, out.shape[3] // 2].relu().sum()
        total = total + torch.autograd.grad(middle, sample)[0].relu().sum((0, 1)).numpy()
    mean = total / len(samples)
    data = np.log10(mean + 1)
    data = data / data.max()
    height, width = data.shape
    found = []
    for share in SHARES:
        for i in range(1, height // 2):
            y, x = height // 2, width // 2
            if data[y - i : y + 1 + i, x - i : x + 1 + i].sum() / data.sum() > share:
                found.append((2 * i + 1, (2 * i + 1) ** 2 / height / width))
                break
    return mean, found


def test_replknet_protocol_is_its_script():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 6, 5, padding=2)
    ).eval()
    images = torch.randn(4, 3, 40, 46)
    mean, squares = script(net, images)
    field = receptive_field(net.train(), images, protocol="replk")
    assert net.training
    assert net[1].training
    assert field.scores[0] == pytest.approx(mean, rel=1e-5, abs=1e-9)
    assert len(squares) == 4
    found = [(side, area) for _, side, area in field.squares(log=True)]
    assert np.array(found) == pytest.approx(np.array(squares))


@pytest.mark.parametrize(("protocol", "value"), [("luo", 4 / 3), ("replk", 2)])
def test_colors_are_a_mean_of_sizes_or_a_sum_of_what_is_positive(protocol, value):
    conv = nn.Conv2d(3, 2, 1)
    conv.weight.data = torch.tensor([[1.0, 2, 0], [0, -1, -2]])[..., None, None]
    conv.bias.data.fill_(100)
    field = receptive_field(conv, torch.randn(4, 3, 5, 5), protocol=protocol)
    assert field.scores[0, 2, 2] == pytest.approx(value)
    assert field.scores.sum() == pytest.approx(value)


def test_the_site_is_taken_before_a_layer_that_writes_into_it():
    conv = nn.Conv2d(1, 1, 3, padding=1)
    net = nn.Sequential(conv, nn.ReLU(inplace=True), nn.Flatten())
    field = receptive_field(net, torch.randn(5, 1, 9, 9), "0")
    expected = conv.weight[0, 0].abs().detach().numpy()
    assert field.scores[0, 3:6, 3:6] == pytest.approx(expected, rel=1e-6)
    assert all(parameter.grad is None for parameter in net.parameters())


class Folding(nn.Module):
    """Frames in the batch, as C2D has them."""

    def __init__(self):
        super().__init__()
        self.conv = stack(1)

    def forward(self, clips):
        return self.conv(clips.transpose(1, 2).flatten(0, 1)).mean()


def test_clips_have_a_share_for_each_frame():
    mix = nn.Conv3d(1, 1, (3, 1, 1), padding=(1, 0, 0), bias=False)
    mix.weight.data = torch.tensor([1.0, 2.0, 5.0]).reshape(1, 1, 3, 1, 1)
    field = receptive_field(mix, torch.randn(2, 1, 5, 7, 7))
    assert field.frames == pytest.approx([0, 1 / 8, 2 / 8, 5 / 8, 0])
    assert field.image[3, 3] == 8
    assert (field.size, field.scores.shape) == (1, (5, 7, 7))
    folded = receptive_field(Folding(), torch.randn(1, 1, 4, 7, 7), "conv", at=(1, 2, 3))
    assert folded.frames.tolist() == [0, 1, 0, 0]
    assert folded.scores[1].sum() == 9


def test_what_is_refused():
    net, image = stack(2), torch.randn(1, 1, 9, 9)
    with pytest.raises(ValueError, match="protocol='erf' must be one of luo, replk"):
        receptive_field(net, image, protocol="erf")
    with pytest.raises(ValueError, match="has no submodule '3'; it has"):
        receptive_field(net, image, "3")
    with pytest.raises(ValueError, match=r"at=\(9, 0\) must be \(row, column\) of a map of \(9, 9"):
        receptive_field(net, image, at=(9, 0))
    with pytest.raises(ValueError, match=r"give B C H W or B C T H W"):
        receptive_field(net, image[:0])
    with pytest.raises(ValueError, match=r"the network gives \(1, 81\); name a submodule"):
        receptive_field(nn.Sequential(net, nn.Flatten()), image)
    with pytest.raises(ValueError, match="'spare.0' is not called"):
        receptive_field(Unused(), image, "spare.0")


class Unused(nn.Module):
    def __init__(self):
        super().__init__()
        self.spare = nn.Sequential(nn.Conv2d(1, 1, 1))

    def forward(self, x):
        return x
