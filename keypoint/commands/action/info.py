"""Print the model card of a network that classifies videos: keypoint info --checkpoint FILE."""

from __future__ import annotations

import json
from collections.abc import Sequence

from keypoint.action.checkpoint import read_action_card
from keypoint.action.export.card import read_clip_export
from keypoint.checkpoint.card import card_of_file, to_markdown
from keypoint.commands.options.action.info import parse
from keypoint.export.write import FORMATS


def main(argv: Sequence[str]) -> None:
    """Parse, read, print."""
    args = parse(argv)
    path = args.checkpoint
    if path.suffix in FORMATS:
        card = card_of_file(path, read_clip_export(path).facts())
    else:
        card = read_action_card(path)
    print(json.dumps(card, indent=2) if args.json else to_markdown(card))
