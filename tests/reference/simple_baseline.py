"""SimpleBaseline's geometry, targets and decoding, slowly: 200-px units, three-point maps, loops.

Written from what its papers and repository describe, in float64, sharing no line with the package.
"""

import math

import numpy as np

PIXEL_STD = 200


def center_and_scale(bbox_xywh, input_size):
    x, y, w, h = (float(v) for v in bbox_xywh)
    aspect = input_size[1] / input_size[0]
    center = np.array([x + 0.5 * w, y + 0.5 * h])
    if w > aspect * h:
        h = w / aspect
    elif w < aspect * h:
        w = h * aspect
    return center, np.array([w / PIXEL_STD, h / PIXEL_STD]) * 1.25


def affine_from_three_points(center, scale, rotation, input_size):
    """The map of the centre, the (turned) point half a width above it, a third at a right angle."""
    height, width = input_size
    half = scale[0] * PIXEL_STD / 2
    angle = math.radians(rotation)
    up = np.array([half * math.sin(angle), -half * math.cos(angle)])
    source = [center, center + up]
    target = [np.array([width / 2, height / 2]), np.array([width / 2, height / 2 - width / 2])]
    for points in (source, target):
        difference = points[0] - points[1]
        points.append(points[1] + np.array([-difference[1], difference[0]]))
    unknowns = np.linalg.solve([[x, y, 1.0] for x, y in source], np.array(target))
    return unknowns.T  # 2 3


def targets(keypoints_crop, labelled, heatmap_size, sigma):
    """One person: (K, H, W) heatmaps and (K,) weights, by patches."""
    height, width = heatmap_size
    radius = int(3 * sigma)
    maps, weights = np.zeros((len(keypoints_crop), height, width)), np.zeros(len(keypoints_crop))
    for k, (x, y) in enumerate(keypoints_crop):
        mu_x, mu_y = math.floor(x / 4 + 0.5), math.floor(y / 4 + 0.5)
        touched = False
        for dy in range(-radius, radius + 1):
            for dx in range(-radius, radius + 1):
                if 0 <= mu_x + dx < width and 0 <= mu_y + dy < height and labelled[k]:
                    exponent = -(dx * dx + dy * dy) / (2 * sigma * sigma)
                    maps[k, mu_y + dy, mu_x + dx] = math.exp(exponent)
                    touched = True
        weights[k] = float(touched)
    return maps, weights


def decode(heatmap):
    """One map: keypoint (x, y) and score."""
    height, width = heatmap.shape
    best, place = -math.inf, (0, 0)
    for y in range(height):
        for x in range(width):
            if heatmap[y, x] > best:
                best, place = heatmap[y, x], (x, y)
    if best <= 0:
        return (0.0, 0.0), best
    x, y = place
    if 1 < x < width - 1 and 1 < y < height - 1:
        return (
            x + 0.25 * np.sign(heatmap[y, x + 1] - heatmap[y, x - 1]),
            y + 0.25 * np.sign(heatmap[y + 1, x] - heatmap[y - 1, x]),
        ), best
    return (float(x), float(y)), best


def to_image(keypoint_heatmap, bbox_xywh, input_size, heatmap_size):
    """A point of the heatmap in the image, by the inverse of the map to the heatmap's size."""
    center, scale = center_and_scale(bbox_xywh, input_size)
    matrix = affine_from_three_points(center, scale, 0, heatmap_size)
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
    return (inverse @ [*keypoint_heatmap, 1])[:2]
