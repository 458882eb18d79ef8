"""Find networks trained on generated figures only, such as the demo's: useless on photos."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ONLY_GENERATED = (
    "this network was trained on generated figures only; its keypoints on photos are meaningless; "
    "use keypoint predict --weights NAME (keypoint weights lists them)"
)


def has_seen_only_generated(content: Mapping[str, Any]) -> bool:
    """Return whether a checkpoint's network was trained on generated figures only.

    True if the card says that the training persons are generated (older checkpoints have no card),
    and training did not start from anything that may have seen photos: a weights file, or a
    user's own network function, which may load weights itself.

    Args:
        content: As `read_checkpoint` returns it.
    """
    card = content["card"] or {}
    data = card.get("data")
    train = data.get("train") if isinstance(data, Mapping) else None
    model = content["config"].get("model") or {}
    from_file = model.get("weights", "imagenet") not in (None, "imagenet")
    is_own = ":" in str(model.get("network", ""))
    marked = isinstance(train, Mapping) and train.get("generated") is True
    return marked and not from_file and not is_own
