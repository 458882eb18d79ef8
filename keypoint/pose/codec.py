"""A codec: how keypoints become heatmaps and come back, all steps of one convention.

Crop, targets, the way back from the mirrored crop, decoding and the map to the image each have to
know the same pixel convention; one step of the other kind costs AP without a word. So they are
chosen together, by the codec's name, which is a property of the weights as the colour order is:

    heatmap  SimpleBaseline's and HRNet's: sizes count pixels, targets are centred on whole pixels,
             mirrored heatmaps are shifted one column, the peak is moved a quarter pixel or by DARK
    udp      Huang et al. 2020: sizes are one less, targets are centred between pixels too, mirrored
             heatmaps fit as they are, and peaks are refined by UDP's form of DARK

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

# What each codec can decode with, its own first.
DECODINGS = {"heatmap": ("quarter", "dark", None), "udp": ("dark", None)}


@dataclass(frozen=True)
class Codec:
    """The convention of one network's heatmaps.

    Attributes:
        input_size: (height, width) of the crops; heatmaps have a quarter of it.
        name: "heatmap" or "udp".
        heatmap_sigma: Of the targets, heatmap pixels; None for the references' (2 at width 192, in
            proportion).

    Raises:
        ConfigError: An unknown name.
    """

    input_size: tuple[int, int]
    name: str = "heatmap"
    heatmap_sigma: float | None = None

    def __post_init__(self) -> None:
        if self.name not in DECODINGS:
            raise ConfigError(f"codec={self.name!r} is unknown; choose one of {list(DECODINGS)}")

    @property
    def udp(self) -> bool:
        """Whether lengths are measured between the middles of the first and the last pixel."""
        return self.name == "udp"

    @property
    def heatmap_size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.input_size[0] // heatmap.STRIDE, self.input_size[1] // heatmap.STRIDE

    @property
    def sigma(self) -> float:
        """Of the targets, heatmap pixels."""
        return self.heatmap_sigma or heatmap.default_sigma(self.input_size)

    @property
    def flip_shift(self) -> bool:
        """Whether heatmaps of a mirrored crop are shifted; by the convention, never by choice."""
        return not self.udp

    def crop_frame(self, bbox_xywh: Floats) -> CropFrame:
        """The crops of boxes (P, 4) by this convention."""
        return CropFrame.from_bboxes(bbox_xywh, self.input_size, udp=self.udp)

    def encode(self, keypoints_crop: Tensor, labelled: Tensor) -> tuple[Tensor, Tensor]:
        """`heatmap.encode` of this convention: targets (B, K, H, W) and weights (B, K)."""
        return heatmap.encode(keypoints_crop, labelled, self.heatmap_size, self.sigma, udp=self.udp)

    def average_flipped(self, heatmaps: Tensor, mirrored: Tensor, flip_indices: Tensor) -> Tensor:
        """`flip_average.average_flipped` of this convention: (B, K, H, W)."""
        return flip_average.average_flipped(heatmaps, mirrored, flip_indices, self.flip_shift)

    def decode(self, heatmaps: Tensor, decoding: str | None = "codec") -> tuple[Tensor, Tensor]:
        """The peak of each map, refined.

        Args:
            heatmaps: (B, K, H, W), any dtype; a NaN is returned as the score, for the caller to
                refuse.
            decoding: "quarter", "dark", None for the highest pixel as it is, or "codec" for the
                codec's own (quarter, or dark with udp).

        Returns:
            Keypoints (B, K, 2) float32 in the heatmap's frame and scores (B, K) float32, the value
            at the highest pixel. A map whose peak is not positive gives (0, 0).

        Raises:
            ConfigError: A decoding that this codec lacks.
        """
        method = self.decoding(decoding)
        peaks, scores = heatmap.find_peaks(heatmaps)
        if method == "dark":
            keypoints = dark_offset(heatmaps, peaks, self.sigma, udp=self.udp)
        elif method == "quarter":
            values = heatmaps.float().flatten(2)
            keypoints = heatmap.quarter_offset(
                peaks, (heatmaps.shape[2], heatmaps.shape[3]), lambda index: values.gather(2, index)
            )
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
        """`decode` of `average_flipped`; on a CPU mostly without making the average.

        Args:
            heatmaps: (B, K, H, W).
            mirrored: (B, K, H, W), of the mirrored crop.
            flip_indices: (K,) index of each keypoint's mirror image.
            decoding: As in `decode`.

        Returns:
            As `decode`.

        Raises:
            ConfigError: A decoding that this codec lacks.
        """
        both = heatmaps.contiguous(), mirrored.contiguous(), flip_indices
        method = self.decoding(decoding)
        on_cpu = heatmaps.device.type == "cpu" and heatmaps.dtype == torch.float32
        if method == "dark" or not on_cpu:  # DARK reads a patch of the average around each peak
            return self.decode(self.average_flipped(*both), method)
        peaks, scores = flip_average.find_peaks_of_average(*both, self.flip_shift)
        keypoints = peaks.float()
        if method == "quarter":
            keypoints = heatmap.quarter_offset(
                peaks,
                (heatmaps.shape[2], heatmaps.shape[3]),
                lambda index: flip_average.average_at(index, *both, self.flip_shift),
            )
        return keypoints * (scores > 0)[..., None], scores

    def decoding(self, chosen: str | None = "codec") -> str | None:
        """What `decode` does when asked for `chosen`.

        Raises:
            ConfigError: A decoding that this codec lacks.
        """
        known = DECODINGS[self.name]
        method = known[0] if chosen == "codec" else chosen
        if method not in known:
            names = ", ".join(name or "none" for name in known)
            raise ConfigError(
                f"decoding {method!r} does not belong to the codec {self.name!r}, whose heatmaps "
                f"it would misread; choose {names}"
            )
        return method

    @property
    def crop_per_heatmap(self) -> tuple[float, float]:
        """Pixels of the crop for one of the heatmap, along x and y."""
        sizes = zip(self.input_size[::-1], self.heatmap_size[::-1], strict=True)
        x, y = ((crop - self.udp) / (heatmap - self.udp) for crop, heatmap in sizes)
        return x, y

    def to_crop(self, keypoints_heatmap: Tensor) -> Tensor:
        """Points (P, K, 2) in the heatmap's frame, in the crop's frame."""
        return keypoints_heatmap * keypoints_heatmap.new_tensor(self.crop_per_heatmap)
