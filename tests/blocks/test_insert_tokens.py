"""Blocks on tokens B N C and maps B H W C, whose grid or layout the caller names."""

import copy
import functools
import pickle
import re

import pytest
import timm
import torch
from torch import nn
from torchvision import models

from keypoint.blocks import SRL, build_block, insert_blocks
from keypoint.blocks.build import BLOCKS
from tests.blocks.test_insert import blocks_of, rand, snapshot, unchanged

IMAGE, SQUARE = rand(1, 3, 64, 48), rand(1, 3, 64, 64)
BHWC = {"layout": "bhwc"}
vit = functools.partial(
    timm.create_model, "vit_tiny_patch16_224", img_size=(64, 48), embed_dim=32, depth=2, num_heads=2, num_classes=5,
)  # fmt: skip
swin = functools.partial(
    timm.create_model, "swin_tiny_patch4_window7_224", img_size=(64, 48), embed_dim=16, depths=(2, 2),
    num_heads=(1, 2), window_size=(4, 4), num_classes=5,
)  # fmt: skip
convnext = functools.partial(
    timm.create_model, "convnext_atto", depths=(1, 1, 1, 1), dims=(16, 16, 32, 32), conv_mlp=False, num_classes=5,
)  # fmt: skip
torchvision_vit = functools.partial(models.VisionTransformer, 64, 16, 2, 2, 32, 64, num_classes=5)
torchvision_swin = functools.partial(
    models.SwinTransformer, [4, 4], 16, [2, 2], [1, 2], [4, 4], num_classes=5
)
# network: how to build it, submodules with the size of their maps, the example, the words
NETS = {
    "vit": (vit, {"blocks.0": (4, 3), "blocks.1.norm1": (4, 3)}, IMAGE, {"grid": (4, 3)}),
    "vit_without_class_token": (
        functools.partial(vit, class_token=False, global_pool="avg"),
        {"blocks.0": (4, 3), "blocks.1.attn": (4, 3)}, IMAGE, {"grid": [4, 3]},
    ),
    "vit_with_registers": (
        functools.partial(vit, reg_tokens=4), {"blocks.0": (4, 3), "patch_embed": (4, 3)}, IMAGE, {"grid": (4, 3)},
    ),
    "swin": (swin, {"layers.0": (16, 12), "layers.1.blocks.0": (8, 6)}, IMAGE, BHWC),
    "swin_within_windows": (swin, {"layers.0.blocks.1.attn": (4, 4)}, IMAGE, {"grid": (4, 4)}),
    "convnext": (convnext, {"stages.0.blocks.0.norm": (16, 12), "stages.1.blocks.0.mlp": (8, 6)}, IMAGE, BHWC),
    "torchvision_vit": (torchvision_vit, {"encoder.layers.encoder_layer_0": (4, 4)}, SQUARE, {"grid": (4, 4)}),
    "torchvision_swin": (torchvision_swin, {"features.1": (16, 12), "features.2": (8, 6)}, IMAGE, BHWC),
}  # fmt: skip
PREFIX = {"vit": 1, "vit_with_registers": 5, "torchvision_vit": 1}
each_network = pytest.mark.parametrize("network", NETS)
one_of_each = pytest.mark.parametrize("network", ["vit", "vit_without_class_token", "swin"])


@functools.cache
def built(network):
    torch.manual_seed(0)
    return NETS[network][0]().eval()


def plain(network):
    return copy.deepcopy(built(network))


def inserted(network, block="srl_fft"):
    _, sites, example, words = NETS[network]
    torch.manual_seed(1)
    return insert_blocks(plain(network), block, after=list(sites), example=example, **words)


@torch.no_grad()
def opened(network, block="srl_fft"):
    """With blocks that are not the identity."""
    net = inserted(network, block)
    for parameter in blocks_of(net).parameters():
        parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return net


@each_network
@torch.no_grad()
def test_the_output_is_the_same_to_the_bit(network):
    build, sites, example, _ = NETS[network]
    net = inserted(network)
    assert torch.equal(net(example), built(network)(example))
    batch = torch.cat([example, example.flip(-1)])
    assert torch.equal(net(batch), built(network)(batch))
    for name, size in sites.items():
        assert net.get_submodule(name).block.transform.size == size


@pytest.mark.parametrize("block", list(BLOCKS)[1:])
@one_of_each
@torch.no_grad()
def test_every_block(network, block):
    example = NETS[network][2]
    expected = built(network)(example)
    assert torch.equal(inserted(network, block)(example), expected)
    assert not torch.equal(opened(network, block)(example), expected)


def in_loops(block, y, words, prefix):
    """The block on a map that is filled position by position."""
    height, width = words.get("grid") or y.shape[1:3]
    x = y.new_empty(len(y), y.shape[-1], height, width)
    at = {(r, c): prefix + r * width + c for r in range(height) for c in range(width)}
    for (row, column), n in at.items():
        x[:, :, row, column] = y[:, n] if "grid" in words else y[:, row, column]
    x = block(x)
    expected = y.clone()
    for (row, column), n in at.items():
        place = (slice(None), n) if "grid" in words else (slice(None), row, column)
        expected[place] = x[:, :, row, column]
    return expected


def outputs_of(net, sites, images):
    """What the submodules give, without and with their blocks."""
    seen = {}
    for name in sites:
        pair = net.get_submodule(name)
        for module in (pair, pair.site):
            module.register_forward_hook(lambda module, _, y: seen.update({module: y.clone()}))
    net(images)
    return {
        name: [seen[pair.site], seen[pair]] for name in sites for pair in [net.get_submodule(name)]
    }


@each_network
@torch.no_grad()
def test_the_block_sees_the_map_row_by_row(network):
    _, sites, example, words = NETS[network]
    net = opened(network).double()
    images = torch.cat([example, example.flip(-1)]).double()
    for name, (before, after) in outputs_of(net, sites, images).items():
        prefix = 0 if name == "patch_embed" else PREFIX.get(network, 0)
        expected = in_loops(net.get_submodule(name).block, before, words, prefix)
        torch.testing.assert_close(after, expected, rtol=1e-12, atol=1e-12)
        assert torch.equal(after[:, :prefix], before[:, :prefix])
        assert not torch.allclose(after, before)


@torch.no_grad()
def test_bhwc_maps_of_another_size():
    net = opened("torchvision_swin").double()
    for before, after in outputs_of(net, ["features.1"], rand(2, 3, 40, 96).double()).values():
        assert before.shape == (2, 10, 24, 16)
        expected = in_loops(net.features[1].block, before, BHWC, 0)
        torch.testing.assert_close(after, expected, rtol=1e-12, atol=1e-12)


@one_of_each
def test_training_moves(network):
    net, example = inserted(network).train(), NETS[network][2]
    net(torch.cat([example, example.flip(-1)])).square().mean().backward()
    assert all(p.grad is not None for p in net.parameters())
    gates = [p.grad for name, p in net.named_parameters() if name.endswith(".block.alpha")]
    assert len(gates) == 2
    assert all(gradient.abs() > 0 for gradient in gates)


@one_of_each
@torch.no_grad()
def test_names_weights_and_copies(network):
    _, sites, example, words = NETS[network]
    net = opened(network)
    expected = net(example)
    names = set(built(network).state_dict())
    for site, size in sites.items():
        names = {
            key.replace(f"{site}.", f"{site}.site.") if key.startswith(f"{site}.") else key
            for key in names
        }
        block = build_block("srl_fft", net.get_submodule(site).block.channels, size)
        names |= {f"{site}.block.{key}" for key in block.state_dict()}
    assert set(net.state_dict()) == names

    other = inserted(network)
    other.load_state_dict(net.state_dict())
    assert torch.equal(other(example), expected)
    copied = copy.deepcopy(net)
    assert torch.equal(copied(example), expected)
    assert torch.equal(pickle.loads(pickle.dumps(net))(example), expected)
    for parameter in blocks_of(copied).parameters():
        parameter.mul_(-1)
    assert not torch.equal(copied(example), expected)
    assert torch.equal(net(example), expected)


@pytest.mark.parametrize("network", ["vit", "swin"])
@torch.no_grad()
def test_compiles_without_graph_breaks_and_exports(network):
    torch.compiler.reset()
    net, example = opened(network), NETS[network][2]
    batch = torch.cat([example, example.flip(-1)])
    dynamic = [{0: torch.export.Dim("batch")}]
    program = torch.export.export(net, (batch,), dynamic_shapes=dynamic).module()
    for images in (batch, batch.repeat(2, 1, 1, 1)):
        torch.testing.assert_close(program(images), net(images))
    compiled = torch.compile(net, fullgraph=True, backend="eager")
    assert torch.equal(compiled(example), net(example))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
@one_of_each
@torch.no_grad()
def test_other_dtypes(network, dtype):
    _, sites, example, words = NETS[network]
    net, example = plain(network).to(dtype), example.to(dtype)
    expected = net(example)
    insert_blocks(net, "nl", after=list(sites), example=example, **words)
    assert torch.equal(net(example), expected)
    assert {p.dtype for p in net.parameters()} == {dtype}


@pytest.mark.parametrize("block", ["srl_fft", "nl"])
@pytest.mark.parametrize(
    ("network", "site"), [("vit", "blocks.0.mlp.fc2"), ("swin", "layers.0.blocks.0")]
)
@torch.no_grad()
def test_autocast(network, site, block):
    """Fc2 gives bfloat16; the block has float32 parameters and gives the dtype of its map."""
    _, _, example, words = NETS[network]
    net = plain(network)
    with torch.autocast("cpu", torch.bfloat16):
        expected = net(example)
        insert_blocks(net, block, after=[site], example=example, **words)
        before, after = outputs_of(net, [site], example)[site]
        assert torch.equal(net(example), expected)
    assert before.dtype == after.dtype
    assert {p.dtype for p in net.parameters()} == {torch.float32}


def test_on_meta():
    with torch.device("meta"):
        net = vit()
    insert_blocks(net, "srl_fft", after=["blocks.0"], example=IMAGE.to("meta"), grid=(4, 3))
    assert all(p.is_meta for p in net.parameters())


@torch.no_grad()
def test_other_grids_and_layouts_by_further_calls():
    net = plain("swin")
    expected = net(IMAGE)
    insert = functools.partial(insert_blocks, net, "srl_fft", example=IMAGE)
    insert(after=["layers.0.blocks.0.mlp"], grid=(16, 12))
    insert(after=["layers.1.blocks.0.mlp"], grid=(8, 6))
    insert(after=["layers.1.blocks.0", "layers.1"], **BHWC)
    insert(after=["layers.1.site.blocks.0.block"])  # after the first: B C H W
    insert(after=["patch_embed.proj"])
    assert torch.equal(net(IMAGE), expected)
    sizes = [block.transform.size for block in net.modules() if isinstance(block, SRL)]
    assert sorted(sizes) == [(8, 6)] * 4 + [(16, 12)] * 2


@torch.no_grad()
def test_a_class_token_alone_does_not_see_a_block_behind_the_last_attention():
    net, expected = plain("vit"), built("vit")(IMAGE)
    insert_blocks(net, "srl_fft", after=["norm"], example=IMAGE, grid=(4, 3))
    nn.init.constant_(net.norm.block.alpha, 0.7)
    assert torch.equal(net(IMAGE), expected)


@torch.no_grad()
def test_timms_feature_maps_contain_the_block():
    net = opened("vit")
    [tokens] = outputs_of(net, ["blocks.0"], IMAGE).values()
    [feature] = net.forward_intermediates(IMAGE, indices=[0], intermediates_only=True)
    assert torch.equal(feature, tokens[1][:, 1:].transpose(1, 2).reshape(1, 32, 4, 3))


class Shared(nn.Module):
    """One layer for several maps."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(16, 16)

    def forward(self, *maps):
        return [self.head(x) for x in maps]


@pytest.mark.parametrize(
    ("shapes", "words", "size"),
    [
        ([(2, 12, 16), (2, 12, 16)], {"grid": (4, 3)}, (4, 3)),
        ([(2, 4, 3, 16), (2, 8, 2, 16)], BHWC, (8, 2)),  # the largest, though less wide
    ],
)
@torch.no_grad()
def test_a_submodule_called_twice_has_one_block(shapes, words, size):
    net, maps = Shared(), tuple(rand(*shape) for shape in shapes)
    expected = net(*maps)
    insert_blocks(net, "srl_fft", after=["head"], example=maps, **words)
    assert all(map(torch.equal, net(*maps), expected))
    assert net.head.block.transform.size == size


@torch.no_grad()
def test_another_number_of_tokens_at_run_time():
    net = vit(dynamic_img_size=True).eval()
    insert_blocks(net, "srl_fft", after=["blocks.0"], example=IMAGE, grid=(4, 3))
    net(IMAGE)
    for shape, tokens in [((64, 64), 17), ((32, 48), 7)]:
        message = (
            "a block was inserted for tokens B x 13 x C (1 in front of grid=(4, 3)), got "
            f"(2, {tokens}, 32): run images of the size of the example, or build the network again "
            "and call insert_blocks with an example and grid of this size"
        )
        with pytest.raises(ValueError, match=re.escape(message)):
            net(rand(2, 3, *shape))


# ---------------------------------------------------------------- what it refuses


class Tokens(nn.Module):
    """48 patches 8 x 6 behind `extra` other tokens; `shown` says what else has a grid."""

    def __init__(self, extra, shown):
        super().__init__()
        self.patches = nn.Linear(192, 16)
        self.stage = nn.Linear(16, 16)
        self.pooled = nn.Identity()
        self.extra, self.shown = extra, shown

    def forward(self, x):
        x = nn.functional.unfold(x, 8, stride=8).transpose(1, 2)  # B 48 192
        if self.shown == "patches":
            x = self.patches(x)
        else:
            x = nn.functional.linear(x, self.patches.weight)
        if self.shown == "pooled":
            self.pooled(x[:, :12])
        features = self.stage.in_features if self.shown == "attribute" else 16
        return self.stage(torch.cat([x[:, : self.extra], x], dim=1)) * features


NO_EFFECT = r"on which grid=\(4, 3\) has no effect: remove grid for B C H W, or write layout='bhwc'"
GIVE = (
    r"\. Give the grid \(height, width\) of this submodule's tokens{}\. A block takes tokens B N C"
)
NOT_SHOWN = (
    r"\. The other {} can be class or register tokens only if a convolution returns a map of this grid, or "
    r"another submodule {} tokens: none does here" + GIVE
)


@pytest.mark.parametrize(
    ("network", "after", "words", "message"),
    [
        ("vit", "blocks.0", {}, r"'blocks.0' \(Block\): it returns tokens B N C, \(1, 13, 32\), whose grid "
         r"is unknown: give it with grid=\(height, width\)\. A block takes one map B C H W or clip "
         r"B C T H W\. Submodules that return one: \['patch_embed.proj'\]"),
        ("vit", "blocks.0", BHWC, r"tokens B N C, \(1, 13, 32\): give grid=\(height, width\) instead of"),
        ("vit", "blocks.0", {"grid": (3, 4)}, r"grid=\(3, 4\) is \(height, width\), but the map of 'patch_"
         r"embed.proj' has height 4 and width 3: write grid=\(4, 3\)"),
        ("vit", "blocks.0", {"grid": (7, 2)}, r"it returns 13 tokens, \(1, 13, 32\), but grid=\(7, 2\) has 14"
         + GIVE.format("")),
        ("vit", "blocks.0", {"grid": (3, 3)}, r"13 tokens, \(1, 13, 32\), but grid=\(3, 3\) has 9"
         + NOT_SHOWN.format(4, 9, "")),
        ("vit", "patch_embed.proj", {"grid": (4, 3)}, r"a map of 4 axes, \(1, 32, 4, 3\), " + NO_EFFECT
         + r".* A block takes tokens B N C with grid=\(4, 3\): N = 12, plus a few class or register "
         r"tokens before them\. Submodules that return one: \['patch_embed', 'pos_drop', "),
        ("vit", "head", {"grid": (4, 3)}, r"'head' \(Linear\): it returns a tensor \(1, 5\) torch.float32"),
        ("swin", "layers.0", {"grid": (4, 3)}, r"a map of 4 axes, \(1, 16, 12, 16\), " + NO_EFFECT),
        ("swin", "layers.0.blocks.0.attn", {"grid": (16, 12)}, r"16 tokens, .*, but grid=\(16, 12\) has "
         r"192" + GIVE.format(r", such as grid=\(4, 4\): 16 = 4 x 4")),
        ("swin", "head", BHWC, r"a tensor \(1, 5\) .*A block takes one map B H W C with layout='bhwc'\. "
         r"Submodules that return one: \['patch_embed', 'layers', 'norm', "),
        ("convnext", "head", BHWC, r"Submodules that return one: \['stages.0.blocks.0.norm', 'stages.1.bl"),
        ("swin", "layers.0", {"layout": "bchw"}, r"layout='bchw' must be 'bhwc', or 'bthwc' for clips; remove "
         r"it for maps B"),
        ("swin", "layers.0", {"grid": (4, 3), **BHWC}, r"grid=\(4, 3\) is for tokens B N C and layout='b"
         r"hwc' for channels last: give one"),
        ("vit", "blocks.0", {"grid": 12}, r"grid=12 must be \(height, width\) of the token map, two integers"),
        ("vit", "blocks.0", {"grid": (12,)}, r"grid=\(12,\) must be \(height, width\)"),
        ("vit", "blocks.0", {"grid": (4.0, 3)}, r"grid=\(4.0, 3\) must be \(height, width\)"),
        ("vit", "blocks.0", {"grid": (-4, -3)}, r"grid=\(-4, -3\) must be \(height, width\)"),
        ("vit", "blocks.0", {"grid": (4, 3), "groups": 7}, r"after 'blocks.0', whose map is \(1, 13, 32\):"
         r" groups=7 must divide"),
        # With a stage of 4 x 3 further on: the 36 others are no class tokens.
        (Tokens(0, "pooled"), "stage", {"grid": (4, 3)}, r"48 tokens, .*, but grid=\(4, 3\) has 12: the other 36 "
         r"are too many to be class or register tokens" + GIVE.format("")),
        (Tokens(3, "nothing"), "stage", {"grid": (8, 6)}, r"51 tokens, .* has 48" + NOT_SHOWN.format(3, 48, "")),
        (Tokens(2, "nothing"), "stage", {"grid": (8, 5)}, r"50 tokens, .* has 40"
         + NOT_SHOWN.format(10, 40, r", such as grid=\(7, 7\): 50 = 1 \+ 7 x 7")),
        (Tokens(2, "nothing"), "stage", {"grid": (7, 7)}, r"50 tokens, .* has 49" + NOT_SHOWN.format(1, 49, "")),
        (Tokens(0, "attribute"), "stage", {"grid": (8, 6)}, r"with blocks after \['stage'\] the network fails"
         r" \(AttributeError: .*in_features"),
    ],
)  # fmt: skip
def test_refusals(network, after, words, message):
    net = built(network) if isinstance(network, str) else network
    before, modules = snapshot(net), dict(net.named_modules())
    with torch.random.fork_rng(), pytest.raises(ValueError, match=message):
        insert_blocks(net, "srl_fft", after=[after], example=IMAGE, **words)
    unchanged(before, snapshot(net))
    assert dict(net.named_modules()) == modules


def test_tokens_alone_show_the_grid_too():
    """As in networks that embed patches by a linear layer."""
    net = Tokens(3, "patches")
    insert_blocks(net, "srl_fft", after=["stage"], example=IMAGE, grid=(8, 6))
    assert net.stage.layout.prefix == 3


def test_a_bhwc_map_does_not_speak_against_a_grid():
    """Its last axes 6 x 8 are the width and the channels, not the grid in the wrong order."""
    net = swin(embed_dim=4, num_heads=(1, 1))
    insert_blocks(net, "srl_fft", after=["layers.1.blocks.0.mlp"], example=IMAGE, grid=(8, 6))


def test_numbers_of_tokens_that_differ_within_a_run():
    for counts in ([12, 12, 13], [13, 12]):
        maps = tuple(rand(1, count, 16) for count in counts)
        with pytest.raises(ValueError, match=r"it returns \[12, 13\] tokens in one run"):
            insert_blocks(Shared(), "nl", after=["head"], example=maps, grid=(4, 3))


def test_another_number_of_axes_than_the_layout():
    net = nn.Sequential(nn.Linear(16, 16))
    for given, shape, other in [
        ("bhwc", (1, 2, 4, 3, 16), "bthwc"),
        ("bthwc", (1, 4, 3, 16), "bhwc"),
    ]:
        message = (
            f"{len(shape)} axes, {shape}, on which layout={given!r} has no effect: write layout={other!r} for "
            f"{' '.join(other.upper())}, or remove it for channels in front"
        )
        with pytest.raises(ValueError, match=re.escape(message)):
            insert_blocks(net, "nl", after=["0"], example=rand(*shape), layout=given)
