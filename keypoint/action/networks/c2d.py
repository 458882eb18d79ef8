"""C2D: a 2-D ResNet on every frame; only pooling works over time.

Source: SRL paper, table 7; Wang et al., "Non-local Neural Networks", CVPR 2018, table 1 (PNL's
R-50). All kernels are 1 x k x k, so they are run as 2-D convolutions with frames folded into the
batch: names, shapes and ImageNet weights are torchvision's. As in torchvision, the bottleneck has
its stride in the 3x3 convolution. pool1 pads by 1, so that its maps are 56 x 56 as in table 7.

                      T of the form 8x8 (any even T)    32x2 (any multiple of 8)
    input             8                                 32
    conv1 7x7         8                                 16      stride 2 in time
    pool1 3x3         8                                 8       max over 2 frames
    layer1 (res2)     8                                 8
    pool2 2x1x1       4                                 4       max over 2 frames
    layer2 .. layer4  4                                 4
    mean over T H W, dropout, fc

The forms are named after their usual sampling: 8 frames, every 8th; 32 frames, every 2nd.

Letters: B batch, C channels, T frames, H W size, n T frames at a stage.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from keypoint.action.networks.names import FORMS, usual_places
from keypoint.action.networks.network import ActionNetwork, ClipMap, halved
from keypoint.errors import ConfigError
from keypoint.models.encoder import STAGES, resnet_encoder
from keypoint.models.fold_norms import pairs_in_resnet

HEAD_STD = 0.01
# Input frames per frame of the map: before and after pool2.
TIME_STRIDES = {"8x8": (1, 2), "32x2": (4, 8)}
LAYERS = ("layer1", "layer2", "layer3", "layer4")


class C2D(ActionNetwork):
    """Maps clips to a score for each class.

    The parameter names are those of torchvision's ResNet (`conv1`, `layer1.0.conv1` .., `fc`).

    Args:
        encoder: resnet18, resnet34, resnet50, resnet101 or resnet152.
        num_classes: Number of classes.
        frames: T, a multiple of 2 in the form 8x8, of 8 in 32x2. Without blocks, clips may have
            another such T.
        form: "8x8" or "32x2".
        input_size: (height, width) of the frames; blocks are built for the maps of this size.
        dropout: Before the classifier, in training.

    Raises:
        ConfigError: The encoder, form, size or number is not supported.
        ValueError: In forward, if T of the clips does not fit.
    """

    ENCODER_PREFIXES = tuple(f"{stage}." for stage in STAGES)
    FOLDS_FRAMES = True

    # Added by name in the constructor.
    conv1: nn.Module
    bn1: nn.Module
    relu: nn.Module
    maxpool: nn.Module
    layer1: nn.Module
    layer2: nn.Module
    layer3: nn.Module
    layer4: nn.Module

    def __init__(
        self,
        encoder: str = "resnet50",
        *,
        num_classes: int,
        frames: int = 8,
        form: str = "8x8",
        input_size: tuple[int, int] = (224, 224),
        dropout: float = 0.5,
    ) -> None:
        if form not in FORMS:
            raise ConfigError(f"form={form!r} must be one of {', '.join(FORMS)}")
        modules, channels = self.build_encoder(encoder)
        super().__init__(
            f"c2d_{encoder}",
            num_classes=num_classes,
            frames=frames,
            input_size=input_size,
            frames_multiple=TIME_STRIDES[form][1],
        )
        self.form = form
        for name, stage in modules.items():
            self.add_module(name, stage)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels["layer4"], num_classes)
        nn.init.normal_(self.fc.weight, std=HEAD_STD)
        nn.init.zeros_(self.fc.bias)
        self.blocks = nn.ModuleDict()  # no other blocks: all follow submodules

        self.usual_places = usual_places(self.name)
        self.stages = {
            number: tuple(
                f"{layer}.{unit}" for unit, _ in self.get_submodule(layer).named_children()
            )
            for number, layer in enumerate(LAYERS, start=2)
        }
        self.maps = {
            unit: ClipMap(
                channels[LAYERS[number - 2]],
                frames // TIME_STRIDES[form][number > 2],
                halved(self.input_size, number),
            )
            for number, units in self.stages.items()
            for unit in units
        }
        self.SITES = tuple(self.maps)

    @staticmethod
    def build_encoder(encoder: str) -> tuple[nn.ModuleDict, dict[str, int]]:
        """Return the stages by name, and the channels after each layer, as `resnet_encoder`."""
        return resnet_encoder(encoder)

    def settings(self) -> dict[str, Any]:
        """Return the network's name and form; the form changes no parameter name or shape."""
        return {**super().settings(), "form": self.form}

    def insertion(self, site: str) -> dict[str, Any]:
        """Return the frames of the folded maps at a submodule that is not a unit."""
        first = site.partition(".")[0]
        if first in ("conv1", "bn1", "relu"):
            return {"frames": self.frames // (2 if self.form == "32x2" else 1)}
        after_pool2 = first in LAYERS[1:]
        return {"frames": self.frames // TIME_STRIDES[self.form][after_pool2]}

    def forward(self, clips: Tensor) -> Tensor:
        """Map normalised clips (B, 3, T, H, W) to a score for each class, (B, num_classes)."""
        self.check_clips(clips)
        clips = clips.transpose(1, 2)  # B T 3 H W
        if self.form == "32x2":
            clips = clips[:, ::2]  # conv1's temporal stride: its kernel has one frame
        x = clips.flatten(0, 1)  # BT 3 H W
        x = self.relu(self.bn1(self.conv1(x)))  # BT 64 H/2 W/2
        if self.form == "32x2":
            x = max_of_pairs(x)
        x = self.maxpool(x)  # BT 64 H/4 W/4
        x = max_of_pairs(self.layer1(x))  # Bn C H/4 W/4
        x = self.layer4(self.layer3(self.layer2(x)))  # Bn C H/32 W/32
        mean = x.mean((2, 3)).unflatten(0, (clips.shape[0], -1)).mean(1)  # B C
        scores: Tensor = self.fc(self.dropout(mean))  # B num_classes
        return scores

    def check_clips(self, clips: Tensor) -> None:
        """Refuse clips whose T does not fit the temporal pooling or the blocks."""
        super().check_clips(clips)
        multiple = TIME_STRIDES[self.form][1]
        if clips.shape[2] % multiple:
            raise ValueError(
                f"{self.name} in the form {self.form}: the number of frames must be a multiple of "
                f"{multiple}, got {clips.shape[2]} in clips of shape {tuple(clips.shape)}"
            )

    def parts(self) -> Iterator[tuple[str, nn.Module]]:
        """Return the network in the order of the forward pass: stem, layers, head."""
        yield "stem", nn.Sequential(self.conv1, self.bn1, self.relu, self.maxpool)
        for layer in LAYERS:
            yield layer, getattr(self, layer)
        yield "head", self.fc

    def foldable(self) -> Iterator[tuple[nn.Module, str, str]]:
        """Return the modules of the encoder; blocks fold their own norms in eval mode."""
        yield self, "conv1", "bn1"
        for layer in LAYERS:
            yield from pairs_in_resnet(self.get_submodule(layer))


def max_of_pairs(x: Tensor) -> Tensor:
    """Max-pool folded frames, 2x1x1 with temporal stride 2: 2B C H W -> B C H W."""
    first, second = x.unflatten(0, (x.shape[0] // 2, 2)).unbind(1)
    return torch.maximum(first, second)
