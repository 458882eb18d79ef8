"""Suggest what to do if a file does not fit a classification network, by the likeliest reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor

from keypoint.models.names import encoder_of
from keypoint.models.network import Network

SAME = "Use the network, blocks, frames, input size and classes that the file was made with"
WITHIN_BLOCK, WITHIN_SITE = ".block.", ".site."


def remedy_of_classifier(
    model: Network, state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]
) -> str:
    """Return one sentence.

    Args:
        model: Any network but a PoseNetwork.
        state: The file's tensors, by our names.
        wanted: The network's.
    """
    theirs, ours = encoder_of(without_blocks(state)), encoder_of(without_blocks(wanted))
    if theirs != ours and theirs is not None:
        this = f"this one is a {ours}" if ours else "this one is not a ResNet"
        return f"The file's network is a {theirs}, {this}: set model.network=c2d_{theirs}"
    if theirs != ours:
        return f"The file has no ResNet with torchvision's names, this one is a {ours}: use another"
    extra = [site for site in sites_of(state) if site not in sites_of(wanted)]
    if extra:
        return (
            f"The file has blocks at {extra}: set model.blocks and model.places to those it was "
            "trained with"
        )
    lacking = [site for site in sites_of(wanted) if site not in sites_of(state)]
    if lacking:
        return (
            f"The file has no blocks at {lacking}: add them with model.partial_weights=true in "
            "training, or use model.blocks=none"
        )
    different = [name for name, tensor in state.items() if _differs(tensor, wanted.get(name))]
    if any(name.startswith(model.HEAD) for name in different):
        number = next(len(state[name]) for name in different if name.startswith(model.HEAD))
        return (
            f"The file has {number} {model.OUTPUTS}, the data {model.num_outputs}: use the classes "
            "that it was trained with, or train a new head from the rest of it with "
            "model.new_head=true"
        )
    if any(WITHIN_BLOCK in name for name in different):
        return (
            "The file's blocks differ, or were built for another input size or number of "
            "frames: set model.blocks, model.input_size and clips.frames to those it was trained "
            "with"
        )
    return SAME


def without_blocks(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors by the names that the network has without blocks."""
    return {
        name.replace(WITHIN_SITE, "."): tensor
        for name, tensor in state.items()
        if WITHIN_BLOCK not in name
    }


def sites_of(state: Iterable[str]) -> list[str]:
    """Name the submodules that are followed by a block, in the order of the state dict."""
    found = (name.split(WITHIN_BLOCK)[0] for name in state if WITHIN_BLOCK in name)
    return list(dict.fromkeys(found))


def _differs(tensor: Tensor, ours: Tensor | None) -> bool:
    return ours is not None and ours.shape != tensor.shape
