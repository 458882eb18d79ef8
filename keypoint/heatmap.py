"""Keypoints as heatmaps: encode, mirror, find the peak. What belongs together says codec.py.

Source: SimpleBaseline's `JointsDataset.generate_target`, `flip_back` and `get_final_preds`,
batched on the device; UDP's targets by Huang et al. 2020 ("The Devil is in the Details"). The
refinement of DARK has a file of its own (dark.py).

Letters: B batch, K keypoints, H W the heatmap's height and width.
"""

from __future__ import annotations

import torch
from torch import Tensor

STRIDE = 4  # input pixels per heatmap pixel: the encoder's 32 over the three deconvolutions' 8
PIECE_BYTES = 2**20  # of heatmaps averaged at a time on a CPU; about what its second cache holds
SIGMA_AT_WIDTH_192 = 2.0  # heatmap px; SimpleBaseline's, as is 3 at width 288


def default_sigma(input_size: tuple[int, int]) -> float:
    """The references' sigma in heatmap pixels: 2 at 256x192, 3 at 384x288, linear in the width."""
    return SIGMA_AT_WIDTH_192 * input_size[1] / 192


def encode(
    keypoints_crop: Tensor,
    labelled: Tensor,
    heatmap_size: tuple[int, int],
    sigma: float,
    udp: bool = False,
) -> tuple[Tensor, Tensor]:
    """Render a Gaussian of peak 1 for each keypoint, centred on the grid.

    Args:
        keypoints_crop: (B, K, 2), crop frame (pixels of the network's input).
        labelled: (B, K), true where the keypoint has a place (visibility 1 or 2).
        heatmap_size: (height, width).
        sigma: Standard deviation in heatmap pixels.
        udp: Crop and heatmap are measured between the middles of their first and last pixels, and
            the Gaussian is centred where the keypoint is, between pixels too.

    Returns:
        Heatmaps (B, K, H, W) float32 in [0, 1], zero beyond 3 sigma of the nearest pixel in x or
        y, and weights (B, K) float32: 1, or 0 where the keypoint is unlabelled or its whole patch
        lies outside the map.
    """
    height, width = heatmap_size
    radius = sigma * 3
    size = torch.tensor([width, height], device=keypoints_crop.device)
    heatmap_per_crop = (size - 1) / (STRIDE * size - 1) if udp else 1 / STRIDE
    place = keypoints_crop.float() * heatmap_per_crop  # B K 2
    mu = torch.floor(place + 0.5)
    # The reference tests `last + 1 < 0`, so at the one place where the patch ends right beside the
    # map it keeps weight 1 with an empty target; "wholly outside" is taken at its word here.
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


def average_flipped(
    heatmaps: Tensor, mirrored: Tensor, flip_indices: Tensor, shift: bool = True
) -> Tensor:
    """The mean of a crop's heatmaps and of its mirrored crop's, mirrored back.

    Args:
        heatmaps: (B, K, H, W).
        mirrored: (B, K, H, W), of the mirrored crop.
        flip_indices: (K,) index of each keypoint's mirror image.
        shift: Move the mirrored ones a column to the right; their column 0 then stays as well. Why:
            mirroring the input about its pixel grid (x' = W_in - 1 - x) and the heatmap about its
            own (x' = W - 1 - x) disagree by 3/4 of a heatmap pixel, to the left; after the shift
            1/4 remains. HRNet-W32: AP 72.0 without, 74.0 with.

    Returns:
        (B, K, H, W), contiguous.
    """
    heatmaps, mirrored = heatmaps.contiguous(), mirrored.contiguous()
    average = torch.empty_like(heatmaps)
    # A CPU works a few maps at a time, which stay in its cache between the steps (measured: a
    # third of the time of whole batches); a GPU works them all at once.
    on_cpu = heatmaps.device.type == "cpu"
    bytes_of_one = heatmaps[:1].numel() * heatmaps.element_size()
    step = max(1, PIECE_BYTES // max(1, bytes_of_one)) if on_cpu else max(1, len(heatmaps))
    for first in range(0, len(heatmaps), step):
        some = slice(first, first + step)
        back = mirrored[some].index_select(1, flip_indices).flip(-1)
        if shift:
            # All but column 0 of a row takes its left neighbour, so does the flat memory.
            ahead = average[some].view(-1)[1:]
            torch.add(heatmaps[some].view(-1)[1:], back.view(-1)[:-1], out=ahead)
            torch.add(heatmaps[some][..., 0], back[..., 0], out=average[some][..., 0])
        else:
            torch.add(heatmaps[some], back, out=average[some])
        average[some].div_(2)
    return average


def find_peaks(heatmaps: Tensor) -> tuple[Tensor, Tensor]:
    """The highest pixel of each map.

    Args:
        heatmaps: (B, K, H, W), any dtype; finite (a NaN is returned as the score, for the caller
            to refuse).

    Returns:
        Places (B, K, 2) int64, (x, y), and scores (B, K) float32, the values there.
    """
    width = heatmaps.shape[3]
    flat = heatmaps.float().flatten(2)  # B K HW
    if flat.device.type == "cpu" and not torch.compiler.is_compiling():
        # numpy's argmax is vectorised, torch's on a CPU is not: 4 times slower (measured).
        index = torch.from_numpy(flat.numpy().argmax(axis=2))  # B K
        scores = flat.gather(2, index[..., None])[..., 0]
    else:
        scores, index = flat.max(dim=2)
    return torch.stack([index % width, index // width], dim=2), scores


def quarter_offset(heatmaps: Tensor, peaks: Tensor) -> Tensor:
    """Move each peak a quarter pixel towards its higher neighbour.

    Args:
        heatmaps: (B, K, H, W).
        peaks: (B, K, 2) int64, the highest pixels.

    Returns:
        (B, K, 2) float32. The quarter is added in x and y together, only where the peak lies
        strictly between 1 and W-1 and between 1 and H-1 (the references' condition).
    """
    height, width = heatmaps.shape[2:]
    flat = heatmaps.float().flatten(2)  # B K HW
    x, y = peaks.unbind(2)
    index = y * width + x

    movable = (x > 1) & (x < width - 1) & (y > 1) & (y < height - 1)
    # Where nothing moves, the peak itself stands in for its neighbours: difference 0.
    step_x, step_y = movable.long(), movable.long() * width

    def towards_higher(step: Tensor) -> Tensor:
        neighbours = flat.gather(2, torch.stack([index - step, index + step], dim=2))  # B K 2
        return 0.25 * torch.sign(neighbours[..., 1] - neighbours[..., 0])

    return torch.stack([x + towards_higher(step_x), y + towards_higher(step_y)], dim=2)
