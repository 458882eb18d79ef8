"""Print the model card of a checkpoint: keypoint info --checkpoint FILE."""

from __future__ import annotations

import json
from collections.abc import Sequence

from keypoint.checkpoint.card import card_of_file, read_card, to_markdown
from keypoint.commands import cli
from keypoint.commands.options.info import parse
from keypoint.export.read import read_export
from keypoint.export.write import FORMATS


def main(argv: Sequence[str]) -> None:
    """Parse, read, print."""
    args = parse(argv)
    if args.weights:
        cli.log_to()
    path = cli.chosen_checkpoint(args)
    exported = path.suffix in FORMATS
    card = card_of_file(path, read_export(path).facts()) if exported else read_card(path)
    print(json.dumps(card, indent=2) if args.json else to_markdown(card))
