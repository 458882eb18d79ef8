"""Generate the clips of the set "echo": keypoint make-clip-data --output DIR."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import torch
from torch import nn

from keypoint.action.echo.dataset import is_echo_set, write_echo_set
from keypoint.action.echo.picture import class_sheet
from keypoint.action.echo.pretrain import STEPS, train_on_frames
from keypoint.commands import cli
from keypoint.commands.options.make_clip_data import parse
from keypoint.files import whole_file
from keypoint.progress import progress


def main(argv: Sequence[str]) -> None:
    """Parse, build, call."""
    args = parse(argv)
    cli.log_to()
    prepare(args.output, args.train, args.val, keep=True)


def prepare(output: Path, train_clips: int, val_clips: int, *, keep: bool) -> None:
    """Write the videos, a picture of some, and the weights from which training starts.

    Args:
        output: Output folder.
        train_clips: Number of clips to train on.
        val_clips: Number of other clips.
        keep: Keep complete files instead of writing them again.
    """
    data, weights = output / "data", output / "frames.pth"
    if keep and is_echo_set(data, train_clips=train_clips, val_clips=val_clips):
        print(f"the clips in {data} are complete")
    else:
        with progress(train_clips + val_clips, "generate clips", "clip") as bar:
            write_echo_set(data, train_clips=train_clips, val_clips=val_clips, progress=bar.update)
    sheet = class_sheet()[..., ::-1]
    cv2.imwrite(str(output / "classes.jpg"), sheet, [cv2.IMWRITE_JPEG_QUALITY, 92])
    if keep and weights.is_file():
        print(f"the weights in {weights} are complete")
        return
    with progress(STEPS, "train on single frames", "step") as bar:
        network, loss = train_on_frames(progress=bar.update)
    save_weights(weights, network)
    print(f"{weights}: trained on the poses of single frames, loss {loss:.4f}")


def save_weights(path: Path, network: nn.Module) -> None:
    """Write a state dict to a temporary file, and rename it when it is complete."""
    with whole_file(path, "weights") as file:
        torch.save(network.state_dict(), file)
