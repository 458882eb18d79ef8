"""Blocks at the papers' places, and at any other."""

import pytest
import torch

from keypoint.action import create_model
from keypoint.action.networks.names import PLACES
from keypoint.action.networks.places import sites_of_places
from keypoint.blocks import insert_blocks
from keypoint.blocks.build import CLIP_BLOCKS
from keypoint.errors import ConfigError
from tests.action.networks.test_c2d import random_norms


def sites(network, places):
    with torch.device("meta"):
        model = create_model(network, blocks="nl", places=places, input_size=(64, 64))
    return list(model.block_options)


@pytest.mark.parametrize(
    ("network", "places", "expected"),
    [
        ("c2d_resnet18", "res4", "3.1"),
        ("c2d_resnet18", "res3+res4", "2.1 3.1"),
        ("c2d_resnet18", "each", "2.0 2.1 3.0 3.1"),
        ("c2d_resnet18", None, "2.0 2.1 3.0 3.1"),
        ("c2d_resnet50", "res3+res4", "2.3 3.5"),
        ("c2d_resnet50", "each", "2.0 2.1 2.2 2.3 3.0 3.1 3.2 3.3 3.4 3.5"),
        ("c2d_resnet50", "five", "2.1 2.3 3.1 3.3 3.5"),
        ("c2d_resnet50", None, "2.1 2.3 3.1 3.3 3.5"),
        ("c2d_resnet101", "five", "2.1 2.3 3.6 3.13 3.20"),
        ("c2d_resnet50", "x1", "3.4"),
        ("c2d_resnet50", "x1@conv2", "1.1"),
        ("c2d_resnet50", "x1@conv5", "4.1"),
        ("c2d_resnet50", "x5", "2.0 2.2 3.0 3.2 3.4"),
    ],
)
def test_places_in_c2d(network, places, expected):
    assert sites(network, places) == [f"layer{site}" for site in expected.split()]


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        (None, "4.B05"),
        ("x1", "4.B05"),
        ("x1@conv2", "2.B02"),
        ("x1@conv3", "3.B03"),
        ("x1@conv5", "5.B02"),
        ("x5", "3.B01 3.B03 4.B01 4.B03 4.B05"),
        ("five", "3.B02 3.B04 4.B02 4.B04 4.B06"),
        ("res4", "4.B06"),
    ],
)
def test_places_in_mfnet(places, expected):
    assert sites("mfnet", places) == [f"conv{site}" for site in expected.split()]


def test_new_blocks_leave_the_output_bit_equal():
    """A different one after each unit, all that there are."""
    torch.manual_seed(0)
    plain = random_norms(create_model("c2d_resnet18", 5, 4, input_size=(45, 70))).eval()
    clips = torch.randn(2, 3, 4, 45, 70)
    expected = plain(clips)
    names = [*CLIP_BLOCKS, "rcca"]
    for some in (names[:6], names[6:]):
        blocks = dict(zip(plain.maps, some, strict=False))
        net = create_model("c2d_resnet18", 5, 4, input_size=(45, 70), blocks=blocks).eval()
        state = plain.state_dict()
        named = {name: name.replace(".site.", ".") for name in net.state_dict()}
        of_plain = [theirs for name, theirs in named.items() if ".block." not in name]
        assert of_plain == list(state)
        new = {name: value for name, value in net.state_dict().items() if ".block." in name}
        net.load_state_dict(new | {n: state[t] for n, t in named.items() if n not in new})
        assert torch.equal(net(clips), expected)
        assert len(net.all_blocks()) == len(some)


def test_a_known_map_gives_the_block_that_running_the_network_gives():
    """Two roads: `insert` at a unit, and `insert_blocks`, which runs an example."""
    for network, places, folded in (("c2d_resnet18", "res3+res4", True), ("mfnet", "x1", False)):
        options = {"input_size": (33, 50), "num_classes": 5, "frames": 4}
        net = create_model(network, blocks="srl_fft", places=places, **options)
        other = create_model(network, **options)
        after, frames = list(net.block_options), {"frames": 2} if folded else {}
        insert_blocks(other, "srl_fft", after=after, example=other.example(), **frames)
        theirs, ours = other.state_dict(), net.state_dict()
        assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}
        other.load_state_dict(ours)
        clips = torch.randn(1, 3, 4, 33, 50)
        for site, block in net.all_blocks().items():
            torch.nn.init.constant_(block.alpha, 0.5)
            torch.nn.init.constant_(other.get_submodule(f"{site}.block").alpha, 0.5)
        assert torch.equal(net.eval()(clips), other.eval()(clips))


def test_blocks_after_any_submodule_see_the_frames_of_that_place():
    blocks = {"conv1": "srl_fft", "layer1.0.conv1": "srl_fft", "layer2.1.bn2": "srl_fft"}
    net = create_model("c2d_resnet18", 5, 16, form="32x2", input_size=(32, 32), blocks=blocks)
    assert [block.frames for block in net.all_blocks().values()] == [8, 4, 2]
    mixed = {"layer3.1": "nl", "layer4.0.conv1": {"type": "nl", "inner": 8}}
    net = create_model("c2d_resnet18", 5, 2, input_size=(32, 32), blocks=mixed)
    assert set(net.block_options) == set(mixed)
    assert net.all_blocks()["layer4.0.conv1"].theta.out_channels == 8


def test_another_number_of_frames_is_refused_in_words():
    net = create_model("c2d_resnet18", 5, 4, input_size=(32, 32), blocks="srl_fft")
    with pytest.raises(
        ValueError, match=r"of 4 frames, got 8; cut the clips to 4.*SRL blocks: conv_t"
    ):
        net(torch.zeros(1, 3, 8, 32, 32))
    with torch.device("meta"):
        net = create_model("mfnet", 5, 4, input_size=(32, 32), blocks="nl")
    with pytest.raises(ValueError, match=r"frames=6 .*weights of other blocks can be loaded"):
        net(torch.zeros(1, 3, 6, 32, 32))


@pytest.mark.parametrize(
    ("network", "blocks", "places", "message"),
    [
        ("c2d_resnt18", None, None, "did you mean 'c2d_resnet18'?"),
        ("c2d_resnet18", "nl", "eech", "did you mean 'each'?"),
        ("c2d_resnet18", "nl", "five", "c2d_resnet18 has 2 and 2; choose other places"),
        ("c2d_resnet101", "nl", "x5", "c2d_resnet101 has 4 and 23"),
        ("c2d_resnet18", None, "each", "places=each has no effect with no blocks"),
        ("c2d_resnet18", {"layer3.1": "nl"}, "each", "no effect with blocks that name their sites"),
        ("c2d_resnet18", {"layer3.1": "n1"}, None, "blocks at layer3.1: block 'n1' must be one"),
        ("c2d_resnet18", {"type": "nl", "iner": 8}, None, "Did you mean 'inner'?"),
        ("c2d_resnet18", {"layer3.7": "nl"}, None, "no submodule 'layer3.7'; did you mean"),
        ("c2d_resnet18", {"layer3": "nl", "layer3.1": "nl"}, None, "which is inside it"),
        ("c2d_resnet18", {"layer3.1": None}, None, "give a block's name or a mapping with 'type'"),
        ("mfnet", "rcca", None, "blocks at conv4.B05: block 'rcca' does not take clips"),
    ],
)
def test_errors_say_what_is_allowed(network, blocks, places, message):
    with pytest.raises(ConfigError) as error, torch.device("meta"):
        create_model(network, 5, 2, input_size=(32, 32), blocks=blocks, places=places)
    assert message in str(error.value)


def test_all_places_are_known():
    stages = {n: tuple(f"{n}.{i}" for i in range(6 if n == 4 else 4)) for n in (2, 3, 4, 5)}
    found = {places: sites_of_places(places, stages, "a network") for places in PLACES}
    assert len(set(found.values())) == len(PLACES)
