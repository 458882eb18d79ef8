"""The options of keypoint train for videos."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from keypoint.action.config import ActionConfig
from keypoint.commands.options import training
from keypoint.config.load import describe_keys

EPILOG = """examples:
  keypoint train --cfg c2d_res50_srl_fft5.yaml data.root=/data/kinetics400
      the SRL paper's network on Kinetics-400, from ImageNet weights
  keypoint train --cfg mine.yaml data.root=clips data.train_list=train data.val_list=val
      folders of videos, train/CLASS/*.mp4 and val/CLASS/*.mp4
  keypoint train --cfg mine.yaml model.weights=output/kinetics/best.pt model.new_head=true
      from a network that was trained for other classes
  keypoint train --cfg mine.yaml test.clips=5
      evaluate on 5 clips of each video instead of 25, which takes a fifth of the time
  keypoint train --cfg mine.yaml --resume
      continue after an interruption, as if there had been none
  keypoint train --cfg mine.yaml --seeds 0 1 2
      three trainings in folders seed0, seed1, seed2, for keypoint compare; with --resume those that
      are done are left as they are, and --dry-run prints a command each
  torchrun --nproc_per_node 8 tools/train.py --cfg c2d_res50_srl_fft5.yaml
      on 8 GPUs; the batch size is per GPU (docs/guides/many-gpus.md)

The output folder gets last.pt, best.pt (highest top1), config.yaml, log.txt, data_report.json,
history.json, curves.png and tensorboard events, unless train.logger sends the numbers to a
service; and of each evaluation metrics.json, per_class.csv, results.json and scores.npz.

keys of a config, with default and what is allowed:
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    epilog = EPILOG + describe_keys(ActionConfig)
    return training.parse(argv, "Train a network that classifies videos from a config.", epilog)
