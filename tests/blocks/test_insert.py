"""Blocks inserted into networks of torchvision and timm, which know nothing of them."""

import copy
import functools
import io
import pickle
from collections import OrderedDict

import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torchvision.models.feature_extraction import create_feature_extractor

from keypoint.blocks import SRL, NonLocal, build_block, insert_blocks, no_weight_decay
from keypoint.blocks.build import BLOCKS
from keypoint.blocks.insert import WithBlock
from keypoint.models import create_model

IMAGE = torch.rand(1, 3, 64, 48, generator=torch.Generator().manual_seed(0))
SQUARE = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def resnet18():
    return torchvision.models.resnet18(weights=None)


def convnext_tiny():
    return torchvision.models.convnext_tiny(weights=None)


def keypointrcnn():
    net = torchvision.models.detection.keypointrcnn_resnet50_fpn(
        weights=None,
        weights_backbone=None,
        min_size=64,
        max_size=64,
        rpn_post_nms_top_n_train=10,
        rpn_post_nms_top_n_test=10,
        box_batch_size_per_image=8,
        box_detections_per_img=2,
        box_score_thresh=0,
    )
    # Without weights each of the 16 residual steps doubles the features and nothing is found.
    for module in net.backbone.body.modules():
        if isinstance(module, torchvision.models.resnet.Bottleneck):
            nn.init.constant_(module.bn3.weight, 0.2)
    return net


def hrnet_w32():
    return timm.create_model("hrnet_w32", pretrained=False)


def vit_tiny():
    return timm.create_model("vit_tiny_patch16_224", pretrained=False, img_size=64)


# network: how to build it, the submodules, the example
NETS = {
    "resnet18": (resnet18, ["layer3", "layer4.0.conv1"], IMAGE),
    "convnext_tiny": (convnext_tiny, ["features.3", "features.5.8"], IMAGE),
    "keypointrcnn": (keypointrcnn, ["backbone.body.layer3", "rpn.head.conv"], [IMAGE[0]]),
    "hrnet_w32": (hrnet_w32, ["layer1", "stage3.3.branches.0", "stage4.2.branches.3"], SQUARE),
    "vit_tiny": (vit_tiny, ["patch_embed.proj"], SQUARE),
}
# Every network with one block, and every block in one network.
CASES = [(net, "srl_fft") for net in NETS] + [
    ("resnet18", block) for block in BLOCKS if block != "srl_fft"
]
everywhere = pytest.mark.parametrize(("network", "block"), CASES)
each_network = pytest.mark.parametrize("network", NETS)


def plain(network, seed=0):
    torch.manual_seed(seed)
    return NETS[network][0]().eval()


# For refusals, which leave it as it is.
kept = functools.cache(plain)


def inserted(network, block="srl_fft", seed=0):
    _, after, example = NETS[network]
    return insert_blocks(plain(network, seed), block, after=after, example=example)


def blocks_of(net):
    return [module.block for module in net.modules() if isinstance(module, WithBlock)]


def opened(network, block="srl_fft"):
    """With blocks that are not the identity."""
    net = inserted(network, block)
    with torch.no_grad():
        for parameter in nn.ModuleList(blocks_of(net)).parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return net


def tensors(output):
    """The tensors of an output, as a flat list."""
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
        return net(torch.cat([image, image.flip(3)])).square().mean()
    target = {
        "boxes": torch.tensor([[4.0, 4.0, 40.0, 56.0]]),
        "labels": torch.tensor([1]),
        "keypoints": torch.full((1, 17, 3), 20.0),
    }
    return sum(net([image[0], image[0].flip(2)], [target, target]).values())


@everywhere
def test_the_output_is_the_same_to_the_bit(network, block):
    net = plain(network)
    _, after, example = NETS[network]
    with torch.no_grad():
        expected = net(example)
        assert insert_blocks(net, block, after=after, example=example) is net
        assert equal(net(example), expected)
    assert len(blocks_of(net)) == len(after)


@each_network
def test_an_opened_block_acts_on_the_output_of_its_submodule(network):
    """Against forward hooks on the network without blocks."""
    net = opened(network)
    other = plain(network)
    _, after, example = NETS[network]
    with torch.no_grad():
        closed = other(example)
    for name in after:
        block = net.get_submodule(name).block
        other.get_submodule(name).register_forward_hook(lambda _, args, y, block=block: block(y))
    with torch.no_grad():
        assert equal(net(example), other(example))
        assert not equal(net(example), closed)


@everywhere
def test_training_moves(network, block):
    net = inserted(network, block).train()
    before = loss(net, network)
    before.backward()
    for part in blocks_of(net):
        gradients = [p.grad for p in part.parameters()]
        assert all(gradient is not None for gradient in gradients)
        assert any(gradient.abs().sum() > 0 for gradient in gradients), "it never opens"
    others = [p for p in net.parameters() if p.grad is not None]
    new = nn.ModuleList(blocks_of(net)).parameters()
    largest = max(float(p.grad.abs().max()) for p in nn.ModuleList(blocks_of(net)).parameters())
    assert len(others) > 10
    torch.optim.SGD(new, lr=0.1 / largest).step()
    assert loss(net, network) != before


@everywhere
def test_state_dict_round_trip(network, block):
    net = opened(network, block)
    file = io.BytesIO()
    torch.save(net.state_dict(), file)
    file.seek(0)
    other = inserted(network, block, seed=1)
    other.load_state_dict(torch.load(file, weights_only=True))
    example = NETS[network][2]
    with torch.no_grad():
        assert equal(other(example), net(example))


@everywhere
def test_copies_and_averages_have_blocks_of_their_own(network, block):
    net = opened(network, block)
    example = NETS[network][2]
    average = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.5)).eval()
    copied = copy.deepcopy(net)
    with torch.no_grad():
        expected = net(example)
        assert equal(copied(example), expected)
        for parameter in nn.ModuleList(blocks_of(copied)).parameters():
            parameter.mul_(-1)
        assert not equal(copied(example), expected)
        assert equal(net(example), expected)
        average.update_parameters(net)  # the first is taken as it is
        average.update_parameters(copied)
    halfway = nn.ModuleList(blocks_of(average)).parameters()
    assert all(parameter.abs().max() < 1e-6 for parameter in halfway)


def test_pickle():
    net = opened("resnet18")
    with torch.no_grad():
        assert torch.equal(pickle.loads(pickle.dumps(net))(IMAGE), net(IMAGE))


@pytest.fixture
def one_process(tmp_path):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


@each_network
def test_distributed(network, one_process):
    """Two steps: the second one fails if a parameter had no gradient in the first."""
    net = inserted(network).train()
    parallel = DistributedDataParallel(net)
    for _ in range(2):
        net.zero_grad()
        loss(parallel, network).backward()
    assert all(p.grad is not None for p in net.parameters())


def test_before_distributed(one_process):
    net = DistributedDataParallel(resnet18())
    with pytest.raises(RuntimeError, match=r"the network went through DistributedDataParallel alr"):
        insert_blocks(net, "nl", after=["module.layer3"], example=IMAGE)


@each_network
def test_compiles_without_graph_breaks(network):
    torch.compiler.reset()
    net, inputs = opened(network), NETS[network][2]
    if network == "keypointrcnn":  # the detector's heads break the graph with or without blocks
        net, inputs = net.backbone, IMAGE
    elif network == "hrnet_w32":  # the whole of it takes 9 s
        net = net.stage4[2]
        inputs = [torch.rand(1, 32 << i, 16 >> i, 16 >> i) for i in range(4)]
    compiled = torch.compile(net, fullgraph=True, backend="eager")
    with torch.no_grad():
        expected = net(copy.deepcopy(inputs))  # HRNet's modules write into their list
        assert equal(compiled(inputs), expected)


@each_network
def test_exports(network):
    net, image = opened(network), NETS[network][2]
    if network == "keypointrcnn":  # the detector's heads do not export with or without blocks
        net, image = net.backbone, IMAGE
    program = torch.export.export(net, (image,))
    with torch.no_grad():
        torch.testing.assert_close(tensors(program.module()(image)), tensors(net(image)))


# What it leaves alone.


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
        x = self.norm(self.conv(x.mul_(2)))
        return nn.functional.dropout(self.drop(x))

    def train(self, mode=True):
        assert mode is None, "nobody may call this"


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
    assert net.layer3.site[0].training
    assert not net.layer3.site[1].training


@pytest.mark.parametrize("block", ["srl_lo", "nl"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_a_block_takes_the_dtype_of_its_map(dtype, block):
    net = resnet18().to(dtype).eval()
    with torch.no_grad():
        expected = net(IMAGE.to(dtype))
        insert_blocks(net, block, after=["layer3"], example=IMAGE.to(dtype))
        assert torch.equal(net(IMAGE.to(dtype)), expected)
    assert net.layer3.block.state_dict()["norm.weight" if block == "nl" else "alpha"].dtype == dtype


@pytest.mark.parametrize("block", ["srl_fft", "srl_lo", "nl"])
def test_on_meta(block):
    with torch.device("meta"):
        net = resnet18()
    insert_blocks(net, block, after=["layer3"], example=IMAGE.to("meta"))
    assert all(p.is_meta for p in net.parameters())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu():
    net = resnet18().cuda()
    state = torch.cuda.get_rng_state()
    insert_blocks(net, "nl", after=["layer3"], example=IMAGE.cuda())
    assert all(p.is_cuda for p in net.parameters())
    assert torch.equal(torch.cuda.get_rng_state(), state)


# Which submodules.


def test_size_and_channels_are_those_of_the_map():
    net = insert_blocks(resnet18(), "srl_fft", after=["layer3"], example=IMAGE.repeat(2, 1, 1, 1))
    assert type(net.layer3) is WithBlock
    assert isinstance(net.layer3, nn.Sequential)
    assert net.layer3[0] is net.layer3.site
    assert net.layer3[1] is net.layer3.block
    assert net.layer3.block.channels == 256
    assert net.layer3.block.transform.size == (4, 3)


def test_options_reach_the_block():
    net = insert_blocks(resnet18(), "nl", after=["layer3"], example=IMAGE, pairwise="dot")
    assert net.layer3.block.pairwise == "dot"
    with pytest.raises(
        ValueError,
        match=r"after 'layer3', whose map is \(1, 256, 4, 3\): block 'nl' has no option 'size'|'pairwis'",
    ):
        insert_blocks(resnet18(), "nl", after=["layer3"], example=IMAGE, pairwis="dot")
    with pytest.raises(
        ValueError, match=r"after 'layer3', .*groups=7 must divide the 256 spectral"
    ):
        insert_blocks(resnet18(), "srl_fft", after=["layer3"], example=IMAGE, groups=7)
    with pytest.raises(ValueError, match="block 'srl' must be one of"):
        insert_blocks(resnet18(), "srl", after=["layer3"], example=IMAGE)


def test_names_inside_one_another_and_blocks_on_top():
    net = resnet18().eval()
    expected = net(IMAGE)
    insert_blocks(net, "srl_fft", after=["layer3", "layer3.1", "layer3.1.conv2"], example=IMAGE)
    insert_blocks(net, "nl", after=["layer3"], example=IMAGE)
    assert torch.equal(net(IMAGE), expected)
    assert isinstance(net.layer3.block, NonLocal)
    assert isinstance(net.layer3.site.block, SRL)
    assert isinstance(net.layer3.site.site[1].block, SRL)
    assert isinstance(net.layer3.site.site[1].site.conv2.block, SRL)
    assert len(blocks_of(net)) == 4


def test_weight_decay_names():
    net = insert_blocks(resnet18(), "srl_lo", after=["layer3"], example=IMAGE)
    assert {"layer3.block.alpha", "layer3.block.transform.P"} < no_weight_decay(net)
    assert "layer3.site.0.conv1.weight" not in no_weight_decay(net)


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
    with torch.no_grad():
        block.alpha.fill_(0.7)
    opened = net(IMAGE)
    for i in range(2):
        assert torch.equal(opened[i], block(expected[i]))
    assert torch.equal(opened[2], expected[2])
    assert copy.deepcopy(net).head is not net.head
    copied = copy.deepcopy(net)
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


def test_in_our_own_network():
    net = create_model("resnet18", blocks="nl", input_size=(64, 64), weights=None).eval()
    expected = net(SQUARE)
    insert_blocks(net, "srl_fft", after=["deconv_layers.2", "layer4"], example=SQUARE)
    assert torch.equal(net(SQUARE), expected)


def test_in_an_fx_graph():
    net = create_feature_extractor(resnet18(), ["layer3"])
    expected = net(IMAGE)["layer3"]
    insert_blocks(net, "srl_fft", after=["layer3.1.bn2"], example=IMAGE)
    assert torch.equal(net(IMAGE)["layer3"], expected)


def test_a_map_that_is_not_a_number_stays_so():
    net = nn.Sequential(nn.Conv2d(3, 16, 1), nn.ReLU())
    insert_blocks(net, "nl", after=["0"], example=IMAGE * float("nan"))


# What it refuses.


def refused(network, after, example, message, error=ValueError):
    net = network if isinstance(network, nn.Module) else network()
    before = snapshot(net)
    with torch.random.fork_rng(), pytest.raises(error, match=message) as caught:
        insert_blocks(net, "nl", after=after, example=example)
    unchanged(before, snapshot(net))
    return str(caught.value)


@pytest.mark.parametrize(
    ("after", "message"),
    [
        ([], r"after=\[\] must be a list of submodules' names: after=\['layer3'\]"),
        ("layer3", r"after='layer3' must be a list"),
        (["layr3"], r"ResNet has no submodule 'layr3'; did you mean one of \['layer3'"),
        (["x"], r"ResNet has no submodule 'x'; it has \['conv1', 'bn1'"),
        ([""], r"after names '', the network itself: name a submodule, or write nn.Sequential"),
        (["layer3", "layer3"], r"names the module at 'layer3' twice"),
    ],
)
def test_names(after, message):
    refused(resnet18, after, IMAGE, message)


def test_a_map_of_whole_numbers():
    net = nn.Sequential(nn.Conv2d(3, 16, 1), nn.Upsample(scale_factor=2))
    net[1].forward = lambda x: x.round().int()
    refused(net, ["1"], IMAGE, r"it gives a tensor \(1, 16, 64, 48\) torch.int32")


def test_two_names_of_one_module():
    refused(SharedHead, ["head", "tied"], IMAGE, "names the module at 'tied' twice")


@pytest.mark.parametrize(
    ("network", "site", "message", "instead"),
    [
        ("resnet18", "fc", r"it gives a tensor \(1, 1000\)", "['conv1', 'bn1', 'relu', "),
        ("vit_tiny", "blocks", r"it gives tokens B N C, \(1, 17, 192\)", ": ['patch_embed.proj']"),
        (
            "vit_tiny",
            "patch_embed",
            r"tokens B N C",
            "inside it that give one: ['patch_embed.proj']",
        ),
        (
            "hrnet_w32",
            "stage4",
            r"SequentialList\): it gives list of 4",
            "['stage4.0.branches.0', ",
        ),
        ("hrnet_w32", "stage4.2.branches", r"does not call it", "['stage4.2.branches.0', "),
        (
            "hrnet_w32",
            "stage4.2.fuse_act",
            r"it gives maps of \[32, 64, 128, 256\] channels in one run",
            "['conv1', ",
        ),
        ("hrnet_w32", "transition2.0", "the example does not call it", "['conv1', "),
        (
            "keypointrcnn",
            "backbone.fpn",
            r"it gives OrderedDict with the keys \['0', '1', '2', '3', 'pool'\]",
            "inside it that give one: ['backbone.fpn.inner_blocks.0', ",
        ),
        (
            "convnext_tiny",
            "features.3.0.block.1",
            r"\(1, 8, 6, 192\) looks like B H W C",
            "'features.1'",
        ),
        ("convnext_tiny", "features.3.0.block.3", "looks like B H W C", "'features.1'"),
        ("convnext_tiny", "features.3.0.block.4", "looks like B H W C", "'features.1'"),
    ],
)
def test_no_single_map(network, site, message, instead):
    _, _, example = NETS[network]
    text = refused(kept(network), [site], example, rf"no block can follow '{site}' .*{message}")
    assert "A block takes one map B C H W. Submodules" in text
    assert instead in text


@pytest.mark.parametrize("site", ["features.0", "features.1", "features.2", "features.3.0.mlp.3"])
def test_swin_is_channels_last(site):
    net = torchvision.models.swin_t(weights=None)
    refused(net, [site], IMAGE, "looks like B H W C")
    insert_blocks(net, "nl", after=["features.0.0", "permute"], example=IMAGE)


def test_convnext_inside_a_block_where_its_maps_are_channels_first():
    after = ["features.3.0", "features.3.0.block.0", "features.3.0.block.6"]
    insert_blocks(convnext_tiny(), "nl", after=after, example=IMAGE)


def test_a_map_as_wide_as_its_number_of_channels():
    wide = torch.zeros(1, 3, 32, 384)  # features.1 gives 1 96 8 96
    net = insert_blocks(convnext_tiny(), "srl_lo", after=["features.1"], example=wide)
    assert net.features[1].block.channels == 96
    assert net.features[1].block.transform.size == (8, 96)


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


@pytest.mark.parametrize(
    ("way", "message"),
    [
        ("attribute", r"with blocks after \['conv'\] the network fails \(AttributeError: .*'out_ch.*"
         "Does it want an attribute or item of a submodule, not only its call. Name a submodule"),
        ("type", r"with blocks after \['conv'\] the output changes. Name a submodule"),
        ("list", r"does not always go through the block after 'conv': it reaches the submodule by"),
        ("weight", r"no block can follow 'conv' \(Conv2d\): the example does not call it"),
        ("item", r"does not always go through the block after 'stage': it reaches the submodule"),
    ],
)  # fmt: skip
def test_a_network_that_wants_more_than_a_call_is_put_back(way, message):
    net = Peculiar(way)
    before = dict(net.named_modules())
    refused(net, ["stage" if way == "item" else "conv"], IMAGE, message)
    assert dict(net.named_modules()) == before


def test_an_example_that_does_not_run_raises_the_networks_own_error():
    refused(resnet18, ["layer3"], IMAGE[:, :2], "expected input.* to have 3 channels", RuntimeError)


def test_compiled_scripted_wrapped():
    net = nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 16, 1), act=nn.ReLU()))
    for wrapped, names, how in [
        (torch.compile(net), ["conv", "_orig_mod.conv"], "torch.compile"),
        (torch.jit.script(net), ["conv"], "torch.jit"),
        (torch.jit.trace(net, IMAGE), ["conv"], "torch.jit"),
        (nn.DataParallel(net), ["module.conv"], "DataParallel"),
    ]:
        for name in names:
            with pytest.raises(
                RuntimeError, match=f"the network went through {how} already: insert"
            ):
                insert_blocks(wrapped, "nl", after=[name], example=IMAGE)
    net = nn.Sequential(OrderedDict(first=torch.compile(net, backend="eager"), last=nn.ReLU()))
    with pytest.raises(RuntimeError, match="the submodule 'first' went through torch.compile"):
        insert_blocks(net, "nl", after=["first._orig_mod.conv"], example=IMAGE)
    insert_blocks(net, "nl", after=["first", "last"], example=IMAGE)


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
    with torch.no_grad():
        net.act.block.alpha.fill_(0.7)
    assert not torch.equal(net(IMAGE), expected)


# Weights.


@pytest.mark.parametrize("strict", [True, False])
def test_weights_without_the_block_are_loaded_first(strict):
    old = resnet18().state_dict()
    net = insert_blocks(resnet18(), "nl", after=["layer3"], example=IMAGE)
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict(old, strict=strict)
    assert (
        "the state dict has layer3.* but no layer3.block.*: weights of the network without the block "
        "after 'layer3' are loaded first, and insert_blocks is called afterwards"
    ) in str(caught.value)
    assert "layer2" not in str(caught.value)


def test_weights_with_one_block_of_two():
    one = insert_blocks(resnet18(), "nl", after=["layer3"], example=IMAGE)
    two = insert_blocks(copy.deepcopy(one), "nl", after=["layer3"], example=IMAGE)
    with pytest.raises(RuntimeError, match=r"has layer3.site.\* but no layer3.site.block"):
        two.load_state_dict(one.state_dict(), strict=False)


def test_weights_behind_a_submodule_that_has_none():
    old = resnet18().state_dict()
    net = insert_blocks(resnet18(), "nl", after=["relu"], example=IMAGE)
    with pytest.raises(RuntimeError, match=r"Missing key.* \"relu.block.theta"):
        net.load_state_dict(old)
    missing = net.load_state_dict(old, strict=False).missing_keys
    assert missing
    assert all(key.startswith("relu.block.") for key in missing)


def test_some_weights_may_be_loaded_if_not_strict():
    net = insert_blocks(resnet18(), "nl", after=["layer3"], example=IMAGE)
    net.load_state_dict({"fc.bias": torch.ones(1000)}, strict=False)
    assert torch.equal(net.fc.bias, torch.ones(1000))


def test_the_block_and_the_random_numbers_are_those_of_build_block():
    torch.manual_seed(3)
    expected = build_block("nl", 256, (4, 3)).state_dict()
    state = torch.get_rng_state()
    net = resnet18()
    torch.manual_seed(3)
    insert_blocks(net, "nl", after=["layer3"], example=IMAGE)
    assert all(torch.equal(v, expected[k]) for k, v in net.layer3.block.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state), "random numbers were drawn for more than it"


def test_autocast_and_inference_mode_around_the_insertion():
    net = torchvision.models.resnet18(weights=None)
    example = torch.zeros(1, 3, 64, 64)
    with torch.autocast("cpu", torch.bfloat16):
        insert_blocks(net, "nl", after=["layer1.0.conv1", "maxpool"], example=example)
    assert {parameter.dtype for parameter in net.parameters()} == {torch.float32}
    net(example)
    with torch.inference_mode(), pytest.raises(RuntimeError, match="under torch.inference_mode"):
        insert_blocks(net, "nl", after=["layer2"], example=example)


@pytest.mark.parametrize("option", ["size", "channels"])
def test_what_the_example_tells_is_no_option(option):
    net = torchvision.models.resnet18(weights=None)
    with pytest.raises(ValueError, match=f"{option} is learned from the example: leave it out"):
        insert_blocks(net, "nl", after=["layer1"], example=torch.zeros(1, 3, 64, 64), **{option: 4})
