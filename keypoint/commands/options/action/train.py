"""The options of keypoint train for videos."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from keypoint.action.config import ActionConfig
from keypoint.commands.options import training

EPILOG = """examples:
  keypoint train --cfg c2d_res50_srl_fft5.yaml data.root=/data/kinetics400
      the SRL paper's network on Kinetics-400, from ImageNet weights
  keypoint train --cfg mine.yaml data.root=clips data.train_list=train data.val_list=val
      folders of videos, train/CLASS/*.mp4 and val/CLASS/*.mp4
  keypoint train --cfg mine.yaml model.weights=output/kinetics/best.pt model.new_head=true
      start from a network that was trained for other classes
  keypoint train --cfg mine.yaml test.clips=5
      evaluate 5 clips of each video instead of 25, in a fifth of the time
  keypoint train --cfg mine.yaml --resume
      continue after an interruption, as if there had been none
  keypoint train --cfg mine.yaml --seeds 0 1 2
      train three times, in folders seed0, seed1 and seed2, for keypoint compare; --resume skips
      finished runs, --dry-run prints one command for each run
  torchrun --nproc_per_node 8 tools/train.py --cfg c2d_res50_srl_fft5.yaml
      on 8 GPUs; the batch size is per GPU (docs/guides/many-gpus.md)

Writes to the output folder last.pt, best.pt (highest top1), config.yaml, log.txt, data_report.json,
history.json, curves.png and tensorboard events, unless train.logger sends the numbers to a service;
and metrics.json, per_class.csv, results.json and scores.npz of each evaluation.
"""


def make_parser() -> argparse.ArgumentParser:
    """All options."""
    description = "Train a network that classifies videos from a config."
    return training.make_parser(description, EPILOG, ActionConfig)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    return training.parse(make_parser(), argv)
