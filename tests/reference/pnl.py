"""The pyramid non-local module restated from Xu et al. (2020), section 3.2: float64, loops.

One sample at a time: x is (channels, height, width) or (channels, frames, height, width). The
non-local operation is `reference.non_local`'s.
"""

import math

import numpy as np


def pool(x, k, kind):
    """Each output pixel from the input pixels it touches; sizes H >> k and W >> k, at least 1."""
    height, width = x.shape[-2:]
    new_height, new_width = max(height >> k, 1), max(width >> k, 1)
    y = np.zeros((*x.shape[:-2], new_height, new_width))
    for i in range(new_height):
        for j in range(new_width):
            rows = [r for r in range(height) if touches(r, height, i, new_height)]
            columns = [c for c in range(width) if touches(c, width, j, new_width)]
            region = x[..., rows, :][..., columns]
            y[..., i, j] = region.mean((-2, -1)) if kind == "average" else region.max((-2, -1))
    return y


def touches(fine, length, coarse, new_length):
    """Whether the intervals [fine, fine + 1] / length and [coarse, coarse + 1] / new_length meet."""
    return fine * new_length < (coarse + 1) * length and (fine + 1) * new_length > coarse * length


def upsample_nearest(x, height, width):
    y = np.zeros((*x.shape[:-2], height, width))
    for i in range(height):
        for j in range(width):
            y[..., i, j] = x[..., i * x.shape[-2] // height, j * x.shape[-1] // width]
    return y


def upsample_bilinear(x, height, width):
    """Pixel centres at (i + 1/2) / length; what lies beyond the outermost centre is its value."""
    y = np.zeros((*x.shape[:-2], height, width))
    for i in range(height):
        for j in range(width):
            for r, row_weight in neighbours(i, height, x.shape[-2]):
                for c, column_weight in neighbours(j, width, x.shape[-1]):
                    y[..., i, j] += row_weight * column_weight * x[..., r, c]
    return y


def neighbours(i, length, old_length):
    place = min(max((i + 0.5) * old_length / length - 0.5, 0), old_length - 1)
    low = int(place)
    return [(low, 1 - (place - low)), (min(low + 1, old_length - 1), place - low)]


def attend(y, query, key):
    """Equation 3: y is a list of n maps; query and key are (weight, bias) of linear layers."""
    scales, channels = len(y), y[0].shape[0]
    means = [part.reshape(channels, -1).mean(1) for part in y]
    out = []
    for i in range(scales):
        q = query[0] @ means[i] + query[1]
        exponents = [q @ (key[0] @ means[j] + key[1]) / math.sqrt(channels) for j in range(scales)]
        total = sum(math.exp(e) for e in exponents)
        out.append(sum(math.exp(exponents[j]) / total * y[j] for j in range(scales)))
    return out
