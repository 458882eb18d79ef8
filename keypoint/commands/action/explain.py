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
from keypoint.commands.explain import explain, make_parser, numbers, with_random_weights
from keypoint.distributed import choose_device
from keypoint.errors import ConfigError
from keypoint.explain.site import Query

EPILOG = """examples:
  keypoint explain --checkpoint best.pt --output seen clip.mp4
      the row of every block for the middle of the middle frame, of the middle clip of a test
  keypoint explain --checkpoint best.pt --output seen --at 120,80 --frame 5 clip.mp4
      for a pixel of the video's frames, in the clip's sixth frame
  keypoint explain --checkpoint best.pt --output seen --site layer3.1 clip.mp4
      of one block; a site is a block's, or any submodule's name that gives a map

A picture a site, 000001_clip_SITE.png, shows up to eight frames side by side: the query (ring) with
the five strongest regions of the block's row (of pnl a color each scale), the rows as heat, and the
receptive field of the site's middle, with random weights and after training: by Luo et al. on
random clips, and by RepLKNet on this one. The number under a frame is its share. The table has the
weights of the five, entropy, and the mean distance in pixels and frames of the network's input.
docs/explain.md says what each block's row is.
"""


def main(argv: Sequence[str]) -> None:
    """Parse, build, call."""
    parser = make_parser("clip.mp4", "Show what the blocks of a network attend to.", EPILOG)
    parser.add_argument(
        "--frame", type=cli.whole_number(0), metavar="N", help="of the clip; default: the middle"
    )
    args = parser.parse_args(argv)
    point = numbers(args.at, "--at", 2)
    cli.log_to(args.output)
    restored = load_action(args.checkpoint)
    model = restored.model.to(choose_device(args.device))
    if args.frame is not None and args.frame >= model.frames:
        raise ConfigError(f"--frame {args.frame}: a clip has {model.frames}, from 0")
    frames, crop = clip_of(args.input, restored.config)
    height, width = model.input_size
    x, y = (width - 1) / 2, (height - 1) / 2
    if point is not None:
        x = (point[0] - crop.x + 0.5) * width / crop.width - 0.5
        y = (point[1] - crop.y + 0.5) * height / crop.height - 0.5
        if not (-0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5):
            raise ConfigError(
                f"--at {args.at}: outside of what the network sees, x from {crop.x} to "
                f"{crop.x + crop.width - 1} and y from {crop.y} to {crop.y + crop.height - 1}"
            )
    query = Query(y, x, model.frames // 2 if args.frame is None else args.frame)
    arguments = restored.config.model.arguments(len(restored.classes), model.frames)
    fresh = with_random_weights(create_model, arguments).to(model.pixel_mean.device)
    example = model.normalize(torch.from_numpy(frames[None]).to(model.pixel_mean.device))
    explain(model, fresh, example, frames, query, model.stages[5][-1], args)


def clip_of(video: Path, config: ActionConfig) -> tuple[NDArray[np.uint8], Crop]:
    """The middle clip of a test, (T, H, W, 3) uint8 RGB, and its centre crop of the video's frames.

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
