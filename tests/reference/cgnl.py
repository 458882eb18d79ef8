"""The compact generalized non-local block restated from Yue et al. (2018): float64, all pairs.

One sample at a time: x is (channels, positions); weights are (out, in). Nothing is factored: the
kernel is evaluated for each pair of entries (channel and position) of a group.
"""

import math

import numpy as np

EPS = 1e-5  # of the group norm
GAMMA = 1e-4


def dot(theta, phi):
    return theta * phi


def rbf(theta, phi, order):
    """exp(-gamma (theta^2 + phi^2)) exp(2 gamma theta phi): the first factor held at exp(-2 gamma),
    the second as a Taylor series.
    """
    series = sum((2 * GAMMA * theta * phi) ** p / math.factorial(p) for p in range(order + 1))
    return math.exp(-2 * GAMMA) * series


def attend(theta, phi, g, kernel):
    """y_i = sum_j f(theta_i, phi_j) g_j, i and j over all entries of one group."""
    phi, g = phi.ravel(), g.ravel()
    y = [sum(kernel(t, phi[j]) * g[j] for j in range(len(g))) for t in theta.ravel()]
    return np.array(y).reshape(theta.shape)


def group_norm(maps, weight, bias, groups):
    result = np.zeros_like(maps)
    size = len(maps) // groups
    for k in range(groups):
        part = maps[k * size : (k + 1) * size]
        mean = sum(part.ravel()) / part.size
        variance = sum((value - mean) ** 2 for value in part.ravel()) / part.size
        for c in range(k * size, (k + 1) * size):
            result[c] = (maps[c] - mean) / math.sqrt(variance + EPS) * weight[c] + bias[c]
    return result


def cgnl(x, theta, phi, g, out, norm, groups, kernel):
    """`out` is (channels, inner / groups); norm is (weight, bias)."""
    inner, outer = len(theta) // groups, len(out) // groups
    maps = []
    for k in range(groups):
        of_group = slice(k * inner, (k + 1) * inner)
        y = attend(theta[of_group] @ x, phi[of_group] @ x, g[of_group] @ x, kernel)
        maps.append(out[k * outer : (k + 1) * outer] @ y)
    return x + group_norm(np.concatenate(maps), *norm, groups)
