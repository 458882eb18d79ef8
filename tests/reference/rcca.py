"""Recurrent criss-cross attention restated from Huang et al. (2018): float64, loops over positions.

One sample at a time: x is C H W. A batch norm is (weight, bias, mean, variance).
"""

import math

import numpy as np

EPS = 1e-5  # of the batch norms
SLOPE = 0.01  # of the leaky ReLU


def conv3x3(x, weight):
    """Zeros beyond the border."""
    _, height, width = x.shape
    y = np.zeros((len(weight), height, width))
    for i in range(height):
        for j in range(width):
            for di in (-1, 0, 1):
                for dj in (-1, 0, 1):
                    if 0 <= i + di < height and 0 <= j + dj < width:
                        y[:, i, j] += weight[:, :, di + 1, dj + 1] @ x[:, i + di, j + dj]
    return y


def conv_norm_relu(x, weight, norm):
    gamma, beta, mean, variance = (v[:, None, None] for v in norm)
    y = (conv3x3(x, weight) - mean) / np.sqrt(variance + EPS) * gamma + beta
    return np.where(y > 0, y, SLOPE * y)


def cross(i, j, height, width):
    """The H + W - 1 positions of the row and the column of (i, j)."""
    return {(i, k) for k in range(width)} | {(k, j) for k in range(height)}


def criss_cross(h, query, key, value, gamma):
    """`query`, `key` and `value` are (weight, bias) of 1x1 convolutions."""
    _, height, width = h.shape
    result = np.zeros_like(h)
    for i in range(height):
        for j in range(width):
            q = query[0] @ h[:, i, j] + query[1]
            seen = cross(i, j, height, width)
            f = {u: math.exp(q @ (key[0] @ h[:, u[0], u[1]] + key[1])) for u in seen}
            for u in seen:
                v = value[0] @ h[:, u[0], u[1]] + value[1]
                result[:, i, j] += gamma * f[u] / sum(f.values()) * v
    return result + h


def rcca(x, reduce, attention, expand, recurrence):
    """`reduce` and `expand` are (weight, norm); `attention` the four parts of `criss_cross`."""
    h = conv_norm_relu(x, *reduce)
    for _ in range(recurrence):
        h = criss_cross(h, *attention)
    return x + conv_norm_relu(h, *expand)
