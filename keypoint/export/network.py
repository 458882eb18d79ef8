"""The network as exported, from crops to keypoints or heatmaps, and its conversion. Errors name the
block that cannot be converted.

Letters: B batch, K keypoints, H W the crop's height and width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from keypoint.errors import ExportError
from keypoint.export.card import ExportCard
from keypoint.models import PoseNetwork
from keypoint.models.network import Network


class Exported(nn.Module):
    """Base class of exported networks, for any task."""

    model: Network

    def normalize(self, given: Tensor) -> Tensor:
        """Convert the file's input to the network's."""
        raise NotImplementedError


class ExportedNetwork(Exported):
    """Maps crops to the tensors of `card.outputs`, in that order.

    Args:
        model: The network in eval mode.
        card: Description of its inputs and outputs.
    """

    model: PoseNetwork
    flip_indices: Tensor
    crop_per_heatmap: Tensor

    def __init__(self, model: PoseNetwork, card: ExportCard) -> None:
        super().__init__()
        self.model = model
        self.card = card
        self.in_half = card.precision == "fp16"
        if card.flip:
            card.skeleton.require_pairs()
        self.register_buffer("flip_indices", torch.tensor(card.skeleton.flip_indices))
        self.register_buffer("crop_per_heatmap", torch.tensor(model.codec.crop_per_heatmap))

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        """Map crops, (B, H, W, 3) uint8 or (B, 3, H, W) float32, RGB, to the outputs."""
        heatmaps = self.run(self.normalize(crops))  # B K H/s W/s
        if self.card.outputs == "heatmaps":
            return (heatmaps,)
        keypoints, scores = self.model.codec.decode(heatmaps, self.card.decoding)
        return keypoints * self.crop_per_heatmap, scores, heatmaps

    def normalize(self, crops: Tensor) -> Tensor:
        """Convert crops to what the weights expect, (B, 3, H, W) float32."""
        if self.card.input == "uint8":
            normalized: Tensor = self.model.normalize(crops)
            return normalized
        mean, std = self.model.pixel_mean, self.model.pixel_std
        if self.model.color_order == "bgr":
            crops, mean, std = crops.flip(1), mean.flip(0), std.flip(0)
        return (crops * 255 - mean[:, None, None]) / std[:, None, None]

    def run(self, images: Tensor) -> Tensor:
        """Compute heatmaps, averaged with those of the mirrored crops if the card's flip is set."""
        if self.in_half:
            images = images.half()
        heatmaps: Tensor = self.model(images).float()
        if not self.card.flip:
            return heatmaps
        # Like flip_average.average_flipped, whose loop over pieces would fix the batch size.
        mirrored = self.model(images.flip(-1)).float()
        back = mirrored.index_select(1, self.flip_indices).flip(-1)
        if self.model.codec.flip_shift:
            back = torch.cat([back[..., :1], back[..., :-1]], dim=-1)
        average: Tensor = (heatmaps + back) / 2
        return average


def convert_network(
    model: PoseNetwork, card: ExportCard, form: str, convert: Callable[[nn.Module, Tensor], Any]
) -> Any:
    """Convert the whole network.

    Args:
        model: The network in eval mode.
        card: Description of its inputs and outputs.
        form: Name of the result's format, for the error.
        convert: Makes the result from a module and an example of its input.

    Raises:
        ExportError: The network cannot be converted; names the first block that fails alone.
    """
    network = ExportedNetwork(model, card).eval().requires_grad_(False)
    height, width = card.input_size
    example = torch.zeros(2, height, width, 3, dtype=torch.uint8)
    if card.input == "float32":
        example = torch.zeros(2, 3, height, width)
    return convert_or_name(network, example, form, convert)


def convert_or_name(
    network: Exported, example: Tensor, form: str, convert: Callable[[nn.Module, Tensor], Any]
) -> Any:
    """Convert a network.

    Args:
        network: The network, in eval mode.
        example: Example of its input.
        form: Name of the result's format, for the error.
        convert: Makes the result from a module and an example of its input.

    Raises:
        ExportError: It cannot be converted; names the first block that fails alone.
    """
    try:
        with torch.no_grad():
            return convert(network, example)
    except Exception as error:  # torch's exporters raise many classes
        where = _failing_block(network, example, convert) or "the network"
        raise ExportError(
            f"{where} cannot be exported as {form} ({first_line(error)}); give another format "
            "(.onnx, .pt2), or a network without it"
        ) from error


def first_line(error: Exception) -> str:
    """Return the first line of another library's error, or its class if it has no text."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]


def _failing_block(
    network: Exported, example: Tensor, convert: Callable[[nn.Module, Tensor], Any]
) -> str | None:
    """Return type and site of the first block that cannot be converted alone."""
    model = network.model
    blocks = [
        (site, block)
        for site, found in model.all_blocks().items()
        for block in (found if isinstance(found, nn.ModuleList) else [found])
    ]
    maps: dict[nn.Module, Tensor] = {}
    hooks = [
        block.register_forward_pre_hook(lambda block, given: maps.setdefault(block, given[0]))
        for _, block in blocks
    ]
    try:
        with torch.no_grad():
            model.float()(network.normalize(example))
    finally:
        for hook in hooks:
            hook.remove()
    for site, block in blocks:
        try:
            with torch.no_grad():
                convert(block, maps[block])
        except Exception:  # the same error again, or another one
            options = model.block_options.get(site, {})
            return f"the block {options.get('type', type(block).__name__)} at {site}"
    return None
