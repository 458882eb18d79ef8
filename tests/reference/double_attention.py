"""Double attention restated from Chen et al. (2018), its two steps: float64, loops.

One sample at a time: x is (channels, positions); a, b and v are the weights, (out, in), of the 1x1
convolutions.
"""

import math

import numpy as np


def softmax(values):
    exponentials = [math.exp(value) for value in values]
    return [e / sum(exponentials) for e in exponentials]


def gather(x, a, b):
    """The first step: each attention map sums the features of all positions into one descriptor."""
    descriptors = []
    for row in b:
        share = softmax([row @ x[:, i] for i in range(x.shape[1])])
        descriptors.append(sum(share[i] * (a @ x[:, i]) for i in range(x.shape[1])))
    return descriptors


def distribute(x, v, descriptors):
    """The second step: each position mixes the descriptors by its own shares."""
    z = np.zeros((len(descriptors[0]), x.shape[1]))
    for i in range(x.shape[1]):
        share = softmax(v @ x[:, i])
        for n, descriptor in enumerate(descriptors):
            z[:, i] += share[n] * descriptor
    return z


def double_attention(x, a, b, v, out):
    return x + out @ distribute(x, v, gather(x, a, b))
