"""The One Euro filter as Casiez, Roussel and Vogel 2012 write it, one number at a time.

Algorithm 1 and 2 of the paper: the speed is low-passed at a fixed cut-off, and its size sets the
cut-off of the value. Here the speed has two components, and is divided by the person's size.
"""

import itertools
import math


def low_pass(value, before, cutoff, period):
    tau = 1 / (2 * math.pi * cutoff)
    alpha = 1 / (1 + tau / period)
    return alpha * value + (1 - alpha) * before


def one_euro(points, period, size, min_cutoff, beta, speed_cutoff=1.0):
    """Points (x, y) of one keypoint at equal times, smoothed."""
    smoothed = [tuple(points[0])]
    speed = [0.0, 0.0]
    for before, now in itertools.pairwise(points):
        for axis in (0, 1):
            raw = (now[axis] - before[axis]) / period / size
            speed[axis] = low_pass(raw, speed[axis], speed_cutoff, period)
        cutoff = min_cutoff + beta * math.hypot(*speed)
        smoothed.append(
            tuple(low_pass(now[axis], smoothed[-1][axis], cutoff, period) for axis in (0, 1))
        )
    return smoothed
