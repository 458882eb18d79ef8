"""Train four networks on generated clips, and compare what their blocks can represent."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from keypoint.action.checkpoint import load_action
from keypoint.action.config import load_action_config
from keypoint.action.echo.dataset import SPLITS, make_clip
from keypoint.action.echo.table import Row, change_on_reversal, row_of, to_markdown
from keypoint.action.evaluation.scores import load_scores
from keypoint.commands.demo import call
from keypoint.commands.make_clip_data import prepare
from keypoint.commands.options.action.demo import parse
from keypoint.commands.options.make_clip_data import TRAIN_CLIPS, VAL_CLIPS
from keypoint.config.load import find_config
from keypoint.errors import ConfigError
from keypoint.files import whole_file

CONFIG = "echo.yaml"
OUTPUT = Path("output/echo")  # also in the config
BLOCKS = ("none", "nl", "pnl", "srl_fft")
SET_HERE = ("output", "data.root", "data.train_list", "data.val_list", "model.blocks")
REVERSED_CLIPS = 200

NEXT_STEPS = """
Done in {minutes:.1f} minutes. Results:
  {output}/classes.jpg     clips of each class
  {output}/table.md        the table above

Next steps:
  keypoint compare {output}/nl {output}/srl_fft
      the accuracy of two networks, class by class
  keypoint train --cfg echo.yaml model.blocks=cgnl output={output}/cgnl
      another block
  keypoint predict --checkpoint {output}/srl_fft/best.pt --output clips_found --pictures \\
      {output}/data/val/same_left_first/000002.mkv
      the classes of a video
"""


def main(argv: Sequence[str]) -> None:
    """Parse, build, call."""
    args = parse(argv)
    begin = time.perf_counter()
    check_overrides(args.overrides)

    prepare(OUTPUT, TRAIN_CLIPS, VAL_CLIPS, keep=args.resume)
    rows = [train_and_test(blocks, args.overrides, resume=args.resume) for blocks in BLOCKS]
    table = to_markdown(rows, REVERSED_CLIPS)
    with whole_file(OUTPUT / "table.md", "the table") as file:
        file.write(table.encode())
    print(
        f"\n{table}{NEXT_STEPS.format(minutes=(time.perf_counter() - begin) / 60, output=OUTPUT)}"
    )


def check_overrides(overrides: Sequence[str]) -> None:
    """Refuse keys that the demo sets itself, and mistyped keys.

    Raises:
        ConfigError: A key is refused.
    """
    load_action_config(find_config(CONFIG), overrides)
    for override in overrides:
        key = override.partition("=")[0]
        if key in SET_HERE or key.startswith("model.blocks."):
            raise ConfigError(
                f"{override}: the demo sets {key} itself; train one network with "
                f"keypoint train --cfg {CONFIG} {override}"
            )


def train_and_test(blocks: str, overrides: Sequence[str], *, resume: bool) -> Row:
    """Return one row of the table."""
    output = OUTPUT / blocks
    how = "--resume" if resume and (output / "last.pt").is_file() else "--overwrite"
    keys = (f"model.blocks={blocks}", f"output={output}", *overrides)
    call("train", "--cfg", CONFIG, how, *keys)
    call("test", "--checkpoint", str(output / "best.pt"))
    clips = [make_clip(0, SPLITS.index("val"), index)[0] for index in range(REVERSED_CLIPS)]
    model = load_action(output / "best.pt").model
    change = change_on_reversal(model, torch.from_numpy(np.stack(clips)))
    return row_of(blocks, load_scores(output), change)
