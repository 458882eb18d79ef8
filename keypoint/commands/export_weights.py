"""Write a checkpoint's weights for another toolkit: keypoint export-weights [...]."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from keypoint.checkpoint.file import load_model
from keypoint.commands import cli
from keypoint.errors import CheckpointError
from keypoint.models.weights.export import COLOR_ORDERS, export_weights

EPILOG = """examples:
  keypoint export-weights --checkpoint output/res50_256x192/best.pt \\
      --format simple_baseline --output pose_resnet_50_256x192.pth
      for SimpleBaseline, and for pose_resnet in HRNet's repository
  keypoint export-weights --checkpoint output/res50_256x192/best.pt --format mmpose \\
      --output res50.pth
      for mmpose 1.x: TopdownPoseEstimator with ResNet or HRNet and HeatmapHead
  keypoint export-weights --checkpoint output/hrnet/best.pt --format hrnet \\
      --output pose_hrnet_w32.pth
      for pose_hrnet in HRNet's repository

The colour order is turned to the other toolkit's by permuting the first convolution's channels,
which is exact. Other settings that are needed there are printed: read them, or AP will be lower.
A network with blocks cannot run there and is refused. keypoint import-weights reads the file back
to equal weights, colours, codec, decoding, sigma and input size, which are in the state dict's
metadata.
"""


def main(argv: Sequence[str]) -> None:
    """Parse, build, call."""
    parser = cli.parser(
        "keypoint export-weights",
        "Write a checkpoint's weights under another toolkit's names.",
        EPILOG,
    )
    cli.add_checkpoint(parser)
    parser.add_argument("--format", required=True, choices=sorted(COLOR_ORDERS))
    cli.add_output_file(parser, "the file to write")
    args = parser.parse_args(argv)

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
