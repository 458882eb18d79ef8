"""HRNet's half body, slowly: loops over keypoints, sizes in units of 200 px.

Written from what its `half_body_transform` does, sharing no line with the package.
"""

import math

PIXEL_STD = 200


def center_and_scale(keypoints, labelled, upper_ids, normal_draw, input_size):
    """Centre (x, y) and scale (w, h), or None where the whole person is kept.

    `normal_draw` is the number whose being below 0.5 prefers the upper body.
    """
    upper, lower = [], []
    for k, (x, y) in enumerate(keypoints):
        if labelled[k]:
            (upper if k in upper_ids else lower).append((float(x), float(y)))
    if len(upper) + len(lower) <= 8:
        return None
    if normal_draw < 0.5 and len(upper) > 2:
        chosen = upper
    elif len(lower) > 2:
        chosen = lower
    else:
        chosen = upper
    if len(chosen) < 2:
        return None
    center = [math.fsum(point[axis] for point in chosen) / len(chosen) for axis in (0, 1)]
    w, h = (max(p[axis] for p in chosen) - min(p[axis] for p in chosen) for axis in (0, 1))
    aspect = input_size[1] / input_size[0]
    if w > aspect * h:
        h = w / aspect
    elif w < aspect * h:
        w = h * aspect
    return center, [w / PIXEL_STD * 1.5, h / PIXEL_STD * 1.5]
