"""The interface of a pose network: normalised images in, one heatmap per keypoint out.

Trainer, evaluation, predictor, export, complexity and checkpoint take any `PoseNetwork`: ours
(SimpleBaseline, HRNet), or a user's (own_network.py). Letters: B batch, K keypoints, H W the
input's height and width, s the heatmap's stride.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from keypoint.errors import ConfigError
from keypoint.models.network import Network, check_input_size
from keypoint.pose.codec import Codec
from keypoint.pose.names import STRIDE


class PoseNetwork(Network):
    """Base class: input and codec, with what `Network` has. A subclass adds layers and `forward`.

    Args:
        input_size: (height, width) of the crops.
        num_keypoints: K.
        multiple: Both sides of the input must be multiples of it.
        stride: s, input pixels per heatmap pixel.
        codec: "heatmap" or "udp": the convention of the trained heatmaps (codec.py).
        heatmap_sigma: Sigma of the targets in heatmap pixels; None for that of the references.

    Raises:
        ConfigError: The size does not fit, K is below 1, or the codec is unknown.
    """

    HEAD = "final_layer."
    OUTPUTS = "keypoints"

    def __init__(
        self,
        *,
        input_size: tuple[int, int],
        num_keypoints: int,
        multiple: int,
        stride: int = STRIDE,
        codec: str = "heatmap",
        heatmap_sigma: float | None = None,
    ) -> None:
        super().__init__()
        self.multiple = multiple
        size = check_input_size(input_size, multiple)
        self.codec = Codec(size, codec, heatmap_sigma, stride)
        if num_keypoints < 1:
            raise ConfigError(f"num_keypoints={num_keypoints} must be at least 1")
        self.num_keypoints = num_keypoints

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) to heatmaps (B, K, H/s, W/s).

        Their values are any real numbers, about 1 at a keypoint if the network is certain.
        """
        raise NotImplementedError

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the crops."""
        return self.codec.input_size

    @property
    def num_outputs(self) -> int:
        """K, one heatmap each."""
        return self.num_keypoints

    @property
    def heatmap_size(self) -> tuple[int, int]:
        """(height, width), the input's over the stride."""
        return self.codec.heatmap_size

    def set_input_size(self, input_size: tuple[int, int]) -> None:
        """Use the network unchanged at another resolution (height, width).

        No weight changes: convolutions take any size, and the blocks act on the frequencies of the
        size they were built for.

        Raises:
            ConfigError: A side is not a positive multiple of `multiple`.
        """
        self.codec = replace(self.codec, input_size=check_input_size(input_size, self.multiple))
