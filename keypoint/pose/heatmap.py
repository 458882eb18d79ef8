"""Keypoints as heatmaps: encode, find the peak. Use them through codec.py, which combines them.

Source: SimpleBaseline's `JointsDataset.generate_target` and `get_final_preds`, batched on the
device; UDP's targets by Huang et al. 2020 ("The Devil is in the Details"). The flip average is in
flip_average.py, the refinement of DARK in dark.py.

Letters: B batch, K keypoints, H W the heatmap's height and width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from keypoint.pose.names import STRIDE

SIGMA_AT_WIDTH_192 = 2.0  # heatmap px of stride 4; SimpleBaseline's, as is 3 at width 288


def default_sigma(input_size: tuple[int, int], stride: int = STRIDE) -> float:
    """The references' sigma in heatmap pixels: 2 at 256x192, 3 at 384x288, linear in the width.

    It is 1/24 of the crop's width, whatever the heatmap's stride is.
    """
    return SIGMA_AT_WIDTH_192 * input_size[1] / 192 * STRIDE / stride


def encode(
    keypoints_crop: Tensor,
    labelled: Tensor,
    heatmap_size: tuple[int, int],
    sigma: float,
    udp: bool = False,
    stride: int = STRIDE,
) -> tuple[Tensor, Tensor]:
    """Render a Gaussian of peak 1 for each keypoint, centred on the grid.

    Args:
        keypoints_crop: (B, K, 2), crop frame (pixels of the network's input).
        labelled: (B, K), true if the keypoint is annotated (visibility 1 or 2).
        heatmap_size: (height, width).
        sigma: Standard deviation in heatmap pixels.
        udp: Crop and heatmap are measured between the middles of their first and last pixels, and
            the Gaussian is centred on the keypoint itself, which may lie between pixels.
        stride: Pixels of the crop per pixel of the heatmap.

    Returns:
        Heatmaps (B, K, H, W) float32 in [0, 1], zero beyond 3 sigma of the nearest pixel in x or
        y, and weights (B, K) float32: 0 if the keypoint is not labelled or its whole patch lies
        outside the map, otherwise 1.
    """
    height, width = heatmap_size
    radius = sigma * 3
    size = torch.tensor([width, height], device=keypoints_crop.device)
    heatmap_per_crop = (size - 1) / (stride * size - 1) if udp else 1 / stride
    place = keypoints_crop.float() * heatmap_per_crop  # B K 2
    # The reference cuts towards zero: left of and above the map its centre is a pixel further in.
    mu = torch.floor(place + 0.5)
    # The reference tests `last + 1 < 0`: a patch that ends on the pixel next to the map keeps its
    # weight with an empty target. Here it counts as outside.
    inside = ((mu - radius <= size - 1) & (mu + radius >= 0)).all(-1)
    weight = (inside & labelled.bool()).float()  # B K
    middle = place if udp else mu

    def profile(axis: int, length: int) -> Tensor:
        pixels = torch.arange(length, device=mu.device)
        near = (pixels - mu[..., axis, None]).abs() <= radius  # B K length
        distance = pixels - middle[..., axis, None]
        return torch.exp(distance.square() / (-2 * sigma**2)) * near

    # The 2-D Gaussian is a product of two 1-D ones: K*(H + W) exponentials instead of K*H*W.
    columns = profile(0, width) * weight[..., None]
    return profile(1, height)[..., :, None] * columns[..., None, :], weight  # B K H W


def find_peaks(heatmaps: Tensor) -> tuple[Tensor, Tensor]:
    """The highest pixel of each map.

    Args:
        heatmaps: (B, K, H, W), any dtype. The score of a map with a NaN is NaN; callers must check
            it.

    Returns:
        Peaks (B, K, 2) int64, (x, y), and scores (B, K) float32, the values there.
    """
    width = heatmaps.shape[3]
    flat = heatmaps.float().flatten(2)  # B K HW
    traced = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    if flat.device.type == "cpu" and not traced:
        # numpy's argmax is vectorised; torch's on a CPU is not and takes 4 times as long.
        index = torch.from_numpy(flat.numpy().argmax(axis=2))  # B K
        scores = flat.gather(2, index[..., None])[..., 0]
    else:
        scores, index = flat.max(dim=2)
    return torch.stack([index % width, index // width], dim=2), scores


def neighbors(peaks: Tensor, heatmap_size: tuple[int, int]) -> Tensor:
    """The pixels left, right, above and below of each peak that `quarter_offset` may move.

    Args:
        peaks: (B, K, 2) int64, the highest pixels.
        heatmap_size: (height, width).

    Returns:
        (B, K, 4) int64, y W + x. A peak is moved in x and y, or not at all, and then is its own
        neighbor: x must lie strictly between 1 and W - 1, and y strictly between 1 and H - 1 (the
        references' condition).
    """
    height, width = heatmap_size
    x, y = peaks.unbind(2)
    index = y * width + x
    movable = (x > 1) & (x < width - 1) & (y > 1) & (y < height - 1)
    step_x, step_y = movable.long(), movable.long() * width
    return torch.stack([index - step_x, index + step_x, index - step_y, index + step_y], dim=2)


def quarter_offset(peaks: Tensor, values: Tensor) -> Tensor:
    """Move each peak a quarter pixel towards its higher neighbor.

    Args:
        peaks: (B, K, 2) int64, the highest pixels.
        values: (B, K, 4), the heatmaps' values at `neighbors`.

    Returns:
        (B, K, 2) float32.
    """
    left, right, above, below = values.unbind(2)
    return peaks + 0.25 * torch.sign(torch.stack([right - left, below - above], dim=2))
