"""The mean of the heatmaps of a crop and of its mirrored crop: all of it, or only its peaks.

Source: SimpleBaseline's `flip_back` and `SHIFT_HEATMAP`. A keypoint needs the highest pixel of an
average and a few next to it, so most of the average need not be computed. No pixel of a strip of
rows is higher than the mean of the strip's highest pixel in both maps, and mirroring keeps the rows
of a strip. So both maps are read once for the highest pixel of each strip, and only strips that may
contain the peak are averaged: one or two in a map with a clear peak.

Letters: B batch, K keypoints, M = B K maps, H W the heatmap's height and width, S strips, N strips
that are averaged.
"""

from __future__ import annotations

import ctypes
import math

import torch
from torch import Tensor

from keypoint.compiled.libraries import libraries, threads
from keypoint.pose.heatmap import neighbors

PIECE_BYTES = 2**20  # of heatmaps averaged at a time on a CPU; about the size of its L2 cache
STRIP_ROWS = 4  # measured: 2 and 8 are slower


def average_flipped(
    heatmaps: Tensor, mirrored: Tensor, flip_indices: Tensor, shift: bool = True
) -> Tensor:
    """The mean of the heatmaps of crops and of their mirrored crops, the latter mirrored back.

    Args:
        heatmaps: (B, K, H, W).
        mirrored: (B, K, H, W), heatmaps of the mirrored crops.
        flip_indices: (K,) index of each keypoint's mirror image.
        shift: Move the mirrored heatmaps one column to the right and keep a copy of their column 0
            there. Mirroring the input about its pixel grid (x' = W_in - 1 - x) and the heatmap
            about its own (x' = W - 1 - x) differ by 3/4 of a heatmap pixel, to the left; after the
            shift 1/4 remains. HRNet-W32: AP 72.0 without, 74.0 with.

    Returns:
        (B, K, H, W), contiguous.
    """
    heatmaps, mirrored = heatmaps.contiguous(), mirrored.contiguous()
    average = torch.empty_like(heatmaps)
    # A CPU averages a few maps at a time, which stay in its cache between the steps (measured: a
    # third of the time of whole batches); a GPU averages all of them at once.
    on_cpu = heatmaps.device.type == "cpu"
    bytes_of_one = heatmaps[:1].numel() * heatmaps.element_size()
    step = max(1, PIECE_BYTES // max(1, bytes_of_one)) if on_cpu else max(1, len(heatmaps))
    for first in range(0, len(heatmaps), step):
        some = slice(first, first + step)
        back = mirrored[some].index_select(1, flip_indices).flip(-1)
        if shift:
            # Every column but 0 takes its left neighbour, which precedes it in memory.
            ahead = average[some].view(-1)[1:]
            torch.add(heatmaps[some].view(-1)[1:], back.view(-1)[:-1], out=ahead)
            torch.add(heatmaps[some][..., 0], back[..., 0], out=average[some][..., 0])
        else:
            torch.add(heatmaps[some], back, out=average[some])
        average[some].div_(2)
    return average


def find_peaks_of_average(
    heatmaps: Tensor, mirrored: Tensor, flip_indices: Tensor, shift: bool = True
) -> tuple[Tensor, Tensor, Tensor]:
    """The peaks of `average_flipped`, bit for bit those of `heatmap.find_peaks`.

    Only for a CPU, on which this takes a third of the time: the number of strips to average depends
    on the values, which a GPU would have to wait for.

    Args:
        heatmaps: (B, K, H, W) float32. Maps without a clear peak take longer.
        mirrored: (B, K, H, W) float32, heatmaps of the mirrored crops.
        flip_indices: (K,) index of each keypoint's mirror image.
        shift: Move the mirrored heatmaps one column to the right, as `average_flipped` does.

    Returns:
        Peaks (B, K, 2) int64, (x, y); scores (B, K); values (B, K, 4) at `heatmap.neighbors`. The
        score of an average with a NaN is NaN, and its peak is arbitrary.
    """
    # The library does not check bounds.
    keypoints = torch.arange(heatmaps.shape[1], device="cpu")
    known = (
        heatmaps.dtype == mirrored.dtype == torch.float32
        and heatmaps.shape == mirrored.shape
        and 0 not in heatmaps.shape[1:]
        and flip_indices.shape == keypoints.shape
        and bool(torch.isin(flip_indices, keypoints).all())
    )
    if known and (found := libraries()):
        return _by_compiled_code(found[0], heatmaps, mirrored, flip_indices, shift)
    batch, num_keypoints, height, width = heatmaps.shape
    rows = math.gcd(height, STRIP_ROWS)
    strips = height // rows
    one = heatmaps.reshape(-1, rows, width)  # MS rows W
    other = mirrored.reshape(-1, rows, width)
    maps = torch.arange(batch * num_keypoints)  # M
    partners = maps.view(batch, num_keypoints).index_select(1, flip_indices).flatten()  # M

    def look_into(which: Tensor, strip: Tensor) -> tuple[Tensor, Tensor]:
        """The highest sum (N,) of each strip and its index (N,) in the map: the first of equals."""
        sums = one.index_select(0, which * strips + strip)  # N rows W
        back = other.index_select(0, partners[which] * strips + strip).flip(-1)
        if shift:
            sums[..., 1:] += back[..., :-1]
            sums[..., 0] += back[..., 0]
        else:
            sums += back
        sums = sums.flatten(1)
        place = torch.from_numpy(sums.numpy().argmax(axis=1))  # see heatmap.find_peaks
        return sums.gather(1, place[:, None])[:, 0], strip * (rows * width) + place

    highest, other_highest = (
        side.flatten(1).amax(1).view(len(maps), strips) for side in (one, other)
    )
    bound = highest + other_highest.index_select(0, partners)  # M S
    best = torch.from_numpy(bound.numpy().argmax(axis=1))
    value, index = look_into(maps, best)
    # Rounding is monotonic: no sum of a strip is above its bound. Not "bound >= value": NaN.
    worth_it = ~(bound < value[:, None])
    worth_it.scatter_(1, best[:, None], False)
    which, strip = worth_it.nonzero(as_tuple=True)  # N
    if len(which):
        values, places = look_into(which, strip)
        top = value.scatter_reduce(0, which, values, "amax")
        # Of equal values the first in the map, as argmax returns it.
        nowhere = height * width - 1
        index = index.where(value == top, nowhere)
        index = index.scatter_reduce(0, which, places.where(values == top[which], nowhere), "amin")
        value = top
    peaks = torch.stack([index % width, index // width], dim=1).view(batch, num_keypoints, 2)
    around = neighbors(peaks, (height, width))
    values = average_at(around, heatmaps, mirrored, flip_indices, shift)
    return peaks, value.view(batch, num_keypoints) / 2, values


def _by_compiled_code(
    library: ctypes.CDLL, heatmaps: Tensor, mirrored: Tensor, flip_indices: Tensor, shift: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """`find_peaks_of_average` in one pass over both maps: twice as fast."""
    batch, num_keypoints, height, width = heatmaps.shape
    one, other = heatmaps.contiguous(), mirrored.contiguous()
    partners = flip_indices.long().contiguous()
    index = torch.empty(batch, num_keypoints, dtype=torch.int64, device="cpu")
    scores = torch.empty(batch, num_keypoints, device="cpu")
    values = torch.empty(batch, num_keypoints, 4, device="cpu")
    library.peaks_of_average(
        *(ctypes.c_void_p(tensor.data_ptr()) for tensor in (one, other, partners)),
        *(ctypes.c_int64(number) for number in heatmaps.shape),
        shift,
        threads(),
        *(ctypes.c_void_p(tensor.data_ptr()) for tensor in (index, scores, values)),
    )
    return torch.stack([index % width, index // width], dim=2), scores, values


def average_at(
    index: Tensor, heatmaps: Tensor, mirrored: Tensor, flip_indices: Tensor, shift: bool = True
) -> Tensor:
    """The values of `average_flipped` at some pixels, without the average.

    Args:
        index: (B, K, N) int64, y W + x of N pixels of each map.
        heatmaps: (B, K, H, W).
        mirrored: (B, K, H, W), heatmaps of the mirrored crops.
        flip_indices: (K,) index of each keypoint's mirror image.
        shift: Move the mirrored heatmaps one column to the right, as `average_flipped` does.

    Returns:
        (B, K, N) values.
    """
    batch, num_keypoints, height, width = heatmaps.shape
    x = index % width
    mirrored_x = width - 1 - x
    if shift:
        mirrored_x += x > 0
    first = torch.arange(batch * num_keypoints).view(batch, num_keypoints, 1) * (height * width)
    partner = first.index_select(1, flip_indices)
    one = heatmaps.reshape(-1).take(first + index)
    return (one + mirrored.reshape(-1).take(partner + (index - x + mirrored_x))) / 2
