"""Blocks inserted into networks for video: maps with folded frames, and clips."""

import functools

import pytest
import torch
from torch import nn

from keypoint.blocks import RCCA, insert_blocks
from keypoint.blocks.build import BLOCKS
from tests.blocks.test_insert import blocks_of, rand

FRAMES = 4


class Folding(nn.Module):
    """As C2D: 2-D layers on B*T C H W, the frames pooled in pairs after the first."""

    def __init__(self, pool=False):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.stage = nn.Conv2d(16, 16, 3, padding=1)
        self.pool = pool

    def forward(self, clip):
        batch, _, frames = clip.shape[:3]
        x = self.stem(clip.transpose(1, 2).flatten(0, 1))  # BT C H W
        if self.pool:
            x = x.unflatten(0, (batch, frames // 2, 2)).amax(2).flatten(0, 1)
        return self.stage(x).unflatten(0, (batch, -1)).mean((1, 3, 4))


CLIP = rand(2, 3, FRAMES, 12, 10)


@torch.no_grad()
def opened(net):
    for parameter in blocks_of(net).parameters():
        parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return net


@functools.cache
def folding():
    torch.manual_seed(0)
    return Folding().eval()


@pytest.mark.parametrize("block", BLOCKS)
@torch.no_grad()
def test_folded_frames_become_clips(block):
    """Against a clip filled frame by frame; of rcca against each frame alone."""
    torch.manual_seed(0)
    net = Folding().eval()
    expected, folded = net(CLIP), net.stem(CLIP.transpose(1, 2).flatten(0, 1))
    insert_blocks(net, block, after=["stem"], example=CLIP, frames=FRAMES)
    assert torch.equal(net(CLIP), expected)
    opened(net).double()
    assert not torch.allclose(net(CLIP.double()).float(), expected)
    own, folded = net.stem.block, folded.double()
    if block == "rcca":
        assert isinstance(own, RCCA)
        after = torch.stack([own(frame[None])[0] for frame in folded])
    else:
        clips = folded.new_empty(2, 16, FRAMES, 6, 5)
        for b in range(2):
            for t in range(FRAMES):
                clips[b, :, t] = folded[b * FRAMES + t]
        clips = own(clips)
        after = torch.stack([clips[b, :, t] for b in range(2) for t in range(FRAMES)])
    given = net.stem.layout.through(own, folded)
    torch.testing.assert_close(given, after, rtol=1e-12, atol=1e-12)


class Contiguous(nn.Module):
    """A block that does not keep strides."""

    def forward(self, x):
        return x.contiguous()


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@torch.no_grad()
def test_folded_frames_keep_their_strides(memory_format):
    layout = insert_blocks(Folding(), "nl", after=["stem"], example=CLIP, frames=4).stem.layout
    for batch in (4, 8):
        x = rand(batch, 16, 6, 5).contiguous(memory_format=memory_format)
        for block in (nn.ReLU(), Contiguous()):
            assert layout.through(block, x).stride() == x.stride()
    assert layout.through(nn.Identity(), x[:0]).shape == (0, 16, 6, 5)


def test_pooled_frames_take_a_call_of_their_own():
    net = Folding(pool=True).eval()
    insert_blocks(net, "srl_fft", after=["stem"], example=CLIP, frames=4)
    insert_blocks(net, "srl_fft", after=["stage"], example=CLIP, frames=2)
    assert [block.frames for block in blocks_of(net)] == [4, 2]
    net(CLIP[:1])
    message = (
        r"inserted for clips of 4 frames folded into the batch, B\*4 C H W, got \(6, 16, 6, 5\), and 6 "
        r"is no multiple of 4: run whole clips of 4 frames, or build the network again"
    )
    with pytest.raises(ValueError, match=message):
        net(rand(1, 3, 6, 12, 10))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"frames": 3}, r"'stem' \(Conv2d\): it gives a batch of 8, \(8, 16, 6, 5\), no multiple of frames"
         r"=3\. A block takes one map B\*3 C H W, the frames of a clip folded into the batch\. Submod"),
        ({"frames": 0}, r"frames=0 must be the number of frames of a clip where the block stands"),
        ({"frames": 4.0}, r"frames=4.0 must be the number of frames"),
        ({"frames": 4, "layout": "bhwc"}, r"frames=4 is for maps B\*T C H W: leave out layout='bhwc'"),
        ({"frames": 4, "grid": (6, 5)}, r"frames=4 is for maps B\*T C H W: leave out grid=\(6, 5\)"),
    ],
)  # fmt: skip
def test_frames_that_do_not_fit(words, message):
    with pytest.raises(ValueError, match=message):
        insert_blocks(folding(), "srl_fft", after=["stem"], example=CLIP, **words)


def test_frames_for_a_map_that_has_them():
    with pytest.raises(
        ValueError, match=r"five axes, .*, which shows its frames: leave frames out"
    ):
        insert_blocks(nn.Sequential(nn.Conv3d(3, 16, 1)), "nl", after=["0"], example=CLIP, frames=4)
