"""The non-local block restated from Wang et al. (2018), equations 1 to 6: float64, loops over pairs.

One sample at a time: x is (channels, positions). A batch norm is (weight, bias, mean, variance).
"""

import math

import numpy as np

EPS = 1e-5


def conv(x, weight, bias=None):
    """1 x 1 convolution at each position; weight is (out, in)."""
    y = np.stack([weight @ x[:, i] for i in range(x.shape[1])], axis=1)
    return y if bias is None else y + bias[:, None]


def attend(theta, phi, g, pairwise, scale=1.0, pair=None):
    """y_i = sum_j f(i, j) g_j / normaliser, with theta K N and phi, g K M."""
    positions, seen = theta.shape[1], phi.shape[1]
    y = np.zeros((g.shape[0], positions))
    for i in range(positions):
        f = np.zeros(seen)
        for j in range(seen):
            if pairwise == "concatenation":
                f[j] = max(float(pair @ np.concatenate([theta[:, i], phi[:, j]])), 0)
            else:
                dot = sum(theta[k, i] * phi[k, j] for k in range(theta.shape[0]))
                f[j] = dot if pairwise == "dot" else math.exp(scale * dot)
        normaliser = sum(f) if pairwise.endswith("gaussian") else seen
        for j in range(seen):
            y[:, i] += f[j] / normaliser * g[:, j]
    return y


def max_pool(x, shape, window):
    """Max over blocks of `window`, the last ones cut at the border; x is (channels, positions)."""
    maps = x.reshape(len(x), *shape)
    for axis, step in enumerate(window, start=1):
        maps = np.stack(
            [
                maps.take(range(first, min(first + step, maps.shape[axis])), axis).max(axis)
                for first in range(0, maps.shape[axis], step)
            ],
            axis,
        )
    return maps.reshape(len(x), -1)


def output(x, y, out, norm, bias=None):
    """z_i = W_z y_i + x_i (equation 6), W_z followed by a batch norm at test time."""
    weight, shift, mean, variance = (v[:, None] for v in norm)
    z = conv(y, out, bias)
    return x + (z - mean) / np.sqrt(variance + EPS) * weight + shift
