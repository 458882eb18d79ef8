"""Print the model card of a checkpoint: keypoint info CHECKPOINT."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keypoint.checkpoint.model_card import Card, read_card
from keypoint.commands import cli

WIDTH = 100
EPILOG = """examples:
  keypoint info output/demo/best.pt
      network, skeleton, training, AP with all that it holds for, use and limits
  keypoint info output/demo/best.pt --json
      the same for programs
  keypoint info pose_resnet_50_256x192.pth.tar
      weights of other toolkits: what they are recognised as

The card is Markdown. To share a network, put it beside the checkpoint; the folder is what
Predictor.from_pretrained takes, from here or from the Hugging Face Hub (pip install keypoint[hub]):
  mkdir mine
  cp output/demo/best.pt mine/model.pt
  keypoint info mine/model.pt > mine/README.md
  hf upload USER/NAME mine

Say in it under which licence the weights are: no file tells that. No code in the file is run, and
nothing is asked of the network.
"""


def main(argv: Sequence[str]) -> None:
    """Parse, read, print."""
    parser = cli.parser("keypoint info", "Print what a checkpoint is: its model card.", EPILOG)
    parser.add_argument(
        "checkpoint", type=Path, metavar="CHECKPOINT", help="best.pt, last.pt, or others' weights"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    args = parser.parse_args(argv)

    card = read_card(args.checkpoint)
    print(json.dumps(card, indent=2, default=str) if args.json else markdown(card))


def markdown(card: Card) -> str:
    """A heading a section, a bullet a row, lines that fit a terminal."""
    lines = [f"# Model card: {_safe(card['file']['name'])}"]
    for section, rows in card.items():
        lines += ["", f"## {section.capitalize()}", ""]
        for key, value in rows.items():
            lines += textwrap.wrap(
                f"* {_words(key)}: {_show(value)}",
                WIDTH,
                subsequent_indent="  ",
                break_long_words=False,
                break_on_hyphens=False,
            )
    return "\n".join(lines)


def _show(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{_words(key)} {_show(entry)}" for key, entry in value.items())
    if isinstance(value, list | tuple):
        sizes = len(value) == 2 and all(type(entry) is int for entry in value)
        return (" x " if sizes else ", ").join(map(_show, value))
    return _safe(str(value))


def _words(key: Any) -> str:
    """A key as words, but for COCO's own names such as AP_M."""
    text = str(key)
    return _safe(text if text[-2:] in ("_M", "_L") else text.replace("_", " "))


def _safe(text: str) -> str:
    """Of one line, and without what would move the terminal."""
    text = " ".join(text.split())
    return text if text.isprintable() else repr(text)
