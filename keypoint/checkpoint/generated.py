"""Whether a network has seen generated figures only: the demo's draws nonsense on photos."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ONLY_GENERATED = (
    "this network has only seen generated figures; on real photos its keypoints are meaningless; "
    "use keypoint predict --weights NAME (keypoint weights lists them)"
)


def has_seen_only_generated(content: Mapping[str, Any]) -> bool:
    """Whether a checkpoint says so.

    Its training noted that the persons are generated (card.py; checkpoints before that say
    nothing), and it started from nothing that may have seen photos: a file, or the function of a
    network of one's own, which may load weights itself.

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
