"""The user's pixel transforms of albumentations, by name, tried before training starts."""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Mapping
from typing import Any

# Set before the import, when albumentations would query the package index for its newest version.
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"

import albumentations as A  # noqa: E402
import numpy as np  # noqa: E402

from keypoint.errors import ConfigError  # noqa: E402

logger = logging.getLogger(__name__)

# Transforms that albumentations counts as spatial, although no pixel moves.
DROPOUTS = ("CoarseDropout", "Erasing", "GridDropout", "PixelDropout", "XYMasking")
DRAWS = 3  # trials of a transform before training; ten times as many if none changes anything


def pixel_transform(entry: Mapping[str, Any]) -> A.BasicTransform:
    """Return an albumentations transform that changes colours or noise and moves no pixel.

    Raises:
        ConfigError: The name or an argument is unknown (albumentations only warns), or the
            transform moves pixels.
    """
    arguments = dict(entry)
    name = arguments.pop("name", None)
    kind = getattr(A, str(name), None)
    if not (inspect.isclass(kind) and (issubclass(kind, A.ImageOnlyTransform) or name in DROPOUTS)):
        raise ConfigError(
            f"augment.transforms: {name!r} is not a pixel transform of albumentations; use one of "
            "its ImageOnlyTransforms, such as ColorJitter, GaussianBlur or ImageCompression, or "
            f"one of {', '.join(DROPOUTS)}"
        )
    known = [key for key in inspect.signature(kind.__init__).parameters if key != "self"]
    unknown = sorted(set(arguments) - set(known), key=str)
    if unknown:
        raise ConfigError(f"augment.transforms: {name} has no argument {unknown}; it takes {known}")
    try:
        return kind(**arguments)
    except Exception as error:  # of any kind: the arguments are the user's
        raise ConfigError(f"augment.transforms: {name}: {error}") from None


def try_transform(transform: A.BasicTransform, input_size: tuple[int, int]) -> None:
    """Try a transform on a generated crop before training.

    It is always applied here, unless its p is 0, so that rare failures are found. It has its own
    random generator, so training is unaffected.

    Args:
        transform: An instance used only here.
        input_size: (height, width) of the crop.

    Raises:
        ConfigError: It fails, or does not return a uint8 image of the same size.
    """
    name = f"augment.transforms: {type(transform).__name__}"
    height, width = input_size
    rng = np.random.default_rng(0)
    crop = np.linspace(30, 220, height * width * 3).reshape(height, width, 3)
    crop[height // 4 : height // 2, width // 4 : width // 2] = (200, 60, 40)
    crop = np.clip(crop + rng.normal(0, 8, crop.shape), 0, 255).astype(np.uint8)
    if transform.p == 0:
        return
    transform.p = 1.0
    flat = changed = 0
    for draw in range(10 * DRAWS):
        transform.set_random_seed(draw)
        try:
            given = transform(image=crop.copy())["image"]
        except Exception as error:  # of any kind that a library raises
            raise ConfigError(
                f"{name} fails on a crop ({type(error).__name__}: {error}); change its arguments, "
                "or remove it: it is called with an image and nothing else"
            ) from None
        if given.dtype != np.uint8 or given.shape != crop.shape:
            raise ConfigError(
                f"{name} returns {given.dtype} {tuple(given.shape)} for a crop uint8 {crop.shape},"
                " and must return the same; remove it: crops stay 8-bit RGB, and the network "
                "normalizes them itself"
            )
        flat += bool((given == given[0, 0]).all())
        changed += not np.array_equal(given, crop)
        if draw + 1 >= DRAWS and changed:
            break
    if flat == draw + 1:
        raise ConfigError(
            f"{name} returns an image of a single colour in {flat} of {flat} draws; change its "
            "arguments, or remove it"
        )
    if not changed:
        logger.warning("%s changed nothing in %d draws", name, draw + 1)
