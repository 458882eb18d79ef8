"""What each block makes of the set: both factors apart, and what reversing a clip changes.

The score of C2D is computed from 4 pooled frames, and two things follow exactly for them:

* The base and SRL without its convolution over time treat each of them alone: the score is a sum
  over them, so "same gesture?", an XOR of events in two of them, is out of reach.
* The base, NL, PNL, CGNL, A2 and SRL without its convolution over time treat them alike: in any
  other order they give the same score, so "who acts first?" is out of reach.
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
Accuracy in percent on {clips} clips that no network has seen, one training each, with the binomial
standard error of that many clips; other seeds differ by more. The last column is the largest change
of a class's score when {reversed} of the clips run backwards.

The table shows what a block can represent, not that it helps. On Kinetics the base is right on 63 %
and the SRL paper's blocks add 1 to 2 points, those without the convolution over time as many (its
table 9). Here the base fails by construction: its score is a sum over the 4 pooled frames, and both
answers lie in two of them. NL and PNL compare frames, but no frame knows its place in time, so
reversal changes nothing but the last bits. Only SRL's convolution over time has a weight for each
place. It learns "who first?" early and "same gesture?" late: after 500 to 800 steps, by the seed.
"""


@dataclass(frozen=True)
class Row:
    """The results of one network.

    Attributes:
        blocks: Name of its blocks, or "none".
        clips: Number of clips scored.
        top1: Share of right classes, 0 to 1.
        same: Share of clips for which "same gesture?" is right, 0 to 1.
        first: Share of clips for which "who acts first?" is right, 0 to 1.
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
    """Largest change of a score when the clips (B, T, H, W, 3), uint8 RGB, run backwards."""
    forwards, backwards = (model(model.normalize(way)) for way in (clips, clips.flip(1)))
    return float((forwards - backwards).abs().max())


def to_markdown(rows: Sequence[Row], reversed_clips: int) -> str:
    """The table and its meaning."""
    chance = [f"{100 * CHANCE[name]:g}" for name in CHANCE]
    lines = [HEAD, "|---|---|---|---|---|", f"| (chance) | {' | '.join(chance)} | |"]
    for row in rows:
        cells = [_percent(share, row.clips) for share in (row.top1, row.same, row.first)]
        lines.append(f"| {row.blocks} | {' | '.join(cells)} | {row.change:.0e} |")
    return "\n".join(lines) + "\n" + WORDS.format(clips=rows[0].clips, reversed=reversed_clips)


def _percent(share: float, number: int) -> str:
    return f"{100 * share:.1f} ± {100 * math.sqrt(share * (1 - share) / number):.1f}"
