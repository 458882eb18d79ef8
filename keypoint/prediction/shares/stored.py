"""Events of a share as lines of JSON: a frame, an unread image, or the end of a video.

Numbers keep all digits, so results are read back exactly. A share numbers its own images and frames
from 1, because the number of frames in the videos of other shares is unknown; the merge renumbers
them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import IO, Any

import numpy as np

from keypoint.data.report import Fault
from keypoint.prediction.inputs.find import Input
from keypoint.prediction.inputs.frames import Frame, Unread, VideoEnd
from keypoint.prediction.stream import Predicted


@dataclass
class Stored:
    """An event of `predict_stream`, and its pictures, relative to the share's folder."""

    event: Predicted | Unread | VideoEnd
    picture: str | None = None
    crops: Sequence[str] = ()


class IncompleteError(ValueError):
    """The file ends before the input does, or contains something else."""


def to_line(stored: Stored) -> str:
    """Return one line of JSON, without the newline."""
    event = stored.event
    content: dict[str, Any]
    if isinstance(event, Unread):
        content = {"file": str(event.path), "unread": asdict(event.fault)}
    elif isinstance(event, VideoEnd):
        content = {"file": str(event.path), "end": _without_path(event)}
    else:
        frame = event.frame
        content = {
            "file": str(frame.path),
            "frame": {
                "number": frame.number,
                "rate": frame.rate,
                "seconds": frame.seconds,
                "image_id": frame.image_id,
                "image_size": list(frame.image_size),
                "orientation": frame.orientation,
                "is_dark": bool(frame.is_dark),
            },
            "boxes": event.boxes.tolist(),  # P 4
            "box_scores": event.box_scores.tolist(),  # P
            "keypoints": event.keypoints.tolist(),  # P K 2
            "scores": event.scores.tolist(),  # P K
            "ids": None if event.ids is None else event.ids.tolist(),
            "picture": stored.picture,
            "crops": list(stored.crops),
        }
    return json.dumps(content, allow_nan=False)


def stored_events(file: IO[bytes], one: Input, num_keypoints: int) -> Iterator[Stored]:
    """Read the events of the next input: one line for an image, all frames and the end of a video.

    Args:
        file: A share's file, at the lines of this input.
        one: The input.
        num_keypoints: Number of keypoints of each person.

    Raises:
        IncompleteError: The file ends, or the lines are of another input.
    """
    while True:
        line = file.readline()
        if not line.endswith(b"\n"):
            raise IncompleteError("cut off")
        try:
            stored = _from_content(json.loads(line), one, num_keypoints)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise IncompleteError(f"not a line of {one.path} ({error})") from None
        yield stored
        if not one.is_video or isinstance(stored.event, VideoEnd):
            return


def _from_content(content: dict[str, Any], one: Input, num_keypoints: int) -> Stored:
    if content["file"] != str(one.path):
        raise ValueError(f"but of {content['file']}")
    if "unread" in content:
        return Stored(Unread(one.path, Fault(**content["unread"])))
    if "end" in content:
        end = content["end"]
        fault = None if end["fault"] is None else Fault(**end["fault"])
        return Stored(VideoEnd(one.path, **(end | {"fault": fault})))
    fields = content["frame"]
    frame = Frame(one.path, image=None, **(fields | {"image_size": tuple(fields["image_size"])}))
    persons = len(content["boxes"])
    ids = content["ids"]
    predicted = Predicted(
        frame,
        np.array(content["boxes"], np.float64).reshape(persons, 4),
        np.array(content["box_scores"], np.float64).reshape(persons),
        np.array(content["keypoints"], np.float64).reshape(persons, num_keypoints, 2),
        np.array(content["scores"], np.float64).reshape(persons, num_keypoints),
        missing=0,
        ids=None if ids is None else np.array(ids, np.int64).reshape(persons),
    )
    return Stored(predicted, content["picture"], content["crops"])


def _without_path(end: VideoEnd) -> dict[str, Any]:
    return {
        "claimed": end.claimed,
        "read": end.read,
        "fault": None if end.fault is None else asdict(end.fault),
        "reason": end.reason,
        "lost": end.lost,
    }
