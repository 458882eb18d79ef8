"""The only shape of the demo set, a hull of discs, and its rasterisation.

Own work, no source. Seen from far away (orthographic projection) a sphere is a disc, and the convex
hull of spheres is the hull of discs: limbs, torso, head, clothes, chairs and plants are all that.
A group of hulls is painted on a canvas of its own at twice the resolution, once as colour and once
as labels, so that edges are smooth and the labels are exact for each pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Image = npt.NDArray[np.uint8]
FloatImage = npt.NDArray[np.float32]

FABRIC = 64  # bit added to the labels of pixels with the shirt's pattern; labels are below
CIRCLE = np.stack([f(2 * np.pi * np.arange(20) / 20) for f in (np.cos, np.sin)], axis=-1)
# The whole shape dark, then smaller and brighter towards the light: (size, brightness).
SHADING = ((1.0, 0.78), (0.84, 0.9), (0.62, 1.0), (0.3, 1.07))


@dataclass(frozen=True)
class Hull:
    """The convex hull of discs (before projection: of spheres), in one colour.

    Attributes:
        label: Part or object, 1 to 63.
        colour: RGB, 0 to 255.
        centres: (n, 2), x right and y down; (n, 3) in the body frame before projection.
        radii: (n,), in the unit of the centres.
        is_fabric: The pattern of the shirt is printed on it.
        nearer: Pulls the shape towards the camera, in the order of painting only.
        depth_of: Centres that give the depth instead of its own.
    """

    label: int
    colour: Array
    centres: Array
    radii: Array
    is_fabric: bool = False
    nearer: float = 0.0
    depth_of: Array | None = None

    def placed(self, scale: float, offset_xy: Array) -> Hull:
        """The same shape at ``scale * centres + offset_xy``."""
        centres = self.centres * scale + offset_xy
        return Hull(self.label, self.colour, centres, self.radii * scale, self.is_fabric)


@dataclass(frozen=True)
class Layer:
    """Painted hulls, cut to their place in the image.

    Attributes:
        window: Rows and columns of the image.
        labels: (h, w), 0 if nothing was painted.
        alpha: (h, w, 1), 0 to 1.
        colour: (h, w, 3) RGB 0 to 255, times alpha.
    """

    window: tuple[slice, slice]
    labels: Image
    alpha: FloatImage
    colour: FloatImage

    def paint_on(self, canvas: FloatImage) -> None:
        """Blend it over an (H, W, 3) canvas, in place."""
        canvas[self.window] = canvas[self.window] * (1 - self.alpha) + self.colour


def bounds(hulls: Sequence[Hull]) -> tuple[Array, Array]:
    """Lowest and highest (x, y) of all discs."""
    low = np.min([(hull.centres - hull.radii[:, None]).min(axis=0) for hull in hulls], axis=0)
    high = np.max([(hull.centres + hull.radii[:, None]).max(axis=0) for hull in hulls], axis=0)
    return low, high


def draw_hulls(
    hulls: Sequence[Hull], image_size: tuple[int, int], light_xy: Array, rng: np.random.Generator
) -> Layer | None:
    """Paint hulls in their order, the last on top; None if they lie outside the image.

    ``light_xy`` points to the light, in radii; ``rng`` chooses the pattern of the fabric.
    """
    low, high = bounds(hulls)
    x0, y0 = (max(0, int(v) - 1) for v in np.floor(low))
    x1, y1 = (
        min(side, int(v) + 2) for v, side in zip(np.ceil(high), image_size[::-1], strict=True)
    )
    if x1 <= x0 or y1 <= y0:
        return None
    labels = np.zeros((2 * (y1 - y0), 2 * (x1 - x0)), np.uint8)
    colour = np.zeros((*labels.shape, 3), np.uint8)
    origin = np.array([x0, y0])  # pixel n of the window is pixel 2n of the canvas
    for hull in hulls:
        centres, radii = (hull.centres - origin) * 2, hull.radii * 2
        for size, brightness in SHADING:
            outline = _outline(centres + light_xy * (1 - size) * radii[:, None], radii * size)
            tone = np.minimum(hull.colour * brightness, 255).tolist()
            cv2.fillConvexPoly(colour, outline, tone, cv2.LINE_8, 4)
        label = hull.label + FABRIC * hull.is_fabric
        cv2.fillConvexPoly(labels, _outline(centres, radii), label, cv2.LINE_8, 4)
    covered = (labels > 0).astype(np.float32)[..., None]
    alpha, soft = (_halve(canvas) for canvas in (covered, colour))
    drawn = labels[::2, ::2]
    _print_fabric(rng, soft, drawn >= FABRIC)
    return Layer((slice(y0, y1), slice(x0, x1)), drawn % FABRIC, alpha, soft)


def _halve(canvas: Image | FloatImage) -> FloatImage:
    """Every second pixel, each the mean of its 3x3 neighbours weighted 1 2 1."""
    smooth = cv2.GaussianBlur(canvas, (3, 3), 0)[::2, ::2]
    return smooth.reshape(*smooth.shape[:2], -1).astype(np.float32)


def _outline(centres: Array, radii: Array) -> npt.NDArray[np.int32]:
    """Polygon around discs, in 1/16 pixel as for OpenCV's ``shift=4``."""
    points = centres[:, None] + radii[:, None, None] * CIRCLE  # n 20 2
    return np.asarray(cv2.convexHull(np.rint(points.reshape(-1, 2) * 16).astype(np.int32)))


def _print_fabric(
    rng: np.random.Generator, colour: FloatImage, mask: npt.NDArray[np.bool_]
) -> None:
    """Print stripes or checks under the mask, in place; half of all shirts stay plain."""
    kind = rng.choice(["plain", "stripes", "checks"], p=[0.5, 0.35, 0.15])
    if kind == "plain" or not mask.any():
        return
    height, width = mask.shape
    angle, period = rng.uniform(0, np.pi), max(4.0, height * rng.uniform(0.02, 0.06))
    y, x = np.ogrid[:height, :width]
    along = (x * np.cos(angle) + y * np.sin(angle)) % period < period / 2
    across = (y * np.cos(angle) - x * np.sin(angle)) % period < period / 2
    dark = along ^ across if kind == "checks" else along
    colour[mask & dark] *= rng.uniform(0.6, 0.85)


def sample_cloth(rng: np.random.Generator) -> Array:
    """RGB (3,), 0 to 255: any hue, mostly strong, sometimes near black, grey or white."""
    value = rng.uniform(50, 245)
    hue = np.clip(np.abs((rng.uniform(0, 6) + np.array([0.0, 4.0, 2.0])) % 6 - 3) - 1, 0, 1)
    saturation = rng.uniform(0.35, 0.9) if rng.random() < 0.8 else rng.uniform(0, 0.1)
    return np.asarray(value * (1 - saturation * (1 - hue)))
