"""Generate persons in COCO's layout: keypoint make-person-data --output DIR."""

from __future__ import annotations

from collections.abc import Sequence

from keypoint.commands import cli
from keypoint.data.synthetic.demo_set import is_demo_set, write_demo_set
from keypoint.progress import progress

EPILOG = """examples:
  keypoint make-person-data --output output/evidence/persons
  keypoint train --cfg persons_tiny.yaml model.encoder_stride=8 model.blocks=srl_fft
  keypoint sweep field.yaml

Writes annotations/person_keypoints_{train,val}2017.json, train2017/ and val2017/, as COCO unpacks.
Image i of a split depends on the seed and on i alone: a smaller set is the beginning of a larger
one. A folder that holds the same set complete is left as it is.
"""


def main(argv: Sequence[str]) -> None:
    """Parse, build, call."""
    parser = cli.parser("keypoint make-person-data", "Generate persons in COCO's layout.", EPILOG)
    cli.add_output_folder(parser, "new or empty, or an earlier set of this command")
    number = cli.whole_number(1)
    parser.add_argument(
        "--train", type=number, default=1500, help="images to train on; default: 1500"
    )
    parser.add_argument("--val", type=number, default=400, help="images to test on; default: 400")
    parser.add_argument(
        "--seed", type=cli.whole_number(0), default=0, help="of the random numbers; default: 0"
    )
    args = parser.parse_args(argv)
    cli.log_to()
    wanted = {"train_images": args.train, "val_images": args.val, "seed": args.seed}
    if is_demo_set(args.output, **wanted):
        cli.logger.info("complete already: %s", args.output)
        return
    with progress(args.train + args.val, "generate images", "image") as bar:
        write_demo_set(args.output, **wanted, progress=bar.update)
    cli.logger.info("written: %s", args.output)
