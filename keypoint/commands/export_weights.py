"""Write a checkpoint's weights for another toolkit: keypoint export-weights [...]."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from keypoint.checkpoint.file import load_model
from keypoint.commands import cli
from keypoint.commands.options.export_weights import parse
from keypoint.errors import CheckpointError
from keypoint.models.weights.export import export_weights


def main(argv: Sequence[str]) -> None:
    """Parse, build, call."""
    args = parse(argv)
    cli.log_to()
    cli.refuse_existing(args, args.checkpoint)
    restored = load_model(args.checkpoint)
    export = export_weights(
        restored.model,
        args.format,
        keypoints=restored.skeleton.keypoints,
        epoch=restored.epoch,
        decoding=restored.decoding(),
    )
    cli.make_folder(args.output.parent, "--output")
    try:
        torch.save(export.content, args.output)
    except (OSError, RuntimeError) as error:  # torch reports what it cannot open as the latter
        raise CheckpointError(
            f"{args.output}: cannot be written ({error}); give the name of a file in a folder with "
            "space and permission"
        ) from None
    print(f"written: {args.output}\nfor {args.format}: {export.settings}")
