"""The video block against its restatement, and its refusals."""

import re

import numpy as np
import pytest
import torch

from keypoint.blocks.spectral.srl_video import SRLVideo
from tests.blocks.common import randomised
from tests.reference import srl as reference

CHANNELS, FRAMES, SIZE = 4, 3, (5, 6)


def block(**options):
    torch.manual_seed(0)
    return randomised(SRLVideo(CHANNELS, frames=FRAMES, size=SIZE, **options))


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


@pytest.mark.parametrize("ops", ["time", "channel+time"])
def test_conv_t_refuses_another_number_of_frames(ops):
    message = (
        "SRLVideo takes clips of 3 frames, got (1, 4, 8, 5, 6) of 8: its conv_t has a weight for each pair "
        "of 3 frames. In a network, insert the blocks with an example as long as its clips; alone, cut the clip "
        "to 3 frames, or build the block again with frames=8"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        block(ops=ops)(torch.zeros(1, 4, 8, *SIZE))


@torch.no_grad()
def test_channels_alone_take_any_number_of_frames():
    """Each frame by itself, as in the clip of the length it was built for."""
    srl = block(ops="channel")
    clip = torch.randn(2, CHANNELS, 7, *SIZE, dtype=torch.float64)
    expected = [srl(clip[:, :, first : first + 3]) for first in (0, 3, 4)]
    expected[1] = expected[1][:, :, :1]
    torch.testing.assert_close(srl(clip), torch.cat(expected, dim=2), rtol=0, atol=1e-12)
