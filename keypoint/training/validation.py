"""The evaluation of a network during training, for any task."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Validation:
    """An evaluation, and its number that determines the best epoch.

    Attributes:
        evaluate: Maps a network in eval mode to numbers by name and their conditions; called on
            every process. Its second argument is a function to call regularly: it raises if a
            signal asks the run to stop. Nothing is lost, as the run is saved before the evaluation.
        metric: Name of the number that determines the best epoch. A negative value means that
            there was nothing to score, as in COCO's numbers.
        higher_is_better: Whether a higher number is the better one.
        every: Epochs between evaluations; the last epoch is always evaluated.
    """

    evaluate: Callable[[Any, Callable[[], None]], tuple[dict[str, float], dict[str, Any]]]
    metric: str
    higher_is_better: bool = True
    every: int = 10

    def improves(self, metrics: dict[str, float], best: dict[str, Any] | None) -> bool:
        """Return whether these numbers are better than the best so far."""
        value = metrics[self.metric]
        if not 0 <= value < math.inf:  # nan as well, which would never be beaten
            return False
        if best is None:
            return True
        known: float = best["metrics"][self.metric]
        return value > known if self.higher_is_better else value < known
