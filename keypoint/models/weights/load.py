"""Fill a network from ImageNet weights or from a file, by name, strictly; say what was loaded.

Formats and colours: `weight_formats`; what fits: `weight_report`. The network takes over the
colour order, mean and std of the weights.
"""

from __future__ import annotations

import functools
import logging
import pickle
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from keypoint.errors import CheckpointError
from keypoint.models.encoder import IMAGENET_WEIGHTS
from keypoint.models.weights.formats import CLASSIFIER, ENCODER_PREFIXES, Weights, read_weights
from keypoint.models.weights.report import Report, remedy, sites_of
from keypoint.models.weights.tensor_reader import check_file, first_line, stored_plainly

logger = logging.getLogger(__name__)

CODEC_NOTE = "codec heatmap assumed; model.codec=udp if it was trained so"


def load_imagenet_encoder(model: nn.Module, encoder: str) -> None:
    """Fill the encoder with torchvision's ImageNet weights, downloaded at the first use.

    Raises:
        CheckpointError: The download failed; the text says where a copy can be put by hand.
    """
    weights = torchvision.models.get_model_weights(encoder)[IMAGENET_WEIGHTS]
    cache = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    try:
        state = weights.get_state_dict(progress=True, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise CheckpointError(
            f"{weights.url}: ImageNet weights of {encoder} could not be downloaded ({error}); "
            f"put the file at {cache}, give model.weights=FILE, "
            "or train from scratch with model.weights=none"
        ) from None
    state = {name: tensor for name, tensor in state.items() if name not in CLASSIFIER}
    logger.info(load_state(model, state, str(cache), whole=False).text())


def load_weights_file(
    model: nn.Module,
    path: Path,
    *,
    partial: bool = False,
    whole: bool = False,
    color_order: str | None = None,
    keypoints: Sequence[str] | None = None,
) -> Report:
    """Fill the network, or its encoder, from a file of any format in `weight_formats`.

    Args:
        model: A SimpleBaseline; weights, colour order, mean and std are filled in.
        path: The file.
        partial: Blocks of the network may be missing in the file, whole; the network then gives
            exactly the output it would give without them.
        whole: An encoder alone will not do.
        color_order: "rgb" or "bgr" against what is usual for the file's format.
        keypoints: Names of the skeleton's, to be the file's with `whole`, as far as it has them.

    Raises:
        CheckpointError: The file cannot be read, or its tensors or blocks do not fit; with `whole`,
            it was trained to another codec, sigma or keypoints.
    """
    weights = read_weights(path, color_order)
    return fill(model, weights, str(path), partial=partial, whole=whole, keypoints=keypoints)


def fill(
    model: Any,
    weights: Weights,
    source: str,
    *,
    partial: bool = False,
    whole: bool = False,
    keypoints: Sequence[str] | None = None,
) -> Report:
    """`load_weights_file` of what was read; `source` is named in log and errors."""
    if whole:
        _check_heatmaps(model, weights, source, keypoints)
        if "codec" not in weights.trained and not model.codec.udp:
            weights = replace(weights, notes=(*weights.notes, CODEC_NOTE))
    _check_config(model, weights, source, whole)
    report = load_state(model, weights.state, source, partial=partial, whole=whole, weights=weights)
    model.set_colors(weights.color_order, weights.mean, weights.std)
    logger.info("%s", report.text())
    return report


def read_file(path: Path) -> Any:
    """What a torch file holds, tensors and plain types only; no code of the file is ever run.

    Raises:
        CheckpointError: Missing, not a torch file, damaged (a zip record whose checksum is wrong),
            or holding objects.
    """
    check_file(path)
    try:
        if zipfile.is_zipfile(path):  # torch itself reads past a flipped bit
            with zipfile.ZipFile(path) as archive:
                for entry in archive.infolist():
                    stored_plainly(archive, entry.filename)
                damaged = archive.testzip()
            if damaged:
                raise CheckpointError(
                    f"{path}: corrupt, wrong checksum (CRC) of {damaged!r}; use another copy"
                )
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:  # its text advises to run the code
        raise CheckpointError(
            f"{path}: not a file of tensors, or unsafe: it holds objects that only running its "
            "code could build; keypoint import-weights takes the tensors out of it"
        ) from None
    except CheckpointError:
        raise
    except Exception as error:  # a damaged pickle can fail in any way
        raise CheckpointError(
            f"{path}: truncated, corrupt or no torch file ({first_line(error)}); use another copy"
        ) from None


def load_state(
    model: nn.Module,
    state: Mapping[str, Tensor],
    source: str,
    *,
    partial: bool = False,
    whole: bool = True,
    weights: Weights | None = None,
) -> Report:
    """Copy a state dict into the network: all of it, or the encoder if there is nothing else.

    Args:
        model: The network; filled in place.
        state: By our names.
        source: Named in errors.
        partial: Whole blocks may be missing.
        whole: An encoder alone will not do.
        weights: What the report says about the file.

    Raises:
        CheckpointError: Names or shapes that do not fit, or values that are not finite; or a block
            that is missing does not start as the identity. Nothing is loaded then.
    """
    wanted = model.state_dict()
    encoder_only = not whole and all(name.startswith(ENCODER_PREFIXES) for name in state)
    if encoder_only:
        wanted = {k: v for k, v in wanted.items() if k.startswith(ENCODER_PREFIXES)}
    # Files from before torch 0.4.1 lack this counter, and nothing reads it while momentum is set.
    missing = [
        name for name in wanted if name not in state and not name.endswith("num_batches_tracked")
    ]
    new_sites = [site for site in sites_of(wanted) if site not in sites_of(state)]
    new = tuple(f"blocks.{site}." for site in new_sites) if partial else ()
    shared = [name for name in wanted if name in state]
    report = Report(
        source=source,
        format=weights.format if weights else "keypoint",
        color_order=weights.color_order if weights else None,
        mean=weights.mean if weights else (),
        std=weights.std if weights else (),
        notes=weights.notes if weights else (),
        matched=tuple(name for name in shared if state[name].shape == wanted[name].shape),
        missing=tuple(missing),
        allowed=tuple(name for name in missing if new and name.startswith(new)),
        unexpected=tuple(name for name in state if name not in wanted),
        misshapen=tuple(
            (name, tuple(state[name].shape), tuple(wanted[name].shape))
            for name in shared
            if state[name].shape != wanted[name].shape
        ),
        not_finite=tuple(n for n, tensor in state.items() if not torch.isfinite(tensor).all()),
        left_out=weights.left_out if weights else (),
        encoder_only=encoder_only,
        remedy=remedy(state, wanted),
    )
    report.check()
    if partial:
        _check_partial(model, new_sites, report)
    model.load_state_dict(dict(state), strict=False)
    return report


def _check_partial(model: Any, new_sites: list[str], report: Report) -> None:
    """The flag must have something to do, and what it adds must not change the network."""
    if report.encoder_only or not new_sites:
        what = "it is an encoder alone" if report.encoder_only else "it lacks none of the blocks"
        raise CheckpointError(
            f"{report.source}: a partial load has no effect, as {what}; "
            "leave --partial or model.partial_weights out"
        )
    changing: list[str] = []

    def compare(site: str, _: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        if not torch.equal(inputs[0], output):
            changing.append(site)

    hooks = [
        model.blocks[site].register_forward_hook(functools.partial(compare, site))
        for site in new_sites
    ]
    training, device = model.training, model.pixel_mean.device
    example = torch.randn(1, 3, *model.input_size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        model.eval()(example.to(device))
    model.train(training)
    for hook in hooks:
        hook.remove()
    if changing:
        raise CheckpointError(
            f"{report.source}: the block at {changing[0]} ({model.block_options[changing[0]]}) "
            "does not start as the identity, so the network would change; choose other options"
        )


def _check_heatmaps(
    model: Any, weights: Weights, source: str, keypoints: Sequence[str] | None
) -> None:
    """What the heatmaps mean: whose keypoints they are, by which convention, and how wide."""
    trained, codec = weights.trained, model.codec
    if trained.get("codec", codec.name) != codec.name:
        raise CheckpointError(
            f"{source}: trained to the codec {trained['codec']}, the config says {codec.name}; "
            f"set model.codec={trained['codec']}"
        )
    sigma = trained.get("heatmap_sigma", codec.heatmap_sigma)
    width = replace(codec, heatmap_sigma=sigma).sigma  # none is in proportion to the input size
    if width != codec.sigma:
        raise CheckpointError(
            f"{source}: trained to a heatmap_sigma of {width}, the config's is {codec.sigma}; "
            f"set model.heatmap_sigma={'none' if sigma is None else sigma}"
        )
    if keypoints is None or weights.keypoints is None:
        return
    # Another number of them is seen by the head's shape.
    for number, (theirs, ours) in enumerate(zip(weights.keypoints, keypoints, strict=False)):
        if len(weights.keypoints) == len(keypoints) and theirs != ours:
            raise CheckpointError(
                f"{source}: its keypoint {number} is {theirs}, the skeleton's is {ours}; leave "
                "data.skeleton out or set it to the one that it was trained with"
            )


def _check_config(model: Any, weights: Weights, source: str, whole: bool) -> None:
    """What names and shapes do not tell, our own files do: dilation, blocks' options, sizes."""
    config = weights.trained
    if config.get("dilated", model.dilated) != model.dilated:  # the tensors are the same
        raise CheckpointError(
            f"{source}: its encoder is {'' if config['dilated'] else 'not '}dilated; "
            f"set model.dilated={str(config['dilated']).lower()}"
        )
    theirs = model.describe_blocks(config.get("blocks"))
    for site, options in theirs.items():
        ours = model.block_options.get(site)
        if ours is not None and ours != options:
            raise CheckpointError(
                f"{source}: its block at {site} is {options}, the network's is {ours}; "
                "set model.blocks to what it was trained with"
            )
    size, given = config.get("input_size", model.input_size), list(model.input_size)
    if list(size) == given:
        return
    if theirs:
        text = f"{source}: its blocks were built for input_size={list(size)}, the network's {given}"
        if whole:
            raise CheckpointError(
                f"{text}; leave --cfg out and give model.input_size={given}, which keeps the blocks"
            )
        logger.warning("%s: they mean other frequencies there until trained", text)
    elif whole:
        logger.warning("%s: trained at input_size=%s, the network's is %s", source, size, given)
