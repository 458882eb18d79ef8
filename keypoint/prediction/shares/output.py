"""Results of one share: each event as a line, each picture in the share's folder."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from keypoint.files import write_json
from keypoint.pose.skeleton import Skeleton
from keypoint.prediction.drawing import PredictPictures, writing
from keypoint.prediction.inputs.frames import Unread, VideoEnd
from keypoint.prediction.shares.folder import DONE, EVENTS
from keypoint.prediction.shares.split import Share
from keypoint.prediction.shares.stored import Stored, to_line
from keypoint.prediction.stream import Predicted


class ShareOutput:
    """Writes a share during its run, like `PredictOutput`; `finish` completes it.

    Args:
        folder: The share's folder; events in it are kept.
        share: The share, for messages.
        skeleton: Skeleton for drawing.
        pictures: Draw every image, and every video as a video.
        crops: Draw every person's crop with its heatmaps.
        labels: Write the keypoints' names on the pictures.
        udp: The heatmaps are of the codec `udp`.

    Attributes:
        kept: Message about the results of an interrupted run.

    Raises:
        ConfigError: The folder cannot be written to.
    """

    def __init__(
        self,
        folder: Path,
        share: Share,
        skeleton: Skeleton,
        *,
        pictures: bool,
        crops: bool,
        labels: bool,
        udp: bool,
    ) -> None:
        self.folder = folder
        self.kept = f"{share} is not finished; run the same command to continue it"
        with writing(folder / EVENTS):
            self._file = (folder / EVENTS).open("a", encoding="utf-8")
        self._pictures = PredictPictures(
            folder, skeleton, pictures=pictures, crops=crops, labels=labels, udp=udp
        )

    def __enter__(self) -> ShareOutput:
        return self

    def __exit__(self, *_: object) -> None:
        self._pictures.discard()
        with contextlib.suppress(OSError):  # a full disk, already reported
            self._file.close()

    def take(self, event: Predicted | Unread | VideoEnd) -> None:
        """Write one event; a frame must have its image if pictures are drawn.

        Raises:
            ConfigError: A file cannot be written.
        """
        stored = Stored(event)
        if isinstance(event, Predicted):
            stored = Stored(event, *self._pictures.add(event))
        elif isinstance(event, VideoEnd):
            self.end_video()
        with writing(self.folder / EVENTS):
            self._file.write(to_line(stored) + "\n")
            self._file.flush()

    def end_video(self) -> None:
        """Close the drawn video, if there is one, and check that it is complete.

        Raises:
            ConfigError: It is not.
        """
        self._pictures.end_video()

    def finish(self, inputs: int) -> None:
        """Mark the share as done.

        Args:
            inputs: Number of inputs.

        Raises:
            ConfigError: A file cannot be written.
        """
        with writing(self.folder / EVENTS):
            self._file.flush()
            os.fsync(self._file.fileno())
        write_json(self.folder / DONE, {"inputs": inputs})
