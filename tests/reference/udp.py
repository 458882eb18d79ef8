"""UDP and DARK, slowly: one person, one keypoint, one pixel after another, in float64.

Written from Huang et al. 2020 and Zhang et al. 2020 and what their repositories do; shares no line
with the package.
"""

import math

import cv2
import numpy as np


def affine(center, crop_size, rotation, input_size):
    """Image to crop: turn about the centre, then stretch crop width to W - 1 and height to H - 1."""
    angle = math.radians(rotation)
    height, width = input_size
    stretch = np.diag([(width - 1) / crop_size[1], (height - 1) / crop_size[0]])
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    linear = stretch @ turn
    shift = np.array([(width - 1) / 2, (height - 1) / 2]) - linear @ np.asarray(center)
    return np.hstack([linear, shift[:, None]])


def targets(keypoints_crop, labelled, input_size, heatmap_size, sigma):
    """One person: (K, H, W) maps centred between pixels, (K,) weights."""
    height, width = heatmap_size
    radius = int(3 * sigma)
    maps, weights = np.zeros((len(keypoints_crop), height, width)), np.zeros(len(keypoints_crop))
    for k, (x, y) in enumerate(keypoints_crop):
        x *= (width - 1) / (input_size[1] - 1)
        y *= (height - 1) / (input_size[0] - 1)
        column, row = math.floor(x + 0.5), math.floor(y + 0.5)
        for j in range(max(0, row - radius), min(height, row + radius + 1)):
            for i in range(max(0, column - radius), min(width, column + radius + 1)):
                if labelled[k]:
                    weights[k] = 1
                    maps[k, j, i] = math.exp(-((i - x) ** 2 + (j - y) ** 2) / (2 * sigma**2))
    return maps, weights


def blur(heatmap, kernel):
    """The whole map, zeros around it, brought back to its old maximum."""
    border = (kernel - 1) // 2
    padded = np.pad(heatmap, border)
    blurred = cv2.GaussianBlur(padded, (kernel, kernel), 0)[border:-border, border:-border]
    return blurred * (heatmap.max() / blurred.max())


def dark(heatmap, kernel):
    """DARK's place of the peak: derivatives over two pixels, none beside the border."""
    height, width = heatmap.shape
    y, x = np.unravel_index(heatmap.argmax(), heatmap.shape)
    v = np.log(np.maximum(blur(heatmap, kernel), 1e-10))
    if not (1 < x < width - 2 and 1 < y < height - 2):
        return np.array([x, y], float)
    gradient = np.array([v[y, x + 1] - v[y, x - 1], v[y + 1, x] - v[y - 1, x]]) / 2
    dxx = 0.25 * (v[y, x + 2] - 2 * v[y, x] + v[y, x - 2])
    dyy = 0.25 * (v[y + 2, x] - 2 * v[y, x] + v[y - 2, x])
    dxy = 0.25 * (v[y + 1, x + 1] - v[y - 1, x + 1] - v[y + 1, x - 1] + v[y - 1, x - 1])
    return np.array([x, y]) - np.linalg.solve([[dxx, dxy], [dxy, dyy]], gradient)


def dark_udp(heatmap, kernel):
    """UDP's place of the peak: derivatives over one pixel, border pixels repeated."""
    y, x = np.unravel_index(heatmap.argmax(), heatmap.shape)
    v = np.pad(np.log(np.clip(blur(heatmap, kernel), 1e-3, 50)), 1, mode="edge")
    j, i = y + 1, x + 1
    gradient = np.array([v[j, i + 1] - v[j, i - 1], v[j + 1, i] - v[j - 1, i]]) / 2
    dxx = v[j, i + 1] - 2 * v[j, i] + v[j, i - 1]
    dyy = v[j + 1, i] - 2 * v[j, i] + v[j - 1, i]
    dxy = 0.5 * (
        v[j + 1, i + 1] - v[j, i + 1] - v[j + 1, i] + 2 * v[j, i]
        - v[j, i - 1] - v[j - 1, i] + v[j - 1, i - 1]
    )  # fmt: skip
    hessian = np.array([[dxx, dxy], [dxy, dyy]]) + np.finfo(np.float32).eps * np.eye(2)
    return np.array([x, y]) - np.linalg.solve(hessian, gradient)
