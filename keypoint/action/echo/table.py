"""Accuracy of each block on the set, for each factor, and the effect of reversing clips.

The score of C2D is computed from 4 pooled frames. Two facts follow exactly:

* The base and SRL without its convolution over time process each pooled frame separately, and the
  score is a sum over them. They cannot represent "same gesture?", an XOR of events in two frames.
* The base, NL, PNL, CGNL, A2 and SRL without its convolution over time give the same score for any
  order of the pooled frames. They cannot represent "who acts first?".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from keypoint.action.evaluation.accuracy import measure_accuracy
from keypoint.action.evaluation.scores import VideoScores
from keypoint.action.networks.network import ActionNetwork

CHANCE = {"top1": 0.25, "same": 0.5, "first": 0.5}
HEAD = "| blocks | top-1 | same gesture? | who first? | score change on reversal |"
WORDS = """
Accuracy in percent on {clips} validation clips, one training each, with the binomial standard error
for this number of clips; the variation over seeds is larger. The last column is the largest change
of a class's score when {reversed} of the clips are reversed.

The table shows what a block can represent, not that it helps in practice. On Kinetics the base has
63 % and the SRL paper's blocks add 1 to 2 points, with or without the convolution over time (its
table 9). Here the base fails by construction: its score is a sum over the 4 pooled frames, and both
questions depend on two of them. NL and PNL compare frames, but their result does not depend on the
order of frames, so reversal changes only the last bits. Only SRL's convolution over time has a
weight for each time. It learns "who first?" early and "same gesture?" late: after 500 to 800 steps,
depending on the seed.
"""


@dataclass(frozen=True)
class Row:
    """The results of one network.

    Attributes:
        blocks: Name of its blocks, or "none".
        clips: Number of clips scored.
        top1: Share of correct classes, 0 to 1.
        same: Share of clips for which "same gesture?" is correct, 0 to 1.
        first: Share of clips for which "who acts first?" is correct, 0 to 1.
        change: Largest change of a score on reversal.
    """

    blocks: str
    clips: int
    top1: float
    same: float
    first: float
    change: float


def row_of(blocks: str, scores: VideoScores, change: float) -> Row:
    """Split the predicted class into its two factors: 2 * same + right first."""
    labels, predicted = scores.labels, scores.scores.argmax(axis=1)
    return Row(
        blocks,
        len(scores),
        measure_accuracy(scores.scores, labels, scores.classes).top1,
        float(np.mean(predicted // 2 == labels // 2)),
        float(np.mean(predicted % 2 == labels % 2)),
        change,
    )


@torch.inference_mode()
def change_on_reversal(model: ActionNetwork, clips: Tensor) -> float:
    """Return the largest change of a score when clips (B, T, H, W, 3), uint8 RGB, are reversed."""
    forwards, backwards = (model(model.normalize(way)) for way in (clips, clips.flip(1)))
    return float((forwards - backwards).abs().max())


def to_markdown(rows: Sequence[Row], reversed_clips: int) -> str:
    """Return the table and its explanation."""
    chance = [f"{100 * CHANCE[name]:g}" for name in CHANCE]
    lines = [HEAD, "|---|---|---|---|---|", f"| (chance) | {' | '.join(chance)} | |"]
    for row in rows:
        cells = [_percent(share, row.clips) for share in (row.top1, row.same, row.first)]
        lines.append(f"| {row.blocks} | {' | '.join(cells)} | {row.change:.0e} |")
    return "\n".join(lines) + "\n" + WORDS.format(clips=rows[0].clips, reversed=reversed_clips)


def _percent(share: float, number: int) -> str:
    return f"{100 * share:.1f} ± {100 * math.sqrt(share * (1 - share) / number):.1f}"
