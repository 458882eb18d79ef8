"""Names of the files in the folder of a run, and of the conditions in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

METRICS, HISTORY, CONFIG, RESULTS = "metrics.json", "history.json", "config.yaml", "results.json"
CARD = "card.md"  # written only by keypoint test
# Conditions that had another name before 0.2.0.
RENAMED = {"images_left_out": "images_skipped", "left_out": "skipped"}


def current_names(conditions: Mapping[str, Any]) -> dict[str, Any]:
    """Conditions under the names that are written now; tests before 0.2.0 wrote others."""
    return {RENAMED.get(key, key): value for key, value in conditions.items()}
