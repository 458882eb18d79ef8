"""What a test leaves for keypoint compare if its folder is not the training's: config and origin.

Without them the seed would not be known, and runs that differ only in the seed would not be one
group.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from keypoint.commands import cli
from keypoint.config.fields import RunConfig
from keypoint.config.load import dump_config
from keypoint.errors import CheckpointError
from keypoint.evaluation.runs.files import CONFIG, HISTORY
from keypoint.evaluation.runs.read import FACTS, UNKNOWN, checkpoint_facts

OF_A_TRAINING = ("last.pt", "best.pt", HISTORY)


def write_origin(
    args: argparse.Namespace, config: RunConfig, folder: Path, truth: str
) -> dict[str, str]:
    """Write config.yaml next to the results of a test, unless a training's is there.

    Weights that were not trained here, and those of --cfg, have no training to describe, so no file
    is written for them.

    Args:
        args: With `checkpoint`, and `cfg` if the command has it.
        config: Of the checkpoint, with the overrides.
        folder: Output folder, which exists; with several kinds of boxes, the one that has theirs.
        truth: Fingerprint of the annotations or labels scored against.

    Returns:
        The facts for `origin` of metrics.json: the checkpoint's, and `truth`.
    """
    try:
        facts = checkpoint_facts(args.checkpoint)
    except CheckpointError:  # weights in another form
        facts = dict.fromkeys(FACTS, UNKNOWN)
    is_own = (folder / CONFIG).is_file() and any((folder / n).is_file() for n in OF_A_TRAINING)
    was_trained = facts["train_data"] != UNKNOWN and not getattr(args, "cfg", None)
    if was_trained and not is_own:
        content = dump_config(config.model_copy(update={"output": str(folder)}))
        (folder / CONFIG).write_text(content, encoding="utf-8")
        cli.logger.info("written: %s, the training's config", folder / CONFIG)
    return facts | {"truth": truth}
