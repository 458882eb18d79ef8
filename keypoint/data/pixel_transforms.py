"""The user's pixel transforms: albumentations' own, by name, tried before training begins."""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Mapping
from typing import Any

# Before the import, at which albumentations asks the package index for its newest version.
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"

import albumentations as A  # noqa: E402
import numpy as np  # noqa: E402

from keypoint.errors import ConfigError  # noqa: E402

logger = logging.getLogger(__name__)

# Transforms that albumentations counts as spatial, though all that is left stays in its place.
DROPOUTS = ("CoarseDropout", "Erasing", "GridDropout", "PixelDropout", "XYMasking")
DRAWS = 3  # of a transform before training; ten times as many if none changes anything


def pixel_transform(entry: Mapping[str, Any]) -> A.BasicTransform:
    """An albumentations transform that changes colours or noise and moves no pixel.

    Raises:
        ConfigError: Unknown name or argument (albumentations itself only warns), or a transform of
            another kind.
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
    """Try a transform on a generated crop, before hours of training depend on it.

    It always happens here, unless its p is 0, so that what is rare in training shows. It has a
    random generator of its own: no number of the training changes.

    Args:
        transform: An instance for this alone.
        input_size: (height, width) of the crop.

    Raises:
        ConfigError: It fails, or gives anything but a uint8 picture of the same size.
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
                "or leave it out: it is given an image and nothing else"
            ) from None
        if given.dtype != np.uint8 or given.shape != crop.shape:
            raise ConfigError(
                f"{name} gives {given.dtype} {tuple(given.shape)} for a crop of uint8 {crop.shape},"
                " and must give the same; leave it out: crops stay 8-bit RGB, and the network "
                "normalizes them itself"
            )
        flat += bool((given == given[0, 0]).all())
        changed += not np.array_equal(given, crop)
        if draw + 1 >= DRAWS and changed:
            break
    if flat == draw + 1:
        raise ConfigError(
            f"{name} leaves one colour and no picture in {flat} of {flat} draws; change its "
            "arguments, or leave it out"
        )
    if not changed:
        logger.warning("%s changed nothing in %d draws", name, draw + 1)
