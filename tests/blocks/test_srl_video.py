"""The video block against its restatement, and the parameters of the paper's tables 8 and 9."""

import numpy as np
import pytest
import torch
from torch import nn

from keypoint.blocks.spectral.srl_video import SRLVideo
from tests.reference import srl as reference

CHANNELS, FRAMES, SIZE = 4, 3, (5, 6)


def block(**options):
    torch.manual_seed(0)
    srl = SRLVideo(CHANNELS, frames=FRAMES, size=SIZE, **options).double().eval()
    for module in srl.modules():
        for name, value in module.named_buffers(recurse=False):
            if name == "running_mean":
                nn.init.normal_(value)
            if name == "running_var":
                nn.init.uniform_(value, 0.5, 2)
    for name, parameter in srl.named_parameters():
        if not name.startswith("transform"):
            nn.init.normal_(parameter)
    return srl


@pytest.mark.parametrize("ops", ["channel", "time", "channel+time"])
@pytest.mark.parametrize("transform", ["fft", "lo"])
def test_equals_the_paper(transform, ops):
    srl = block(transform=transform, ops=ops, groups=None if ops == "time" else 2)
    v = {name: value.numpy() for name, value in srl.state_dict().items()}

    def norm(name):
        parts = ("weight", "bias", "running_mean", "running_var")
        return [v.get(f"{name}.{part}") for part in parts]

    def phi(z):
        conv_t = v["conv_t.weight"][:, :, 0] if "time" in ops else None
        w, b = v["relu.weight"], v["relu.bias"]
        conv_c = v.get("channel.0.weight")
        return reference.video_phi(
            z, ops, conv_c, norm("channel.1"), conv_t, norm("norm_t"), w, b, 2
        )

    x = torch.randn(2, CHANNELS, FRAMES, *SIZE, dtype=torch.float64)
    expected = []
    for sample in x.numpy():
        if transform == "fft":
            expected.append(reference.srl_video_fft(sample, v["alpha"], phi))
        else:
            p, q = v["transform.P"], v["transform.Q"]
            expected.append(reference.srl_video_lo(sample, p, q, v["alpha"], phi))
    torch.testing.assert_close(srl(x), torch.from_numpy(np.stack(expected)), rtol=0, atol=1e-10)


def four_blocks(**options):
    """After each residual block of res3 and res4 of the C2D ResNet-18 (table 7)."""
    sites = [(128, (28, 28)), (128, (28, 28)), (256, (14, 14)), (256, (14, 14))]
    return [SRLVideo(channels, frames=4, size=size, **options) for channels, size in sites]


def paper_parameters(module):
    """Table 8 counts convolutions and norms, and P and Q with them."""
    counted = nn.Conv1d, nn.Conv2d, nn.BatchNorm2d
    layers = (p for m in module.modules() if isinstance(m, counted) for p in m.parameters())
    return sum(p.numel() for p in [*layers, *module.transform.parameters()])


@pytest.mark.parametrize(
    ("transform", "counted", "true"),
    # True: w and b of 2 (28 * 15 + 14 * 8) * 2 frequencies, or 2 (28 * 28 + 14 * 14) * 2; 4 alpha.
    [("fft", 88_128, 88_128 + 2_128 + 4), ("lo", 88_976, 88_976 + 3_920 + 4)],
)
def test_parameters_of_four_blocks(transform, counted, true):
    blocks = four_blocks(transform=transform)
    assert sum(map(paper_parameters, blocks)) == counted
    assert sum(p.numel() for b in blocks for p in b.parameters()) == true


def test_one_operation_alone_leaves_the_other_out():
    both = sum(map(paper_parameters, four_blocks()))
    channel = sum(map(paper_parameters, four_blocks(ops="channel")))
    time = sum(map(paper_parameters, four_blocks(ops="time")))
    assert channel + time == both
    assert time == 4 * 16 + 3_072  # four 4 x 4 convolutions and their norms


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ops": "space"}, r"ops='space' must be one of channel, time, channel\+time"),
        ({"ops": "time", "groups": 2}, r"groups=2 has no effect with ops='time'"),
        ({"frames": 0}, r"channels=8 and frames=0 must be at least 1"),
        ({"groups": 5}, r"groups=5 must divide the 16 spectral maps"),
        ({"transform": "dct2"}, r"transform='dct2' must be one of"),
    ],
)
def test_refuses_what_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        SRLVideo(8, **({"frames": 4, "size": (4, 4)} | options))


def test_refuses_another_number_of_frames():
    with pytest.raises(
        ValueError, match=r"takes B x 4 x 3 x H x W of floating point, got \(1, 4, 2, 5, 6\)"
    ):
        block(groups=2)(torch.zeros(1, 4, 2, *SIZE))
