"""Generate persons in COCO's layout: keypoint make-person-data --output DIR."""

from __future__ import annotations

from collections.abc import Sequence

from keypoint.commands import cli
from keypoint.commands.options.make_person_data import parse
from keypoint.data.synthetic.demo_set import is_demo_set, write_demo_set
from keypoint.progress import progress


def main(argv: Sequence[str]) -> None:
    """Parse, build, call."""
    args = parse(argv)
    cli.log_to()
    wanted = {"train_images": args.train, "val_images": args.val, "seed": args.seed}
    if is_demo_set(args.output, **wanted):
        cli.logger.info("already complete: %s", args.output)
        return
    with progress(args.train + args.val, "generate images", "image") as bar:
        write_demo_set(args.output, **wanted, progress=bar.update)
    cli.logger.info("written: %s", args.output)
