"""Blocks inserted into networks for video: maps with folded frames, and clips."""

import copy
import functools
import pickle
from collections import OrderedDict

import pytest
import torch
from torch import nn
from torchvision.models import video

from keypoint.blocks import RCCA, insert_blocks
from keypoint.blocks.build import BLOCKS, CLIP_BLOCKS
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
        r"inserted for clips of 4 frames folded into the batch, B\*4 C H W, got \(6, 16, 6, 5\): 6 "
        r"is not a multiple of 4; run whole clips of 4 frames, or build the network again"
    )
    with pytest.raises(ValueError, match=message):
        net(rand(1, 3, 6, 12, 10))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"frames": 3}, r"'stem' \(Conv2d\): it returns a batch of 8, \(8, 16, 6, 5\), not a multiple of frames"
         r"=3\. A block takes one map B\*3 C H W, the frames of a clip folded into the batch\. Submod"),
        ({"frames": 0}, r"frames=0 must be the number of frames of a clip at this block"),
        ({"frames": 4.0}, r"frames=4.0 must be the number of frames"),
        ({"frames": 4, "layout": "bhwc"}, r"frames=4 is for maps B\*T C H W: remove layout='bhwc'"),
        ({"frames": 4, "grid": (6, 5)}, r"frames=4 is for maps B\*T C H W: remove grid=\(6, 5\)"),
    ],
)  # fmt: skip
def test_frames_that_do_not_fit(words, message):
    with pytest.raises(ValueError, match=message):
        insert_blocks(folding(), "srl_fft", after=["stem"], example=CLIP, **words)


def test_frames_for_a_map_that_has_them():
    with pytest.raises(
        ValueError, match=r"five axes, .*, which already has its frames: remove frames"
    ):
        insert_blocks(nn.Sequential(nn.Conv3d(3, 16, 1)), "nl", after=["0"], example=CLIP, frames=4)


# ---------------------------------------------------------------- torchvision's networks


def resnet(makers, stem):
    """The first two stages of torchvision's video ResNets."""
    net = video.resnet.VideoResNet(
        video.resnet.BasicBlock, [*makers, *makers[-1:] * 2], [1, 2, 1, 1], stem, num_classes=5
    )
    net.layer3 = net.layer4 = nn.Identity()
    net.fc = nn.Linear(128, 5)
    return net


def s3d():
    """Its first stages, at sizes for which its last pooling is too large."""
    net = video.s3d(weights=None, num_classes=5)
    net.features = net.features[:7]
    net.avgpool = nn.AdaptiveAvgPool3d(1)
    net.classifier = nn.Conv3d(480, 5, 1)
    return net


def mvit():
    blocks = [
        video.mvit.MSBlockConfig(1, 16, 32, [3, 3, 3], [3, 3, 3], [1, 1, 1], [1, 2, 2]),
        video.mvit.MSBlockConfig(2, 32, 32, [3, 3, 3], [3, 3, 3], [1, 2, 2], [1, 1, 1]),
    ]
    return video.MViT((32, 24), 4, blocks, False, True, False, False, num_classes=5)


Plain, Basic = video.resnet.Conv3DSimple, video.resnet.BasicStem
# network: how to build it, submodules with (T, H, W) of their clips, the words
NETS = {
    "r3d": (
        functools.partial(resnet, [Plain, Plain], Basic), {"layer1": (4, 16, 12), "layer2.1.conv1": (2, 8, 6)}, {},
    ),
    "mc3": (
        functools.partial(resnet, [Plain, video.resnet.Conv3DNoTemporal], Basic),
        {"stem": (4, 16, 12), "layer2": (4, 8, 6)}, {},
    ),
    "r2plus1d": (
        functools.partial(resnet, [video.resnet.Conv2Plus1D] * 2, video.resnet.R2Plus1dStem),
        {"layer1": (4, 16, 12), "layer2.1": (2, 8, 6)}, {},
    ),
    "s3d": (s3d, {"features.5": (2, 4, 3), "features.6.branch1": (2, 4, 3)}, {}),
    "swin3d": (
        functools.partial(
            video.SwinTransformer3d, [2, 4, 4], 16, [1, 1], [2, 2], [4, 4, 4], num_classes=5
        ),
        {"features.0": (2, 8, 6), "features.1": (2, 4, 3), "features.2.0": (2, 4, 3)}, {"layout": "bthwc"},
    ),
    "mvit": (mvit, {"conv_proj": (2, 8, 6)}, {}),
}  # fmt: skip
each_network = pytest.mark.parametrize("network", NETS)
IMAGES = rand(1, 3, 4, 32, 24)  # B C T H W


@functools.cache
def built(network):
    torch.manual_seed(0)
    return NETS[network][0]().eval()


def inserted(network, block="srl_fft"):
    _, sites, words = NETS[network]
    torch.manual_seed(1)
    net = copy.deepcopy(built(network))
    return insert_blocks(net, block, after=list(sites), example=IMAGES, **words)


@pytest.mark.parametrize("block", CLIP_BLOCKS)
@each_network
@torch.no_grad()
def test_every_block_in_every_network(network, block):
    _, sites, words = NETS[network]
    expected = built(network)(IMAGES)
    net = inserted(network, block)
    assert torch.equal(net(IMAGES), expected)
    for name, (frames, *size) in sites.items():
        own = net.get_submodule(name).block
        if block.startswith("srl_"):
            assert (own.frames, own.transform.size) == (frames, tuple(size))
        else:
            assert own.dims == 3
    assert not torch.equal(opened(net)(IMAGES), expected)


@each_network
@torch.no_grad()
def test_the_block_sees_the_clip(network):
    """Against forward hooks on the network without blocks; of channels behind, copied one by one."""
    net, other = opened(inserted(network)), copy.deepcopy(built(network))
    _, sites, words = NETS[network]

    def with_block(block, y):
        if not words:
            return block(y)
        clip = torch.stack([y[..., c] for c in range(y.shape[-1])], dim=1)  # B C T H W
        clip = block(clip)
        return torch.stack([clip[:, c] for c in range(y.shape[-1])], dim=-1)

    for name in sites:
        block = net.get_submodule(name).block
        other.get_submodule(name).register_forward_hook(
            lambda _, args, y, block=block: with_block(block, y)
        )
    batch = torch.cat([IMAGES, IMAGES.flip(-1)])
    torch.testing.assert_close(net(batch), other(batch), rtol=1e-5, atol=1e-5)


@each_network
def test_training_opens_the_blocks(network):
    net = inserted(network).train()
    blocks = list(blocks_of(net).parameters())
    batch = torch.cat([IMAGES, IMAGES.flip(-1)])

    def loss():
        torch.manual_seed(0)
        return net(batch).square().mean()

    before = loss()
    before.backward()
    assert all(p.grad is not None for p in net.parameters())
    gates = [p for name, p in net.named_parameters() if name.endswith(".block.alpha")]
    assert len(gates) == len(NETS[network][1])
    assert all(gate.grad.abs() > 0 for gate in gates)
    largest = max(float(gate.grad.abs()) for gate in gates)
    torch.optim.SGD(blocks, lr=0.1 / largest).step()
    assert loss() != before


@each_network
@torch.no_grad()
def test_weights_and_copies(network):
    net = opened(inserted(network))
    expected = net(IMAGES)
    other = inserted(network)
    other.load_state_dict(net.state_dict())
    assert torch.equal(other(IMAGES), expected)
    assert torch.equal(copy.deepcopy(net)(IMAGES), expected)
    assert torch.equal(pickle.loads(pickle.dumps(net))(IMAGES), expected)


@pytest.mark.parametrize("kind", ["folded", "clip", "channels_last"])
@torch.no_grad()
def test_exports_with_any_batch(kind):
    if kind == "folded":
        net, words = Folding(), {"frames": FRAMES}
    elif kind == "clip":
        net, words = nn.Sequential(OrderedDict(stem=copy.deepcopy(built("r3d").stem))), {}
    else:
        stem = copy.deepcopy(built("swin3d").patch_embed)
        net, words = nn.Sequential(OrderedDict(stem=stem)), {"layout": "bthwc"}
    opened(insert_blocks(net.eval(), "srl_fft", after=["stem"], example=CLIP, **words))
    dynamic = [{0: torch.export.Dim("batch")}]
    program = torch.export.export(net, (CLIP,), dynamic_shapes=dynamic).module()
    for clips in (CLIP, CLIP.repeat(2, 1, 1, 1, 1)):
        torch.testing.assert_close(program(clips), net(clips))


@torch.no_grad()
def test_other_clips_than_the_example():
    """Other sizes run; of another length, the blocks without a convolution over time."""
    longer = rand(1, 3, 8, 40, 32)
    for block in ("nl", "a2", "cgnl", "pnl"):
        net = opened(inserted("mc3", block))
        assert net(longer).isfinite().all()
    net = opened(inserted("mc3"))
    assert net(longer[:, :, :4]).isfinite().all()
    with pytest.raises(
        ValueError,
        match=r"of 4 frames, got \(1, 64, 8, 20, 16\) of 8: .* In a network, insert the blocks",
    ):
        net(longer)


@pytest.mark.parametrize(
    ("network", "block", "after", "message"),
    [
        ("mvit", "nl", "blocks.1", r"'blocks.1' \(MultiscaleBlock\): it returns tuple of 2\. A block takes one map "
         r"B C H W or clip B C T H W\. Submodules inside it that return one: \['blocks.1.attn.pool_q.pool'"),
        ("mvit", "nl", "norm", r"it returns tokens B N C, \(1, 25, 32\).* that return one: \['conv_proj', "),
        ("mvit", "nl", "blocks", r"'blocks' \(ModuleList\): the example does not call it"),
        ("r3d", "nl", "fc", r"a tensor \(1, 5\) .* Submodules that return one: \['stem', 'layer1', 'layer2', "),
        ("swin3d", "nl", "head", r"A block takes one clip B T H W C with layout='bthwc'\. Submodules that return "
         r"one: \['patch_embed', 'features', "),
        ("r3d", "rcca", "layer1", r"after 'layer1', whose map is \(1, 64, 4, 16, 12\): block 'rcca' does not ta"),
    ],
)  # fmt: skip
def test_what_gives_no_clip(network, block, after, message):
    with pytest.raises(ValueError, match=message):
        insert_blocks(built(network), block, after=[after], example=IMAGES, **NETS[network][2])
