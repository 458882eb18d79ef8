"""Generate road signs with annotated corners: keypoint make-sign-data --output DIR."""

from __future__ import annotations

from collections.abc import Sequence

from keypoint.commands import cli
from keypoint.commands.options.make_sign_data import parse
from keypoint.data.synthetic.signs import write_sign_set
from keypoint.progress import progress


def main(argv: Sequence[str]) -> None:
    """Parse, build, call."""
    args = parse(argv)
    cli.log_to()
    with progress(args.train + args.val, "generate images", "image") as bar:
        write_sign_set(
            args.output,
            train_images=args.train,
            val_images=args.val,
            seed=args.seed,
            progress=bar.update,
        )
    cli.logger.info("written: %s", args.output)
