"""Print the model card of a network that classifies videos: keypoint info --checkpoint FILE."""

from __future__ import annotations

import json
from collections.abc import Sequence

from keypoint.action.checkpoint import read_action_card
from keypoint.action.export.card import read_clip_export
from keypoint.checkpoint.card import card_of_file, to_markdown
from keypoint.commands import cli
from keypoint.export.write import FORMATS

EPILOG = """examples:
  keypoint info --checkpoint output/mine/best.pt
      network, classes, training, accuracy with all its conditions, limits
  keypoint info --checkpoint output/mine/best.pt --json
      the same for programs
  keypoint info --checkpoint model.onnx
      a file of keypoint export (also .pt2): its classes, inputs and outputs

No code in the file is run, and no network connection is opened.
"""


def main(argv: Sequence[str]) -> None:
    """Parse, read, print."""
    parser = cli.parser("keypoint info", "Print the model card of a checkpoint.", EPILOG)
    cli.add_checkpoint(parser, "best.pt, last.pt, or an exported file")
    parser.add_argument("--json", action="store_true", help="as JSON")
    args = parser.parse_args(argv)
    path = args.checkpoint
    if path.suffix in FORMATS:
        card = card_of_file(path, read_clip_export(path).facts())
    else:
        card = read_action_card(path)
    print(json.dumps(card, indent=2) if args.json else to_markdown(card))
