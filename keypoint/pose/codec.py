"""A codec: keypoints to heatmaps and back, all steps in one pixel convention.

Crop, targets, flip average, decoding and the map to the image have to use the same convention: one
step of another convention lowers AP without an error. So they are chosen together, by the codec's
name, which is a property of the weights like the color order:

    heatmap  SimpleBaseline's and HRNet's: sizes count pixels, targets are centred on whole pixels,
             mirrored heatmaps are shifted one column, peaks are refined by a quarter pixel or DARK
    udp      Huang et al. 2020: sizes are one less, targets may be centred between pixels, mirrored
             heatmaps are not shifted, and peaks are refined by UDP's form of DARK

Letters: B batch, K keypoints, P persons, H W the heatmap's height and width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from keypoint.errors import ConfigError
from keypoint.pose import flip_average, heatmap
from keypoint.pose.dark import dark_offset
from keypoint.pose.geometry import CropFrame, Floats
from keypoint.pose.names import DECODINGS, STRIDE


@dataclass(frozen=True)
class Codec:
    """The convention of one network's heatmaps.

    Attributes:
        input_size: (height, width) of the crops, multiples of the stride.
        name: "heatmap" or "udp".
        heatmap_sigma: Sigma of the targets in heatmap pixels; None for the references' sigma, which
            is 2 at width 192 and grows with the width.
        stride: Pixels of the crop per pixel of the heatmap; the network decides it.

    Raises:
        ConfigError: The name is unknown.
    """

    input_size: tuple[int, int]
    name: str = "heatmap"
    heatmap_sigma: float | None = None
    stride: int = STRIDE

    def __post_init__(self) -> None:
        if self.name not in DECODINGS:
            raise ConfigError(f"codec={self.name!r} is unknown; choose one of {list(DECODINGS)}")

    @property
    def udp(self) -> bool:
        """Whether lengths are measured between the middles of the first and the last pixel."""
        return self.name == "udp"

    @property
    def heatmap_size(self) -> tuple[int, int]:
        """(height, width) of the heatmaps."""
        return self.input_size[0] // self.stride, self.input_size[1] // self.stride

    @property
    def sigma(self) -> float:
        """Sigma of the targets in heatmap pixels."""
        return self.heatmap_sigma or heatmap.default_sigma(self.input_size, self.stride)

    @property
    def flip_shift(self) -> bool:
        """Whether heatmaps of a mirrored crop are shifted; the convention decides it."""
        return not self.udp

    def crop_frame(self, bbox_xywh: Floats) -> CropFrame:
        """The crops of boxes (P, 4) by this convention."""
        return CropFrame.from_bboxes(bbox_xywh, self.input_size, udp=self.udp)

    def encode(self, keypoints_crop: Tensor, labelled: Tensor) -> tuple[Tensor, Tensor]:
        """Targets (B, K, H, W) and weights (B, K), as `heatmap.encode` returns them."""
        return heatmap.encode(
            keypoints_crop,
            labelled,
            self.heatmap_size,
            self.sigma,
            udp=self.udp,
            stride=self.stride,
        )

    def average_flipped(self, heatmaps: Tensor, mirrored: Tensor, flip_indices: Tensor) -> Tensor:
        """The mean of heatmaps and mirrored heatmaps; see `flip_average.average_flipped`."""
        return flip_average.average_flipped(heatmaps, mirrored, flip_indices, self.flip_shift)

    def decode(self, heatmaps: Tensor, decoding: str | None = "codec") -> tuple[Tensor, Tensor]:
        """Find the peak of each map and refine it.

        Args:
            heatmaps: (B, K, H, W), any dtype. The score of a map with a NaN is NaN; callers must
                check it.
            decoding: "quarter", "dark", None for the highest pixel without refinement, or "codec"
                for the codec's default: quarter, or dark with udp.

        Returns:
            Keypoints (B, K, 2) float32, heatmap frame, and scores (B, K) float32, the values at the
            highest pixels. A map without a positive value gives (0, 0).

        Raises:
            ConfigError: The codec does not have this decoding.
        """
        method = self.decoding(decoding)
        peaks, scores = heatmap.find_peaks(heatmaps)
        if method == "dark":
            keypoints = dark_offset(heatmaps, peaks, self.sigma, udp=self.udp)
        elif method == "quarter":
            around = heatmap.neighbors(peaks, (heatmaps.shape[2], heatmaps.shape[3]))
            values = heatmaps.float().flatten(2).gather(2, around)
            keypoints = heatmap.quarter_offset(peaks, values)
        else:
            keypoints = peaks.float()
        return keypoints * (scores > 0)[..., None], scores

    def decode_flipped(
        self,
        heatmaps: Tensor,
        mirrored: Tensor,
        flip_indices: Tensor,
        decoding: str | None = "codec",
    ) -> tuple[Tensor, Tensor]:
        """Decode the flip average; the result equals `decode(average_flipped(...), decoding)`.

        On a CPU most of the average is not computed, unless the decoding is DARK.

        Args:
            heatmaps: (B, K, H, W).
            mirrored: (B, K, H, W), heatmaps of the mirrored crops.
            flip_indices: (K,) index of each keypoint's mirror image.
            decoding: A decoding that `decode` accepts.

        Returns:
            Keypoints (B, K, 2) and scores (B, K), as `decode` returns them.

        Raises:
            ConfigError: The codec does not have this decoding.
        """
        both = heatmaps.contiguous(), mirrored.contiguous(), flip_indices
        method = self.decoding(decoding)
        on_cpu = heatmaps.device.type == "cpu" and heatmaps.dtype == torch.float32
        if method == "dark" or not on_cpu:  # DARK reads a patch of the average around each peak
            return self.decode(self.average_flipped(*both), method)
        peaks, scores, values = flip_average.find_peaks_of_average(*both, self.flip_shift)
        keypoints = heatmap.quarter_offset(peaks, values) if method == "quarter" else peaks.float()
        return keypoints * (scores > 0)[..., None], scores

    def decoding(self, chosen: str | None = "codec") -> str | None:
        """The decoding that `decode` uses for `chosen`; "codec" becomes the codec's default.

        Raises:
            ConfigError: The codec does not have this decoding.
        """
        known = DECODINGS[self.name]
        method = known[0] if chosen == "codec" else chosen
        if method not in known:
            names = ", ".join(name or "none" for name in known)
            raise ConfigError(
                f"decoding {method!r} does not belong to the codec {self.name!r} and would misread "
                f"its heatmaps; choose one of {names}"
            )
        return method

    @property
    def crop_per_heatmap(self) -> tuple[float, float]:
        """Pixels of the crop per pixel of the heatmap, along x and y."""
        sizes = zip(self.input_size[::-1], self.heatmap_size[::-1], strict=True)
        x, y = ((crop - self.udp) / (heatmap - self.udp) for crop, heatmap in sizes)
        return x, y

    def to_crop(self, keypoints_heatmap: Tensor) -> Tensor:
        """Map points (P, K, 2) from the heatmap's frame to the crop's frame."""
        return keypoints_heatmap * keypoints_heatmap.new_tensor(self.crop_per_heatmap)
