"""Show what a block attends to: keypoint explain --checkpoint FILE --output DIR photo.jpg."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from keypoint.checkpoint.file import Restored, load_model
from keypoint.commands import cli
from keypoint.commands.options.explain import parse
from keypoint.data.images.read import warp
from keypoint.data.images.upright import read_upright
from keypoint.data.person_crops import checked_boxes, require_on_image
from keypoint.distributed import choose_device
from keypoint.errors import ConfigError
from keypoint.explain.report import sheet, table
from keypoint.explain.site import Query, explain_site, sites_of
from keypoint.models import create_model
from keypoint.models.network import Network
from keypoint.pose.geometry import CropFrame, apply_affine
from keypoint.prediction.drawing import picture_name, writing
from keypoint.prediction.predictor import Predictor


def main(argv: Sequence[str]) -> None:
    """Parse, build, call."""
    args = parse(argv)
    if args.at and args.keypoint:
        raise ConfigError("--at and --keypoint both choose the query: give one of them")
    point = numbers(args.at, "--at", 2)
    box = numbers(args.box, "--box", 4)
    cli.log_to(args.output)
    restored = load_model(args.checkpoint)
    model = restored.model.to(choose_device(args.device))
    if args.keypoint not in (None, *restored.skeleton.keypoints):
        raise ConfigError(
            f"--keypoint {args.keypoint}: the network has {', '.join(restored.skeleton.keypoints)}"
        )
    crop, frame = crop_of(args.input, model.codec.crop_frame, box)
    query = query_of(restored, crop, frame, point, args.keypoint)
    fresh = with_random_weights(create_model, restored.config.model.arguments(model.num_keypoints))
    example = model.normalize(torch.from_numpy(crop[None]).to(model.pixel_mean.device))
    explain(model, fresh.to(example.device), example, crop[None], query, "", args)


def numbers(text: str | None, option: str, count: int) -> list[float] | None:
    """Parse numbers with commas between them.

    Raises:
        ConfigError: The text does not consist of `count` numbers.
    """
    if text is None:
        return None
    values: list[float] = []
    with contextlib.suppress(ValueError):
        values = [float(part) for part in text.split(",")]
    if len(values) != count or not np.isfinite(values).all():
        example = ",".join(("120", "80", "60", "200")[:count])
        raise ConfigError(f"{option} {text}: give {count} numbers, such as {example}")
    return values


def crop_of(
    photo: Path,
    crop_frame: Callable[[NDArray[np.float64]], CropFrame],
    box: Sequence[float] | None,
) -> tuple[NDArray[np.uint8], CropFrame]:
    """Return the crop that the network sees, (H, W, 3) uint8 RGB, and its position on the photo.

    Raises:
        DataError: The photo cannot be read, or the box is not on it.
    """
    image, _ = read_upright(photo)
    height, width = image.shape[:2]
    boxes = checked_boxes([[0, 0, width, height]] if box is None else [box])
    require_on_image(boxes, (height, width))
    frame = crop_frame(boxes)
    return warp(image, frame.matrices()[0], frame.input_size), frame


def query_of(
    restored: Restored,
    crop: NDArray[np.uint8],
    frame: CropFrame,
    point: Sequence[float] | None,
    keypoint: str | None,
) -> Query:
    """Return the query's position in the crop.

    Raises:
        ConfigError: The pixel is outside of the crop.
    """
    height, width = frame.input_size
    if point is not None:
        x, y = apply_affine(frame.matrices()[0], np.asarray([point]))[0]
        if not (-0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5):
            last = frame.to_image(np.array([[[0, 0], [width - 1, height - 1]]]), frame.input_size)
            raise ConfigError(
                f"--at {point[0]:g},{point[1]:g}: outside of the crop; give x and y from "
                f"{np.ceil(last[0, 0]).tolist()} to {np.floor(last[0, 1]).tolist()} of the photo"
            )
        return Query(float(y), float(x))
    predictor = Predictor(restored.model, restored.skeleton, decoding=restored.decoding())
    points, scores = (found[0].cpu().numpy() for found in predictor.predict_crops(crop[None]))
    names = restored.skeleton.keypoints
    number = int(scores.argmax()) if keypoint is None else names.index(keypoint)
    x, y = points[number].clip(0, [width - 1, height - 1])
    return Query(float(y), float(x), 0, f"{names[number]} ({scores[number]:.2f})")


def with_random_weights(create: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """Return the same network with untrained weights, always the same ones."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return create(**arguments)


def explain(
    model: Network,
    fresh: Network,
    example: torch.Tensor,
    frames: NDArray[np.uint8],
    query: Query,
    otherwise: str,
    args: argparse.Namespace,
) -> None:
    """Explain the site given by --site, or all blocks: print and draw one after another.

    Args:
        model: The network.
        fresh: The same network with random weights, on the same device.
        example: The image or clip, normalised, a batch of one.
        frames: Its frames, (T, H, W, 3) uint8 RGB.
        query: The position.
        otherwise: The submodule to explain in a network without blocks.
        args: With `site`, `input`, `output`, `overwrite`, `random_inputs`.

    Raises:
        ConfigError: The site does not exist, or its output is not a map; a picture already exists
            or cannot be written.
    """
    stem = args.output / picture_name(args.input, 1)
    known = f"sites with a block: {', '.join(model.block_options) or 'none'}"
    try:
        sites = sites_of(model, args.site, otherwise)
    except ValueError as error:
        raise ConfigError(f"--site {args.site}: {error}; {known}") from None
    pictures = {site: stem.with_name(f"{stem.name}_{site}.png") for site in sites}
    there = [path.name for path in pictures.values() if path.exists()]
    if there and not args.overwrite:
        raise ConfigError(
            f"--output {args.output} already contains {there[0]}; give another folder, or "
            "--overwrite to replace it"
        )
    for site, path in sites.items():
        try:
            found = explain_site(
                model, fresh, example, query, site, path, random_inputs=args.random_inputs
            )
        except ValueError as error:
            raise ConfigError(f"site {site}: {error}; {known}") from None
        cli.keep_log()
        picture = sheet(found, frames)
        with writing(pictures[site]):
            pictures[site].write_bytes(cv2.imencode(".png", picture[..., ::-1])[1].tobytes())
        print(f"{table(found)}\n  picture: {pictures[site]}", flush=True)
