"""Weights of networks with and without inserted blocks, and messages if they do not fit."""

import copy

import pytest
import torch

from keypoint.blocks import insert_blocks
from tests.blocks.test_insert import IMAGE, rand, resnet18


@pytest.mark.parametrize("strict", [True, False])
def test_weights_without_the_block_are_loaded_first(strict):
    net = resnet18()
    old = net.state_dict()
    one = insert_blocks(net, "nl", after=["layer3"], example=IMAGE)
    two = insert_blocks(copy.deepcopy(one), "nl", after=["layer3.block"], example=IMAGE)
    with pytest.raises(RuntimeError) as caught:
        one.load_state_dict(old, strict=strict)
    assert str(caught.value) == (
        "load these weights before insert_blocks: they are of a network without the block after "
        "'layer3' (the state dict has layer3.* but no layer3.block.*)"
    )
    with pytest.raises(RuntimeError, match=r"has layer3.block.\* but no layer3.block.block"):
        two.load_state_dict(one.state_dict(), strict=strict)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("block", ["srl_fft", "srl_lo"])
def test_weights_of_blocks_of_another_size(strict, block):
    saved = insert_blocks(resnet18(), block, after=["layer2", "layer3"], example=IMAGE).state_dict()
    net = insert_blocks(resnet18(), block, after=["layer2", "layer3"], example=rand(1, 3, 96, 64))
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict(saved, strict=strict)
    hints, mismatches = str(caught.value).splitlines()[1:3], str(caught.value).splitlines()[3:]
    for hint, layer in zip(hints, ["layer3", "layer2"], strict=True):
        assert hint == (
            f"\tthe block after '{layer}' was built for another size or with other options: insert the "
            "blocks with an example of the same size, and with the same options, as when these weights "
            "were saved"
        )
    assert mismatches
    assert all("size mismatch for layer" in line for line in mismatches)


def test_weights_of_which_other_tensors_do_not_fit():
    net = insert_blocks(resnet18(), "srl_fft", after=["layer3"], example=IMAGE)
    saved = net.state_dict() | {"fc.bias": torch.zeros(7), "layer3.block.alpha": torch.zeros(1)}
    with pytest.raises(RuntimeError, match="size mismatch for fc.bias") as caught:
        net.load_state_dict(saved)
    assert "another size" not in str(caught.value), "torch loads one number as a scalar"


def test_weights_after_a_submodule_that_has_none_and_a_part_of_the_weights():
    old = resnet18().state_dict()
    net = insert_blocks(resnet18(), "nl", after=["relu"], example=IMAGE)
    with pytest.raises(RuntimeError, match=r"Missing key.* \"relu.block.theta"):
        net.load_state_dict(old)
    missing = net.load_state_dict(old, strict=False).missing_keys
    assert missing
    assert all(key.startswith("relu.block.") for key in missing)
    net.load_state_dict({"fc.bias": torch.ones(1000)}, strict=False)
    assert torch.equal(net.fc.bias, torch.ones(1000))
