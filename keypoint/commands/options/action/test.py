"""The options of keypoint test for videos."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from keypoint.commands import cli

EPILOG = """examples:
  keypoint test --checkpoint output/mine/best.pt
      as configured; by default 25 random clips of a video, as in the SRL paper
  keypoint test --checkpoint best.pt test.clips=10 test.sampling=uniform test.crops=3
      10 uniform clips with 3 crops each, as for the non-local networks
  keypoint test --checkpoint best.pt data.root=/data/ucf101 data.val_list=testlist02.txt
      another split, or a copy of the videos elsewhere
  keypoint test --checkpoint best.pt output=output/other data.val_list=test.txt
      other videos, with the results in another folder
  torchrun --nproc_per_node 8 tools/test.py --checkpoint best.pt
      the same numbers in less time

The score of a video is the mean of the softmax probabilities of its clips. Random clips are seeded
by the SHA-256 of the video's name in its list, so a test is repeatable. The conditions under which
the numbers were measured are printed and stored with them.

Keys of the config that testing does not read (seed, augment.*, train.* except train.amp) are
refused if their value differs from the checkpoint's, because they would have no effect.

Writes to the output folder metrics.json (accuracies and their conditions), per_class.csv,
results.json (each video), scores.npz (all scores, for keypoint compare) and card.md. If the folder
is not the training's, also its config.yaml, so that keypoint compare knows the seed.
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser with all options."""
    parser = cli.parser("keypoint test", "Report the accuracy of a checkpoint on videos.", EPILOG)
    cli.add_network(parser)
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="change a key of the config"
    )
    cli.add_device(parser)
    cli.add_process_timeout(parser)
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    return make_parser().parse_intermixed_args(argv)
