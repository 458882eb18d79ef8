"""The options of keypoint train."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from keypoint.commands import cli
from keypoint.commands.options import training

EPILOG = """examples:
  keypoint train --cfg demo.yaml
      train on the demo set (keypoint demo generates it)
  keypoint train --cfg res50_256x192_srl3.yaml data.root=/coco
      the paper's SRL-FFT row on COCO
  keypoint train --cfg res50_256x192.yaml train.epochs=1 train.amp=bf16 output=output/smoke
      any key of the config can be changed here
  keypoint train --cfg res50_256x192_srl3.yaml model.weights=pose_resnet_50.pth \\
      model.partial_weights=true
      adds blocks to trained weights; the output is exactly the same at the start
  keypoint train --cfg res50_256x192.yaml model.weights=mmpose/res50_256x192
      start from published weights, downloaded once (keypoint weights lists them)
  keypoint train --cfg res50_256x192.yaml --resume
      continue after an interruption, as if there had been none
  keypoint train --cfg res50_256x192_srl3.yaml --seeds 0 1 2
      train three times, in folders seed0, seed1 and seed2, for keypoint compare; --resume skips
      finished runs, --dry-run prints one command for each run
  torchrun --nproc_per_node 8 tools/train.py --cfg res50_256x192.yaml
      the same on 8 GPUs; the batch size is per GPU (docs/guides/many-gpus.md)

Writes to the output folder last.pt, best.pt, config.yaml, log.txt, data_report.json, history.json,
curves.png and tensorboard events, unless train.logger sends the numbers to a service.
"""


def make_parser() -> argparse.ArgumentParser:
    """All options."""
    description = cli.with_action("train", "Train a keypoint network from a config.")
    return training.make_parser(description, EPILOG)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    return training.parse(make_parser(), argv)
