"""Blocks inserted into networks of torchvision and timm, which know nothing of them."""

import copy
import functools
import io
import pickle
import re
from collections import OrderedDict

import pytest
import timm
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torchvision import models
from torchvision.models.feature_extraction import create_feature_extractor

from keypoint.blocks import SRL, SRLVideo, build_block, insert_blocks, no_weight_decay
from keypoint.blocks.build import BLOCKS, CLIP_BLOCKS
from keypoint.blocks.insert import WithBlock
from keypoint.models import create_model


def rand(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


IMAGE, SQUARE, CLIP = rand(1, 3, 64, 48), rand(1, 3, 64, 64), rand(1, 3, 4, 32, 24)


def resnet18():
    return models.resnet18(weights=None)


def keypointrcnn():
    few = {f"rpn_post_nms_top_n_{mode}": 10 for mode in ("train", "test")}
    few |= {"box_batch_size_per_image": 8, "box_detections_per_img": 2, "box_score_thresh": 0}
    net = models.detection.keypointrcnn_resnet50_fpn(
        weights=None, weights_backbone=None, min_size=64, max_size=64, **few
    )
    # Without weights each of the 16 residual steps doubles the features and nothing is found.
    for module in net.backbone.body.modules():
        if isinstance(module, models.resnet.Bottleneck):
            nn.init.constant_(module.bn3.weight, 0.2)
    return net


def of_timm(name, **options):
    return functools.partial(timm.create_model, name, **options)


# network: how to build it, the submodules, the example
NETS = {
    "resnet18": (resnet18, ["layer3", "layer4.0.conv1"], IMAGE),
    "convnext_tiny": (functools.partial(models.convnext_tiny, weights=None), ["features.3", "features.5.8"], IMAGE),
    "keypointrcnn": (keypointrcnn, ["backbone.body.layer3", "rpn.head.conv"], [IMAGE[0]]),
    "hrnet_w32": (
        of_timm("hrnet_w32"), ["layer1", "stage3.3.branches.0", "stage4.2.branches.3"], SQUARE
    ),
    "vit_tiny": (of_timm("vit_tiny_patch16_224", img_size=64), ["patch_embed.proj"], SQUARE),
    "r3d_18": (functools.partial(models.video.r3d_18, weights=None), ["layer1", "layer2.1.conv1"], CLIP),
}  # fmt: skip
# Every network with one block, and every block in one network.
CASES = [(net, "srl_fft") for net in NETS] + [("resnet18", block) for block in list(BLOCKS)[1:]]
each_network = pytest.mark.parametrize("network", NETS)


def plain(network, seed=0):
    torch.manual_seed(seed)
    return NETS[network][0]().eval()


def inserted(network, seed=0):
    _, after, example = NETS[network]
    return insert_blocks(plain(network, seed), "srl_fft", after=after, example=example)


def blocks_of(net):
    return nn.ModuleList(m.block for m in net.modules() if isinstance(m, WithBlock))


@torch.no_grad()
def opened(network):
    """With blocks that are not the identity."""
    net = inserted(network)
    for parameter in blocks_of(net).parameters():
        parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return net


def tensors(output):
    return torch.utils._pytree.tree_leaves(output)


def equal(a, b):
    a, b = tensors(a), tensors(b)
    assert len(a) == len(b)
    assert all(part.numel() for part in a), "an output without numbers says nothing"
    return all(map(torch.equal, a, b))


def loss(net, network):
    """A scalar to train on, the same at each call; the detector's own losses."""
    torch.manual_seed(0)
    image = NETS[network][2]
    if network != "keypointrcnn":
        return net(torch.cat([image, image.flip(-1)])).square().mean()
    target = {
        "boxes": torch.tensor([[4.0, 4.0, 40.0, 56.0]]),
        "labels": torch.tensor([1]),
        "keypoints": torch.full((1, 17, 3), 20.0),
    }
    return sum(net([image[0], image[0].flip(2)], [target, target]).values())


@pytest.mark.parametrize(("network", "block"), CASES)
def test_the_output_is_the_same_to_the_bit(network, block):
    net = plain(network)
    _, after, example = NETS[network]
    with torch.no_grad():
        expected = net(example)
        assert insert_blocks(net, block, after=after, example=example) is net
        assert equal(net(example), expected)
    assert len(blocks_of(net)) == len(after)


@each_network
@torch.no_grad()
def test_an_opened_block_acts_on_the_output_of_its_submodule(network):
    """Against forward hooks on the network without blocks."""
    net, other = opened(network), plain(network)
    _, after, example = NETS[network]
    closed = other(example)
    for name in after:
        block = net.get_submodule(name).block
        other.get_submodule(name).register_forward_hook(lambda _, args, y, block=block: block(y))
    assert equal(net(example), other(example))
    assert not equal(net(example), closed)


@each_network
def test_training_moves(network):
    net = inserted(network).train()
    before = loss(net, network)
    before.backward()
    for part in blocks_of(net):
        gradients = [p.grad for p in part.parameters()]
        assert all(gradient is not None for gradient in gradients)
        assert any(gradient.abs().sum() > 0 for gradient in gradients), "it never opens"
    assert sum(p.grad is not None for p in net.parameters()) > 10
    new = list(blocks_of(net).parameters())
    largest = max(float(p.grad.abs().max()) for p in new)
    torch.optim.SGD(new, lr=0.1 / largest).step()
    assert loss(net, network) != before


@pytest.mark.parametrize("network", ["resnet18", "r3d_18"])
@torch.no_grad()
def test_state_dict_copies_and_averages(network):
    net, example = opened(network), NETS[network][2]
    expected = net(example)
    file = io.BytesIO()
    torch.save(net.state_dict(), file)
    file.seek(0)
    other = inserted(network, seed=1)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert equal(other(example), expected)

    average = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.5)).eval()
    copied = copy.deepcopy(net)
    assert equal(copied(example), expected)
    assert equal(pickle.loads(pickle.dumps(net))(example), expected)
    for parameter in blocks_of(copied).parameters():
        parameter.mul_(-1)
    assert not equal(copied(example), expected)
    assert equal(net(example), expected)
    average.update_parameters(net)  # the first is taken as it is
    average.update_parameters(copied)
    assert all(parameter.abs().max() < 1e-6 for parameter in blocks_of(average).parameters())


@pytest.fixture
def one_process(tmp_path):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


def test_distributed(one_process):
    """Two steps: the second one fails if a parameter had no gradient in the first."""
    net = inserted("resnet18").train()
    parallel = DistributedDataParallel(net)
    for _ in range(2):
        net.zero_grad()
        loss(parallel, "resnet18").backward()
    assert all(p.grad is not None for p in net.parameters())


@pytest.mark.parametrize("network", ["resnet18", "vit_tiny", "r3d_18"])
@torch.no_grad()
def test_compiles_without_graph_breaks_and_exports(network):
    torch.compiler.reset()
    net, inputs = opened(network), NETS[network][2]
    program = torch.export.export(net, (inputs,))
    torch.testing.assert_close(tensors(program.module()(inputs)), tensors(net(inputs)))
    compiled = torch.compile(net, fullgraph=True, backend="eager")
    torch.testing.assert_close(tensors(compiled(inputs)), tensors(net(inputs)))


# ---------------------------------------------------------------- what it leaves alone


def snapshot(net):
    return (
        {name: (type(module), module.training) for name, module in net.named_modules()},
        {name: value.clone() for name, value in net.state_dict().items()},
        torch.get_rng_state(),
    )


def unchanged(before, after):
    modules, values, rng = zip(before, after, strict=True)
    assert modules[0] == modules[1]
    assert values[0].keys() == values[1].keys()
    assert all(torch.equal(values[0][key], values[1][key]) for key in values[0])
    assert torch.equal(*rng)
    assert torch.is_grad_enabled()
    assert not torch.nn.modules.module._global_forward_hooks


class Counter(nn.Module):
    """Writes into its input and into a buffer, in eval mode too, and is random in eval mode."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3)
        self.norm = nn.BatchNorm2d(16)
        self.drop = nn.Dropout(0.5)
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x):
        assert not any(module.training for module in self.modules())
        assert not torch.is_grad_enabled()
        self.calls += 1
        return nn.functional.dropout(self.drop(self.norm(self.conv(x.mul_(2)))))

    def train(self, mode=True):
        assert mode is None, "must not be called"


def test_the_example_leaves_no_trace():
    torch.manual_seed(0)
    net = Counter()
    net.training, net.norm.training, net.drop.training = True, True, False
    net.conv.weight.requires_grad_(False)
    example = IMAGE.clone()
    before = snapshot(net)
    with torch.random.fork_rng():
        insert_blocks(net, "nl", after=["norm", "drop"], example=example)
        net.norm, net.drop = net.norm.site, net.drop.site
    assert torch.equal(example, IMAGE)
    unchanged(before, snapshot(net))
    assert not net.conv.weight.requires_grad
    assert net.norm.weight.grad is None


def test_a_block_takes_the_mode_of_its_submodule():
    net = resnet18().train()
    net.layer3.eval()
    net.layer3[0].train()
    insert_blocks(net, "srl_fft", after=["layer2", "layer3"], example=IMAGE)
    assert all(module.training for module in net.layer2.modules())
    assert not any(module.training for module in net.layer3.block.modules())
    assert not net.layer3.training
    assert [part.training for part in net.layer3.site] == [True, False]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
@torch.no_grad()
def test_a_block_takes_the_dtype_of_its_map(dtype):
    net, example = resnet18().to(dtype).eval(), IMAGE.to(dtype)
    expected = net(example)
    insert_blocks(net, "srl_lo", after=["layer3"], example=example)
    assert torch.equal(net(example), expected)
    assert net.layer3.block.alpha.dtype == dtype


def test_autocast_around_the_insertion():
    net = resnet18()
    with torch.autocast("cpu", torch.bfloat16):
        insert_blocks(net, "nl", after=["layer1.0.conv1", "maxpool"], example=IMAGE)
    assert {parameter.dtype for parameter in net.parameters()} == {torch.float32}
    net(IMAGE)


def test_on_meta():
    with torch.device("meta"):
        net = resnet18()
    insert_blocks(net, "srl_lo", after=["layer3"], example=IMAGE.to("meta"))
    assert all(p.is_meta for p in net.parameters())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu():
    net = resnet18().cuda()
    state = torch.cuda.get_rng_state()
    insert_blocks(net, "nl", after=["layer3"], example=IMAGE.cuda())
    assert all(p.is_cuda for p in net.parameters())
    assert torch.equal(torch.cuda.get_rng_state(), state)


def test_the_block_and_the_random_numbers_are_those_of_build_block():
    torch.manual_seed(3)
    expected = build_block("nl", 256, (4, 3)).state_dict()
    state = torch.get_rng_state()
    net = resnet18()
    torch.manual_seed(3)
    insert_blocks(net, "nl", after=["layer3"], example=IMAGE)
    assert all(torch.equal(v, expected[k]) for k, v in net.layer3.block.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state), "random numbers were drawn for more than it"


# ---------------------------------------------------------------- which submodules


def test_size_channels_and_options():
    net = resnet18()
    insert_blocks(net, "srl_fft", after=["layer3"], example=IMAGE.repeat(2, 1, 1, 1), groups=4)
    assert type(net.layer3) is WithBlock
    assert isinstance(net.layer3, nn.Sequential)
    assert list(net.layer3) == [net.layer3.site, net.layer3.block]
    assert net.layer3.block.channels == 256
    assert net.layer3.block.transform.size == (4, 3)
    assert net.layer3.block.phi.reduce.groups == 4


@pytest.mark.parametrize("block", CLIP_BLOCKS)
def test_clips(block):
    net = nn.Sequential(nn.Conv3d(3, 16, 1), nn.ReLU())
    expected = net(CLIP)
    insert_blocks(net, block, after=["1"], example=CLIP)
    assert torch.equal(net(CLIP), expected)
    if block.startswith("srl"):
        assert isinstance(net[1].block, SRLVideo)
        assert net[1].block.transform.size == (32, 24)
    else:
        assert net[1].block.dims == 3


def test_names_inside_one_another():
    net = resnet18().eval()
    expected = net(IMAGE)
    insert_blocks(net, "srl_lo", after=["layer3", "layer3.1", "layer3.1.conv2"], example=IMAGE)
    assert torch.equal(net(IMAGE), expected)
    assert isinstance(net.layer3.block, SRL)
    assert isinstance(net.layer3.site[1].block, SRL)
    assert isinstance(net.layer3.site[1].site.conv2.block, SRL)
    assert len(blocks_of(net)) == 3
    names = no_weight_decay(net)
    assert {"layer3.block.alpha", "layer3.block.transform.P"} < names
    assert "layer3.site.0.conv1.weight" not in names


def test_a_second_time_after_a_submodule():
    """A cell of a notebook that is run again."""
    net = insert_blocks(resnet18(), "srl_fft", after=["layer3"], example=IMAGE)
    modules = dict(net.named_modules())
    message = (
        r"a block follows 'layer3' already: build the network again to insert another instead; for a "
        r"second block after the first, use after=\['layer3.block'\] without grid, layout and frames"
    )
    with pytest.raises(ValueError, match=message):
        insert_blocks(net, "srl_fft", after=["layer2", "layer3"], example=IMAGE)
    assert dict(net.named_modules()) == modules


@torch.no_grad()
def test_a_second_block_after_the_first():
    net = resnet18().eval()
    expected, own = net(IMAGE), net.layer3
    for name, after in [
        ("srl_fft", "layer3"),
        ("nl", "layer3.block"),
        ("a2", "layer3.block.block"),
    ]:
        insert_blocks(net, name, after=[after], example=IMAGE)
    assert torch.equal(net(IMAGE), expected)
    x = rand(1, 128, 8, 6)
    for parameter in blocks_of(net).parameters():
        parameter.add_(torch.randn_like(parameter), alpha=0.1)
    first, second, third = (
        net.layer3.block.site,
        net.layer3.block.block.site,
        net.layer3.block.block.block,
    )
    assert [type(block).__name__ for block in (first, second, third)] == [
        "SRL",
        "NonLocal",
        "DoubleAttention",
    ]
    assert torch.equal(net.layer3(x), third(second(first(own(x)))))


class SharedHead(nn.Module):
    """One head for maps of two sizes, as detectors have; `tied` is a second name of it."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.head = nn.Conv2d(16, 16, 3, padding=1)
        self.tied = self.head
        self.act = nn.ReLU()
        self.last = nn.Conv2d(16, 8, 1)

    def forward(self, x):
        x = self.act(self.stem(x))
        small = nn.functional.max_pool2d(x, 2)
        return [self.tied(small), self.head(x), self.act(self.last(x))]


def test_one_block_for_all_calls_and_places_of_a_module():
    torch.manual_seed(0)
    net = SharedHead()
    expected = net(IMAGE)
    insert_blocks(net, "srl_fft", after=["tied"], example=IMAGE)
    assert equal(net(IMAGE), expected)
    assert net.head is net.tied
    block = net.head.block
    assert block.transform.size == (64, 48), "the largest map"
    nn.init.constant_(block.alpha, 0.7)
    opened = net(IMAGE)
    assert torch.equal(opened[0], block(expected[0]))
    assert torch.equal(opened[1], block(expected[1]))
    assert torch.equal(opened[2], expected[2])
    copied = copy.deepcopy(net)
    assert copied.head is not net.head
    assert copied.head is copied.tied


class Decoder(nn.Module):
    """A submodule with two inputs, one by keyword."""

    class Join(nn.Module):
        def forward(self, x, *, skip):
            return torch.cat((x, skip), dim=1)

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 13, 1)
        self.join = self.Join()

    def forward(self, x, y):
        return {"joined": self.join(self.conv(x), skip=y), "other": object()}


def test_a_submodule_and_a_network_of_several_inputs():
    net = Decoder()
    expected = net(IMAGE, IMAGE)
    insert_blocks(net, "srl_fft", after=["join"], example=(IMAGE, IMAGE))
    assert torch.equal(net(IMAGE, IMAGE)["joined"], expected["joined"])


def test_in_our_own_network_and_in_an_fx_graph():
    ours = create_model("resnet18", blocks="nl", input_size=(64, 64), weights=None).eval()
    graph = create_feature_extractor(resnet18(), ["layer3"]).eval()
    for net, after in ((ours, ["deconv_layers.2", "layer4"]), (graph, ["layer3.1.bn2"])):
        expected = net(SQUARE)
        insert_blocks(net, "srl_fft", after=after, example=SQUARE)
        assert equal(net(SQUARE), expected)


def test_a_map_that_is_not_a_number_stays_so():
    net = nn.Sequential(nn.Conv2d(3, 16, 1), nn.ReLU())
    insert_blocks(net, "nl", after=["0"], example=IMAGE * float("nan"))


# ---------------------------------------------------------------- what it refuses


class Peculiar(nn.Module):
    """Uses a submodule in another way than to call it by its name."""

    def __init__(self, way):
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 1)
        self.stage = nn.Sequential(nn.Identity(), nn.ReLU())
        self.way = way
        self.own = [self.conv]

    def forward(self, x):
        if self.way == "attribute":
            return self.conv(x) * self.conv.out_channels
        if self.way == "type":
            return self.conv(x) + isinstance(self.conv, nn.Conv2d)
        if self.way == "list":
            return self.own[0](x)
        if self.way == "weight":
            return nn.functional.conv2d(x, self.conv.weight)
        x = self.conv(x)
        return self.stage(x) + self.stage[1](-x)


def net_of(network):
    if network == "shared":
        return SharedHead(), IMAGE
    if network == "inserted":
        net = resnet18()
        return insert_blocks(net, "a2", after=["layer3", "layer3.1"], example=IMAGE), IMAGE
    if network not in NETS:
        return Peculiar(network), IMAGE
    return kept(network), NETS[network][2]


kept = functools.cache(plain)  # a refusal leaves it as it is
ONE_MAP = r".* A block takes one map B C H W or clip B C T H W\. Submodules "


@pytest.mark.parametrize(
    ("network", "after", "message"),
    [
        ("resnet18", [], r"after=\[\] must be a list of submodules' names: after=\['layer3'\]"),
        ("resnet18", "layer3", r"after='layer3' must be a list"),
        ("resnet18", ["layr3"], r"ResNet has no submodule 'layr3'; did you mean one of \['layer3'"),
        ("inserted", ["layer3.0"], r"no submodule 'layer3.0'; did you mean one of \['layer3.site.0'\]"),
        ("inserted", ["layer3.1.bn2"], r"did you mean one of \['layer3.site.1.site.bn2'\]"),
        ("resnet18", ["layer3.site.1.conv1"], r"did you mean one of \['layer3.1.conv1'\]"),
        ("resnet18", [""], r"after names '', the network itself: name a submodule, or write nn.Seq"),
        ("shared", ["head", "tied"], "names the module at 'tied' twice"),
        ("resnet18", ["fc"], r"'fc' \(Linear\): it returns a tensor \(1, 1000\)" + ONE_MAP
         + r"that return one: \['conv1', 'layer1', "),
        ("vit_tiny", ["blocks"], r"'blocks' .*it returns tokens B N C, \(1, 17, 192\)" + ONE_MAP
         + r"that return one: \['patch_embed.proj'\]"),
        ("hrnet_w32", ["stage4"], r"SequentialList\): it returns list of 4" + ONE_MAP
         + r"inside it that return one: \['stage4.0.branches.0', "),
        ("hrnet_w32", ["stage4.2.fuse_act"], r"it returns maps of \[32, 64, 128, 256\] channels in"),
        ("keypointrcnn", ["backbone.fpn"], r"OrderedDict with the keys \['0', '1', '2', '3', 'pool"
         + r".*inside it that return one: \['backbone.fpn.inner_blocks.0', "),
        ("attribute", ["conv"], r"with blocks after \['conv'\] the network fails \(AttributeError: .*"
         "'out_ch.*Does it use an attribute or item of a submodule instead of only calling it. Name a subm"),
        ("type", ["conv"], r"with blocks after \['conv'\] the output changes. Name a submodule"),
        ("list", ["conv"], r"does not always call the block after 'conv': it reaches the "),
        ("weight", ["conv"], r"no block can follow 'conv' \(Conv2d\): the example does not call it"),
        ("item", ["stage"], r"does not always call the block after 'stage': it reaches the"),
    ],
)  # fmt: skip
def test_refusals(network, after, message):
    net, example = net_of(network)
    before, modules = snapshot(net), dict(net.named_modules())
    with torch.random.fork_rng(), pytest.raises(ValueError, match=message):
        insert_blocks(net, "nl", after=after, example=example)
    unchanged(before, snapshot(net))
    assert dict(net.named_modules()) == modules


def test_a_map_of_whole_numbers():
    net = nn.Sequential(nn.Conv2d(3, 16, 1), nn.Upsample(scale_factor=2))
    net[1].forward = lambda x: x.round().int()
    with pytest.raises(ValueError, match=r"it returns a tensor \(1, 16, 64, 48\) torch.int32"):
        insert_blocks(net, "nl", after=["1"], example=IMAGE)


@pytest.mark.parametrize(
    ("block", "options", "message"),
    [
        ("nl", {"pairwis": "dot"}, r"after 'layer3', whose map is \(1, 256, 4, 3\): block 'nl' has"),
        ("rcca", {"recurrence": 0}, r"after 'layer3', .*recurrence=0 must be at least 1"),
        ("nl", {"size": 4}, "size is derived from the example: remove it"),
        ("nl", {"dims": 3}, "dims is derived from the example: remove it"),
    ],
)  # fmt: skip
def test_blocks_and_options_that_do_not_fit(block, options, message):
    net = kept("resnet18")
    before = snapshot(net)
    with torch.random.fork_rng(), pytest.raises(ValueError, match=message):
        insert_blocks(net, block, after=["layer3"], example=IMAGE, **options)
    unchanged(before, snapshot(net))


def test_a_block_for_maps_alone_refuses_clips():
    with pytest.raises(ValueError, match=r"after '0', .*block 'rcca' does not take clips: fold"):
        insert_blocks(nn.Sequential(nn.Conv3d(3, 16, 1)), "rcca", after=["0"], example=CLIP)


@pytest.mark.parametrize("example", [None, (1, 3, 64, 48), [1, 3, 64, 48]])
def test_an_example_without_a_tensor(example):
    net = kept("resnet18")
    before = snapshot(net)
    message = (
        f"example={example!r} has no tensor, and the network fails on it: give an input of the network, "
        "such as torch.zeros(1, 3, 256, 192), or a tuple of its arguments"
    )
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        insert_blocks(net, "nl", after=["layer3"], example=example)
    assert isinstance(caught.value.__cause__, TypeError)
    unchanged(before, snapshot(net))


def test_an_example_without_a_tensor_that_is_an_input():
    class Grid(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 16, 1)

        def forward(self, height, width):
            return self.conv(torch.ones(1, 3, height, width))

    net = insert_blocks(Grid(), "srl_fft", after=["conv"], example=(6, 4))
    assert net.conv.block.transform.size == (6, 4)


@pytest.mark.parametrize(("net", "kind"), [(resnet18, "function"), (models.ResNet, "type")])
def test_not_a_network(net, kind):
    message = f"net is of type {kind}, but must be a torch.nn.Module: give the network itself, not"
    with pytest.raises(ValueError, match=message):
        insert_blocks(net, "nl", after=["layer3"], example=IMAGE)


def test_an_example_that_does_not_run_raises_the_networks_own_error():
    net = kept("resnet18")
    before = snapshot(net)
    with pytest.raises(RuntimeError, match="expected input.* to have 3 channels"):
        insert_blocks(net, "nl", after=["layer3"], example=IMAGE[:, :2])
    unchanged(before, snapshot(net))


def test_compiled_scripted_wrapped(one_process):
    net = nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 16, 1), act=nn.ReLU()))
    for wrapped, name, how in [
        (torch.compile(net), "conv", "torch.compile"),
        (torch.jit.script(net), "conv", "torch.jit"),
        (nn.DataParallel(net), "module.conv", "DataParallel"),
        (DistributedDataParallel(net), "module.conv", "DistributedDataParallel"),
    ]:
        with pytest.raises(RuntimeError, match=f"the network already went through {how}: insert"):
            insert_blocks(wrapped, "nl", after=[name], example=IMAGE)
    net = nn.Sequential(OrderedDict(first=torch.compile(net, backend="eager"), last=nn.ReLU()))
    with pytest.raises(
        RuntimeError, match="the submodule 'first' already went through torch.compile"
    ):
        insert_blocks(net, "nl", after=["first._orig_mod.conv"], example=IMAGE)
    insert_blocks(net, "nl", after=["first", "last"], example=IMAGE)
    with torch.inference_mode(), pytest.raises(RuntimeError, match="under torch.inference_mode"):
        insert_blocks(net, "nl", after=["last"], example=IMAGE)


def test_a_network_compiled_in_place_sees_its_new_block():
    torch.compiler.reset()
    graphs = []

    def backend(graph, _):
        graphs.append(graph)
        return graph.forward

    net = nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 16, 1), act=nn.ReLU()))
    net.compile(backend=backend)
    expected = net(IMAGE)
    insert_blocks(net, "srl_fft", after=["act"], example=IMAGE)
    assert len(graphs) == 1, "the example ran compiled, where bits may differ"
    assert torch.equal(net(IMAGE), expected)
    assert len(graphs) == 2
    nn.init.constant_(net.act.block.alpha, 0.7)
    assert not torch.equal(net(IMAGE), expected)
