"""Show what a block attends to in a video: keypoint explain --checkpoint FILE --output DIR CLIP."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from keypoint.action.checkpoint import load_action
from keypoint.action.config import ActionConfig
from keypoint.action.data.augment import Crop, TestCrops
from keypoint.action.data.frames import read_drawn
from keypoint.action.evaluation.protocol import protocol_of
from keypoint.action.networks.build import create_model
from keypoint.commands import cli
from keypoint.commands.explain import explain, numbers, with_random_weights
from keypoint.commands.options.action.explain import parse
from keypoint.distributed import choose_device
from keypoint.errors import ConfigError
from keypoint.explain.site import Query


def main(argv: Sequence[str]) -> None:
    """Parse, build, call."""
    args = parse(argv)
    point = numbers(args.at, "--at", 2)
    cli.log_to(args.output)
    restored = load_action(args.checkpoint)
    model = restored.model.to(choose_device(args.device))
    if args.frame is not None and args.frame >= model.frames:
        raise ConfigError(
            f"--frame {args.frame}: a clip has {model.frames} frames, numbered from 0"
        )
    frames, crop = clip_of(args.input, restored.config)
    height, width = model.input_size
    x, y = (width - 1) / 2, (height - 1) / 2
    if point is not None:
        x = (point[0] - crop.x + 0.5) * width / crop.width - 0.5
        y = (point[1] - crop.y + 0.5) * height / crop.height - 0.5
        if not (-0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5):
            raise ConfigError(
                f"--at {args.at}: outside of the crop; give x from {crop.x} to "
                f"{crop.x + crop.width - 1} and y from {crop.y} to {crop.y + crop.height - 1}"
            )
    query = Query(y, x, model.frames // 2 if args.frame is None else args.frame)
    arguments = restored.config.model.arguments(len(restored.classes), model.frames)
    fresh = with_random_weights(create_model, arguments).to(model.pixel_mean.device)
    example = model.normalize(torch.from_numpy(frames[None]).to(model.pixel_mean.device))
    explain(model, fresh, example, frames, query, model.stages[5][-1], args)


def clip_of(video: Path, config: ActionConfig) -> tuple[NDArray[np.uint8], Crop]:
    """Return the middle clip of a test, (T, H, W, 3) uint8 RGB, and its center crop.

    Raises:
        DataError: The video cannot be read.
    """
    protocol = protocol_of(config)
    size = config.model.input_size
    crops = TestCrops.of(size, config.test.short_side)
    used: list[Crop] = []

    def cut(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        used.append(crops.of_frame((frame.shape[0], frame.shape[1]))[0])
        return used[-1].cut(frame, size)

    drawn, frames = read_drawn(video, (0, -1), protocol.draw(video.name), cut)
    return np.stack([frames[n] for n in drawn[len(drawn) // 2].tolist()]), used[-1]
