"""Keypoints as heatmaps: encode, mirror, decode. The only file that knows what a heatmap is.

Source: SimpleBaseline's `JointsDataset.generate_target`, `flip_back` and `get_final_preds`,
batched on the device.

Letters: B batch, K keypoints, H W the heatmap's height and width.
"""

from __future__ import annotations

import torch
from torch import Tensor

STRIDE = 4  # input pixels per heatmap pixel: the encoder's 32 over the three deconvolutions' 8
SIGMA_AT_WIDTH_192 = 2.0  # heatmap px; SimpleBaseline's, as is 3 at width 288


def default_sigma(input_size: tuple[int, int]) -> float:
    """The references' sigma in heatmap pixels: 2 at 256x192, 3 at 384x288, linear in the width."""
    return SIGMA_AT_WIDTH_192 * input_size[1] / 192


def encode(
    keypoints_crop: Tensor, labelled: Tensor, heatmap_size: tuple[int, int], sigma: float
) -> tuple[Tensor, Tensor]:
    """Render a Gaussian of peak 1 for each keypoint, centred on the grid.

    Args:
        keypoints_crop: (B, K, 2), crop frame (pixels of the network's input).
        labelled: (B, K), true where the keypoint has a place (visibility 1 or 2).
        heatmap_size: (height, width).
        sigma: Standard deviation in heatmap pixels.

    Returns:
        Heatmaps (B, K, H, W) float32 in [0, 1], zero beyond 3 sigma in x or y, and weights (B, K)
        float32: 1, or 0 where the keypoint is unlabelled or its whole patch lies outside the map.
    """
    height, width = heatmap_size
    radius = sigma * 3
    mu = torch.floor(keypoints_crop.float() / STRIDE + 0.5)  # B K 2
    # The reference tests `last + 1 < 0`, so at the one place where the patch ends right beside the
    # map it keeps weight 1 with an empty target; "wholly outside" is taken at its word here.
    last_pixel = torch.tensor([width, height], device=mu.device) - 1
    inside = ((mu - radius <= last_pixel) & (mu + radius >= 0)).all(-1)
    weight = (inside & labelled.bool()).float()  # B K

    def profile(axis: int, length: int) -> Tensor:
        distance = torch.arange(length, device=mu.device) - mu[..., axis, None]  # B K length
        return torch.exp(distance.square() / (-2 * sigma**2)) * (distance.abs() <= radius)

    # The 2-D Gaussian is a product of two 1-D ones: K*(H + W) exponentials instead of K*H*W.
    columns = profile(0, width) * weight[..., None]
    return profile(1, height)[..., :, None] * columns[..., None, :], weight  # B K H W


def flip_back(heatmaps: Tensor, flip_indices: Tensor, shift: bool = True) -> Tensor:
    """Heatmaps of a mirrored crop, as if they came from the crop itself.

    Args:
        heatmaps: (B, K, H, W) of the mirrored crop.
        flip_indices: (K,) index of each keypoint's mirror image.
        shift: Move the result one column to the right. Why: mirroring the input about its pixel
            grid (x' = W_in - 1 - x) and the heatmap about its own (x' = W - 1 - x) disagree by 3/4
            of a heatmap pixel, to the left; after the shift 1/4 remains. HRNet-W32: AP 72.0
            without, 74.0 with.

    Returns:
        (B, K, H, W); with `shift` column 0 is kept as it is.
    """
    mirrored = heatmaps.flip(-1).index_select(1, flip_indices)
    if shift:
        mirrored = torch.cat([mirrored[..., :1], mirrored[..., :-1]], dim=-1)
    return mirrored


def decode(heatmaps: Tensor) -> tuple[Tensor, Tensor]:
    """The peak of each map, moved a quarter pixel towards its higher neighbour.

    Args:
        heatmaps: (B, K, H, W), any dtype; finite (a NaN is returned as the score, for the caller
            to refuse).

    Returns:
        Keypoints (B, K, 2) float32 in the heatmap's frame and scores (B, K) float32, the value at
        the peak. A map whose peak is not positive gives (0, 0). The quarter is added in x and y
        together, only where the peak lies strictly between 1 and W-1 and between 1 and H-1 (the
        references' condition).
    """
    batch, num_keypoints, height, width = heatmaps.shape
    flat = heatmaps.float().reshape(batch, num_keypoints, -1)  # B K HW
    scores, index = flat.max(dim=2)
    x, y = index % width, torch.div(index, width, rounding_mode="floor")

    movable = (x > 1) & (x < width - 1) & (y > 1) & (y < height - 1)
    # Where nothing moves, the peak itself stands in for its neighbours: difference 0.
    step_x, step_y = movable.long(), movable.long() * width

    def towards_higher(step: Tensor) -> Tensor:
        neighbours = flat.gather(2, torch.stack([index - step, index + step], dim=2))  # B K 2
        return 0.25 * torch.sign(neighbours[..., 1] - neighbours[..., 0])

    keypoints = torch.stack([x + towards_higher(step_x), y + towards_higher(step_y)], dim=2)
    return keypoints * (scores > 0)[..., None], scores
