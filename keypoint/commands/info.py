"""Print the model card of a checkpoint, or what is installed here: keypoint info."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import torch

from keypoint import distributed
from keypoint.checkpoint.card import card_of_file, read_card, to_markdown
from keypoint.checkpoint.provenance import device_name, package_versions
from keypoint.commands import cli
from keypoint.commands.options.info import parse
from keypoint.compiled.libraries import state
from keypoint.export.read import read_export
from keypoint.export.write import FORMATS


def main(argv: Sequence[str]) -> None:
    """Parse, read, print."""
    args = parse(argv)
    if args.weights:
        cli.log_to()
    if not (args.checkpoint or args.weights):
        here = installation()
        lines = [f"{name}: {value}" for name, value in here.items()]
        print(json.dumps(here, indent=2) if args.json else "\n".join(lines))
        return
    path = cli.chosen_checkpoint(args)
    exported = path.suffix in FORMATS
    card = card_of_file(path, read_export(path).facts()) if exported else read_card(path)
    print(json.dumps(card, indent=2) if args.json else to_markdown(card))


def installation() -> dict[str, Any]:
    """Return versions, device, threads, and whether compiled code is in use."""
    return {
        **package_versions(),
        "device": device_name(distributed.choose_device()),
        "CPU threads": torch.get_num_threads(),
        "CPU vectors": torch.backends.cpu.get_cpu_capability(),
        "compiled code": state(),
    }
