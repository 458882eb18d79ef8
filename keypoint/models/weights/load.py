"""Load ImageNet weights or a file into a network, strictly by name, and report what was loaded.

`formats` recognises a file, `report` compares it with the network. The network adopts the colour
order, mean and std of the weights.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from keypoint.errors import CheckpointError, ConfigError
from keypoint.models.encoder import IMAGENET_WEIGHTS
from keypoint.models.hrnet import HRNet
from keypoint.models.names import architecture_of, is_timm
from keypoint.models.network import Network
from keypoint.models.own_network import OwnNetwork
from keypoint.models.pose_network import PoseNetwork
from keypoint.models.simple_baseline import SimpleBaseline
from keypoint.models.timm_baseline import TimmBaseline
from keypoint.models.weights.differences import keys_to_set
from keypoint.models.weights.formats import Weights, read_weights, recognise
from keypoint.models.weights.report import Report, compare
from keypoint.models.weights.timm_files import (
    from_timm_file,
    imagenet_of_hrnet,
    pretrained_of_timm,
)

logger = logging.getLogger(__name__)

CODEC_NOTE = "codec heatmap assumed; give model.codec=udp if it was trained with udp"


def require_file_for(weights: str | Path | None, **flags: bool) -> None:
    """Refuse flags about a weights file without such a file.

    Raises:
        ConfigError: Names all flags that have no effect.
    """
    given = [flag for flag, is_set in flags.items() if is_set]
    if given and weights in (None, "imagenet"):
        verb = "has" if len(given) == 1 else "have"
        text = f"{' and '.join(given)} {verb} no effect with weights={weights!r}; give a file"
        raise ConfigError(text)


def load_imagenet_encoder(model: Network, encoder: str) -> None:
    """Load torchvision's or timm's ImageNet weights into the encoder; downloaded at the first use.

    Args:
        model: The network; HRNet gets timm's weights up to its head.
        encoder: The encoder's name, or hrnet_w32 or hrnet_w48.

    Raises:
        CheckpointError: The download failed; the text names a folder to copy the file into.
    """
    if isinstance(model, TimmBaseline):
        fill(model, pretrained_of_timm(model), f"timm's weights of {encoder}")
        return
    if isinstance(model, HRNet):
        fill(model, imagenet_of_hrnet(encoder), f"timm's weights of {encoder}")
        return
    from torchvision.models import get_model_weights  # importing it takes as long as torch

    weights = get_model_weights(encoder)[IMAGENET_WEIGHTS]
    cache = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    try:
        state = weights.get_state_dict(progress=True, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise CheckpointError(
            f"{weights.url}: ImageNet weights of {encoder} could not be downloaded ({error}); "
            f"put the file at {cache}, give model.weights=FILE, "
            "or train from scratch with model.weights=none"
        ) from None
    weights = recognise(state, str(cache))
    logger.info("%s", load_state(model, weights, str(cache), whole=False).text())


def load_weights_file(
    model: Network,
    path: Path,
    *,
    partial: bool = False,
    new_head: bool = False,
    whole: bool = False,
    color_order: str | None = None,
    keypoints: Sequence[str] | None = None,
) -> Report:
    """Load a file of any format in `formats` into the network, or into its encoder.

    Args:
        model: Any of our networks; weights, colour order, mean and std are set.
        path: The file.
        partial: Allow whole blocks of the network to be missing in the file. New blocks are the
            identity, so the output stays exactly that of the network without them.
        new_head: Skip the file's head, which has other keypoints or classes; the network's head is
            unchanged.
        whole: Refuse a file with only an encoder, and weights that were trained with another codec,
            sigma or keypoints.
        color_order: "rgb" or "bgr", if it is not what is usual for the file's format.
        keypoints: The skeleton's names; with `whole`, the file's must be equal if it has any.

    Raises:
        CheckpointError: The file cannot be read, or its tensors, blocks or settings do not fit.
            Nothing is loaded then.
    """
    own_names = isinstance(model, (OwnNetwork, TimmBaseline))
    weights = read_weights(path, color_order, own_names=own_names)
    if isinstance(model, TimmBaseline):
        weights = from_timm_file(model, weights)
    return fill(
        model,
        weights,
        str(path),
        partial=partial,
        new_head=new_head,
        whole=whole,
        keypoints=keypoints,
    )


def fill(
    model: Network,
    weights: Weights,
    source: str,
    *,
    partial: bool = False,
    new_head: bool = False,
    whole: bool = False,
    keypoints: Sequence[str] | None = None,
) -> Report:
    """Load weights that were already read; log and errors name `source`."""
    _check_task(model, weights, source)
    if isinstance(model, PoseNetwork) and weights.content is not None and not whole:
        wrong = keys_to_set(model, weights, partial=partial, new_head=new_head)
        if wrong:
            raise CheckpointError(f"{source}: {wrong}")
    _check_network(model, weights.trained, source, whole)
    if whole and isinstance(model, PoseNetwork):
        _check_heatmaps(model, weights, source, keypoints)
        if "codec" not in weights.trained and not model.codec.udp:
            weights = replace(weights, notes=(*weights.notes, CODEC_NOTE))
    report = load_state(model, weights, source, partial=partial, new_head=new_head, whole=whole)
    model.set_colors(weights.color_order, weights.mean, weights.std)
    logger.info("%s", report.text())
    _warn_of_size(model, weights.trained, source, whole)
    return report


def load_state(
    model: Network,
    weights: Weights,
    source: str,
    *,
    partial: bool = False,
    new_head: bool = False,
    whole: bool = True,
) -> Report:
    """Copy weights into the network, or into its encoder if there is nothing else.

    Args:
        model: The network; filled in place.
        weights: Only their tensors are used.
        source: Named in errors.
        partial: Allow whole blocks to be missing.
        new_head: Skip the file's head.
        whole: Refuse a file with only an encoder.

    Raises:
        CheckpointError: Names or shapes do not fit, values are not finite, or `partial` or
            `new_head` has no effect. Then nothing is loaded.
    """
    weights = replace(weights, state=with_our_names(model, weights.state))
    head = head_of(model, weights.state) if new_head else []
    left_out = (*weights.left_out, *(name for name in head if name in weights.state))
    state = {name: tensor for name, tensor in weights.state.items() if name not in head}
    weights = replace(weights, state=state, left_out=left_out)
    report = compare(model, weights, source, partial=partial, new_head=head, whole=whole)
    idle = {}  # keys without effect, and why
    if new_head and not head:
        with_other = "" if model.HEAD else f" with another number of {model.OUTPUTS}"
        idle["model.new_head"] = f"a new head has no effect, as the file has no head{with_other}"
    else:
        report.check()
    if partial and not report.new_blocks:
        what = "it has only an encoder" if report.encoder_only else "it lacks none of the blocks"
        key = "--partial" if whole else "model.partial_weights"
        idle[key] = f"a partial load has no effect, as {what}"
    if idle:
        raise CheckpointError(f"{source}: {'; '.join(idle.values())}; remove {' and '.join(idle)}")
    model.load_state_dict(weights.state, strict=False)
    return report


def head_of(model: Network, state: Mapping[str, Tensor]) -> list[str]:
    """Name the tensors of the head, which differ in the file; none if the file has none of them.

    In a user's network, they are the tensors that have K outputs and differ from the file's only
    in the number of outputs.
    """
    ours = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    if model.HEAD:
        head = [name for name in ours if name.startswith(model.HEAD)]
    else:
        theirs = {name: tuple(state[name].shape) for name in ours if name in state}
        outputs = model.num_outputs
        head = [
            name
            for name, shape in theirs.items()
            if ours[name][:1] == (outputs,) != shape[:1] and ours[name][1:] == shape[1:]
        ]
    return head if any(name in state for name in head) else []


def with_our_names(model: Network, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the file's tensors by the network's names, if the file was saved without them.

    A block after a submodule renames the submodule to `<name>.site`, and a user's module is under
    `network.`; a file of the bare network has neither.
    """
    inserted = [path for path in model.block_paths().values() if not path.startswith("blocks.")]
    plain = {}
    for name in model.state_dict():
        theirs = name
        for path in inserted:
            before = path.removesuffix("block")
            if theirs.startswith(f"{before}site."):
                theirs = before + theirs.removeprefix(f"{before}site.")
        plain[theirs.removeprefix(model.WITHIN)] = name
        plain[name.removeprefix(model.WITHIN)] = name
    ours = set(plain.values())
    return {
        name if name in ours else plain.get(name, name): tensor for name, tensor in state.items()
    }


def _check_heatmaps(
    model: PoseNetwork, weights: Weights, source: str, keypoints: Sequence[str] | None
) -> None:
    """Check the meaning of the heatmaps: their codec, their sigma and their keypoints."""
    trained, codec = weights.trained, model.codec
    if trained.get("codec", codec.name) != codec.name:
        raise CheckpointError(
            f"{source}: trained with codec {trained['codec']}, but the config has {codec.name}; "
            f"set model.codec={trained['codec']}"
        )
    sigma = trained.get("heatmap_sigma", codec.heatmap_sigma)
    width = replace(codec, heatmap_sigma=sigma).sigma  # None is in proportion to the input size
    if width != codec.sigma:
        raise CheckpointError(
            f"{source}: trained with heatmap_sigma {width}, but the config has {codec.sigma}; "
            f"set model.heatmap_sigma={'none' if sigma is None else sigma}"
        )
    names = weights.keypoints
    if keypoints is None or names is None or len(names) != len(keypoints):
        return  # the head's shape shows another number of them
    for number, (theirs, ours) in enumerate(zip(names, keypoints, strict=True)):
        if theirs != ours:
            raise CheckpointError(
                f"{source}: its keypoint {number} is {theirs}, but the skeleton's is {ours}; "
                "remove data.skeleton or set it to the skeleton it was trained with"
            )


def _check_task(model: Network, weights: Weights, source: str) -> None:
    """Check that a checkpoint has the network's task."""
    if weights.content is None:
        return
    tasks = "keypoints", "action recognition"
    theirs, ours = weights.classes is not None, not isinstance(model, PoseNetwork)
    if theirs != ours:
        raise CheckpointError(
            f"{source}: a checkpoint for {tasks[theirs]}, but the network is for {tasks[ours]}; "
            "set model.weights to another file"
        )


def _check_network(model: Network, trained: Mapping[str, Any], source: str, whole: bool) -> None:
    """Check settings that names and shapes do not show: dilation, options, sizes."""
    encoder = str(trained.get("encoder", ""))
    if isinstance(model, SimpleBaseline) and is_timm(encoder):
        raise CheckpointError(
            f"{source}: trained with the encoder {encoder}, but the network has a ResNet of "
            f"torchvision; set model.encoder={encoder}"
        )
    for key, ours in model.settings().items():
        theirs = trained.get(key, ours)
        if key == "encoder":
            theirs = architecture_of(str(theirs))
        if theirs != ours:
            raise CheckpointError(
                f"{source}: trained with {key}={str(theirs).lower()}, but the network has "
                f"{str(ours).lower()}; set model.{key}={str(theirs).lower()}"
            )
    blocks = model.blocks_of(trained)
    for site, options in blocks.items():
        ours = model.block_options.get(site)
        if ours is not None and ours != options:
            raise CheckpointError(
                f"{source}: its block at {site} is {options}, but the network's is {ours}; "
                "set model.blocks to the blocks it was trained with"
            )
    size, given = list(trained.get("input_size", model.input_size)), list(model.input_size)
    if blocks and whole and size != given:
        raise CheckpointError(
            f"{source}: its blocks were built for input_size={size}, the network's for {given}; "
            f"remove --cfg and give model.input_size={given}, which keeps the blocks"
        )


def _warn_of_size(model: Network, trained: Mapping[str, Any], source: str, whole: bool) -> None:
    """Warn of another input size, after loading: before, an error may report more."""
    size, given = list(trained.get("input_size", model.input_size)), list(model.input_size)
    if size == given:
        return
    if model.blocks_of(trained):
        logger.warning(
            "%s: its blocks were built for input_size=%s, the network's for %s: until trained, "
            "they act on other frequencies there",
            *(source, size, given),
        )
    elif whole:
        logger.warning("%s: trained at input_size=%s, but the network has %s", source, size, given)
