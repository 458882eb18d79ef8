"""The network as it stands in an exported file: crops in, keypoints or heatmaps out; and its
conversion, which names the block that cannot be converted.

Letters: B batch, K keypoints, H W the crop's height and width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from keypoint.errors import ExportError
from keypoint.export.card import ExportCard
from keypoint.models import SimpleBaseline


class ExportedNetwork(nn.Module):
    """Crops to what `card.outputs` names, as tensors in that order.

    Args:
        model: In eval mode.
        card: What goes in and comes out.
    """

    flip_indices: Tensor
    crop_per_heatmap: Tensor

    def __init__(self, model: SimpleBaseline, card: ExportCard) -> None:
        super().__init__()
        self.model = model
        self.card = card
        self.in_half = card.precision == "fp16"
        self.register_buffer("flip_indices", torch.tensor(card.skeleton.flip_indices))
        self.register_buffer("crop_per_heatmap", torch.tensor(model.codec.crop_per_heatmap))

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        """(B, H, W, 3) uint8 or (B, 3, H, W) float32, RGB, as the card says."""
        heatmaps = self.run(self.normalize(crops))  # B K H/4 W/4
        if self.card.outputs == "heatmaps":
            return (heatmaps,)
        keypoints, scores = self.model.codec.decode(heatmaps)
        return keypoints * self.crop_per_heatmap, scores, heatmaps

    def normalize(self, crops: Tensor) -> Tensor:
        """What the weights eat, (B, 3, H, W) float32."""
        if self.card.input == "uint8":
            normalized: Tensor = self.model.normalize(crops)
            return normalized
        mean, std = self.model.pixel_mean, self.model.pixel_std
        if self.model.color_order == "bgr":
            crops, mean, std = crops.flip(1), mean.flip(0), std.flip(0)
        return (crops * 255 - mean[:, None, None]) / std[:, None, None]

    def run(self, images: Tensor) -> Tensor:
        """Heatmaps, averaged with those of the mirrored crops if the card says so."""
        if self.in_half:
            images = images.half()
        heatmaps: Tensor = self.model(images).float()
        if not self.card.flip:
            return heatmaps
        # As flip_average.average_flipped, whose loop over pieces would fix the batch.
        mirrored = self.model(images.flip(-1)).float()
        back = mirrored.index_select(1, self.flip_indices).flip(-1)
        if self.model.codec.flip_shift:
            back = torch.cat([back[..., :1], back[..., :-1]], dim=-1)
        average: Tensor = (heatmaps + back) / 2
        return average


def converted(
    model: SimpleBaseline, card: ExportCard, form: str, convert: Callable[[nn.Module, Tensor], Any]
) -> Any:
    """The whole network converted.

    Args:
        model: In eval mode.
        card: What goes in and comes out.
        form: Of the result, for the error.
        convert: Makes it, of a module and an example of its input.

    Raises:
        ExportError: It cannot be; names the block that fails by itself, if one does.
    """
    network = ExportedNetwork(model, card).eval().requires_grad_(False)
    height, width = card.input_size
    example = torch.zeros(2, height, width, 3, dtype=torch.uint8)
    if card.input == "float32":
        example = torch.zeros(2, 3, height, width)
    try:
        with torch.no_grad():
            return convert(network, example)
    except Exception as error:  # whatever the exporters of torch raise
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]
        found = _refused(network, example, convert)
        where = f"the block {found[1]} at {found[0]}" if found else "the network"
        raise ExportError(
            f"{where} cannot be exported as {form} ({reason}); give another form "
            f"(.onnx, .pt2, .ts), or a network without it"
        ) from error


class Alone(nn.Module):
    """A block by itself, to see whether it can be exported."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        """As the block's."""
        result: Tensor = self.block(x)
        return result


def _refused(
    network: ExportedNetwork, example: Tensor, convert: Callable[[nn.Module, Tensor], Any]
) -> tuple[str, str] | None:
    """Site and type of the first block that cannot be converted by itself."""
    model = network.model
    maps: dict[nn.Module, Tensor] = {}
    hooks = [
        block.register_forward_pre_hook(lambda block, given: maps.setdefault(block, given[0]))
        for block in model.blocks.values()
    ]
    try:
        with torch.no_grad():
            model.float()(network.normalize(example))
    finally:
        for hook in hooks:
            hook.remove()
    for site, block in model.blocks.items():
        try:
            with torch.no_grad():
                convert(Alone(block), maps[block])
        except Exception:  # the same error again, or another one
            options = model.block_options.get(site, {})
            return site, str(options.get("type", type(block).__name__))
    return None
