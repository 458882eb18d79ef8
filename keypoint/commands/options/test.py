"""The options of keypoint test."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from keypoint.commands import cli

EPILOG = """examples:
  keypoint test --checkpoint output/res50_256x192/best.pt
      ground-truth boxes
  keypoint test --checkpoint best.pt --boxes COCO_val2017_detections_AP_H_56_person.json
      detector boxes, as the papers report
  keypoint test --weights res50_256x192 --boxes COCO_val2017_detections_AP_H_56_person.json
      a published network, downloaded once (keypoint weights lists them)
  keypoint test --checkpoint best.pt --boxes truth --boxes detections.json
      both in one run, each in its own folder, named after the file
  keypoint test --checkpoint best.pt --boxes COCO_test-dev2017_detections_AP_H_609_person.json \\
      data.val_annotations=annotations/image_info_test-dev2017.json data.val_images=test2017
      images without annotations: writes results.json for COCO's server, no AP
  keypoint test --checkpoint best.pt model.input_size=[384,288]
      another resolution than in training, with the same blocks
  keypoint test --cfg res50_256x192.yaml --checkpoint pose_resnet_50_256x192.pth
      weights of SimpleBaseline, the HRNet repository or mmpose; or import them once with
      keypoint import-weights and test the new checkpoint
  keypoint test --checkpoint best.pt data.on_bad=skip data.max_bad=0.01
      leave out images with a fault, from annotations and boxes; data_report.json lists them
  torchrun --nproc_per_node 8 tools/test.py --checkpoint best.pt
      the same numbers in less time

Keys of the config that testing does not read (seed, augment.*, train.* except train.amp) are
refused if their value differs from the checkpoint's, because they would have no effect.

Writes to the output folder results.json (COCO's format), metrics.json (numbers with boxes, flip and
counts) and card.md (the model card with this AP and the conditions under which it was measured). If
the folder is not the training's, also its config.yaml, so that keypoint compare knows the seed.
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser with all options."""
    description = cli.with_action("test", "Report the ten COCO numbers of a checkpoint.")
    parser = cli.parser("keypoint test", description, EPILOG)
    cli.add_network(parser, "best.pt or last.pt of a run; with --cfg, any weights")
    cli.add_config(parser, "a config instead of the one in the checkpoint")
    parser.add_argument(
        "--boxes",
        action="append",
        metavar="truth|FILE",
        help="ground-truth boxes or a detections JSON instead of test.boxes; may be repeated",
    )
    cli.add_pictures(parser, 0, "also draw N images, annotations next to predictions")
    parser.add_argument(
        "--analyse",
        action="store_true",
        help="also report the AP lost by keypoint, kind of error and score",
    )
    parser.add_argument(
        "--worst",
        type=cli.whole_number(0),
        default=0,
        metavar="N",
        help="also draw the N persons of lowest OKS, with errors marked",
    )
    cli.add_device(parser)
    cli.add_process_timeout(parser)
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    return make_parser().parse_intermixed_args(argv)
