"""Names of the files in the folder of a run, and of the conditions in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

METRICS, HISTORY, CONFIG, RESULTS = "metrics.json", "history.json", "config.yaml", "results.json"
CARD = "card.md"  # written only by keypoint test
UNIFORM_SIGMAS = "uniform (0.067), so AP can be compared only with others of this skeleton"
# Conditions that had another name or value before 0.2.0.
RENAMED = {"images_left_out": "images_skipped", "left_out": "skipped"}
REWORDED = {"uniform sigmas (0.067): AP is comparable only with itself": UNIFORM_SIGMAS}


def current_names(conditions: Mapping[str, Any]) -> dict[str, Any]:
    """Conditions under the names that are written now; tests before 0.2.0 wrote others."""
    new = {RENAMED.get(key, key): value for key, value in conditions.items()}
    if new.get("oks_sigmas") in REWORDED:
        new["oks_sigmas"] = REWORDED[new["oks_sigmas"]]
    return new
