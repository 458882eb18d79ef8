"""Blocks by name, their options, and the parameters that must not decay."""

import pytest
from torch import nn

from keypoint.blocks import SRL, NonLocal, SRLVideo, build_block, no_weight_decay
from keypoint.blocks.build import CLIP_BLOCKS
from keypoint.blocks.spectral.orthogonal import LearnedOrthogonal
from keypoint.blocks.spectral.transforms import Fourier


def test_names():
    fft = build_block("srl_fft", 32, (6, 4), ratio=4, groups=4)
    assert isinstance(fft, SRL)
    assert isinstance(fft.transform, Fourier)
    assert fft.transform.size == (6, 4)
    assert fft.phi.reduce.weight.shape == (16, 16, 1, 1)  # 2K = 16 of 2C / 4 = 16
    lo = build_block("srl_lo", channels=32, size=(6, 4), retraction="polar")
    assert isinstance(lo.transform, LearnedOrthogonal)
    assert lo.transform.retraction == "polar"
    nl = build_block("nl", 32, (6, 4), pairwise="dot")
    assert isinstance(nl, NonLocal)
    assert nl.pairwise == "dot"
    assert build_block("a2", 32, (6, 4), maps=5).a_b_v.out_channels == 8 + 2 * 5
    assert build_block("cgnl", 32, (6, 4), order=2).order == 2
    assert build_block("rcca", 32, (6, 4), recurrence=3).recurrence == 3


@pytest.mark.parametrize("name", CLIP_BLOCKS)
def test_clips(name):
    block = build_block(name, 32, (6, 4), frames=4, dims=3)
    assert build_block(name, 32, (6, 4), frames=4).state_dict().keys() == block.state_dict().keys()
    if name.startswith("srl_"):
        assert isinstance(block, SRLVideo)
        assert (block.frames, block.transform.size) == (4, (6, 4))
    else:
        assert block.dims == build_block(name, 32, (6, 4), dims=3).dims == 3
        assert build_block(name, 32, (6, 4), dims=2).dims == 2


def test_unknown_name():
    with pytest.raises(ValueError, match=r"block 'srl_ftt' must be one of srl_fft, .*, pnl\.") as e:
        build_block("srl_ftt", 32, (6, 4))
    assert "Did you mean 'srl_fft'?" in str(e.value)


@pytest.mark.parametrize(
    ("given", "meant", "options"),
    [
        ("SRL_FFT", "srl_fft", {}),
        ("Nl", "nl", {}),
        ("NonLocal", "nl", {}),
        ("non_local", "nl", {"dims": 3}),
        ("DoubleAttention", "a2", {}),
        ("SRL", "srl_fft", {}),
        ("SRLVideo", "srl_fft", {"frames": 4}),
        ("RCCA", "rcca", {}),
        (NonLocal, "nl", {}),
    ],
)
def test_names_in_capitals_and_of_classes(given, meant, options):
    with pytest.raises(
        ValueError, match=rf"block {given!r} must be .*\. Did you mean '{meant}'\?$"
    ):
        build_block(given, 32, (6, 4), **options)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("nl", {"pairwis": "dot"}, r"'nl' has no option 'pairwis'; it takes inner, .*'pairwise'\?"),
        ("nl", {"dims": 1}, r"dims=1 must be 3 \(clips B C T H W\) or 2 \(maps B C H W\); for other dims"),
        ("nl", {"dims": 2, "frames": 4}, r"frames=4 has no effect with dims=2, which is for maps B C H W"),
        ("nl", {"frames": 0}, r"frames=0 must be an integer of at least 1"),
        ("nl", {"frames": 2.0}, r"frames=2.0 must be an integer"),
        ("srl_fft", {"dims": 3}, r"'srl_fft' with dims=3 needs frames=T: its conv_t has a weight for each"),
        ("rcca", {"dims": 3}, r"'rcca' does not take clips: fold their frames into the batch, B\*T C H W "
         r"\(insert_blocks takes frames=T of a network that does\), .* clips: srl_fft, .*, pnl$"),
        ("rcca", {"frames": 4}, r"'rcca' does not take clips: fold their frames"),
        ("srl_fft", {"frames": 4, "ratio": 2}, r"no option 'ratio'; it takes ops, groups, matmul"),
        ("srl_fft", {"transform": "lo"}, r"no option 'transform'; it takes variant, ratio, groups"),
        ("srl_fft", {"retraction": "qr"}, r"no option 'retraction'; it takes .*matmul[.]"),
        ("srl_lo", {"matmul": True}, r"no option 'matmul'; it takes .*retraction"),
        ("nl", {"pairwise": "dott"}, r"pairwise='dott' must be one of"),
    ],
)  # fmt: skip
def test_unknown_option(name, options, message):
    with pytest.raises(ValueError, match=message):
        build_block(name, 32, (6, 4), **options)


def test_no_weight_decay():
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3),
        nn.BatchNorm2d(16),
        build_block("srl_lo", 16, (6, 4)),
        build_block("nl", 16, (6, 4)),
    )
    assert no_weight_decay(net) == {
        "0.bias", "1.weight", "1.bias",
        "2.alpha", "2.transform.P", "2.transform.Q", "2.phi.relu.weight", "2.phi.relu.bias",
        "2.phi.reduce_norm.weight", "2.phi.reduce_norm.bias",
        "2.phi.expand_norm.weight", "2.phi.expand_norm.bias",
        "3.norm.weight", "3.norm.bias",
    }  # fmt: skip
    assert no_weight_decay(net[2].phi.relu) == {"weight", "bias"}
    names = {name for name, _ in net.named_parameters()}
    assert no_weight_decay(net) < names
