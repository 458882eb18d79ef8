"""Files of a prediction: results.json, records.jsonl and pictures.

records.jsonl grows during the run by one line per image or frame, so an interrupted run keeps its
results; results.json appears at the end. Existing results are only overwritten on request, so two
runs cannot write to the same folder.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keypoint.errors import ConfigError
from keypoint.evaluation.results import make_results
from keypoint.pose.skeleton import Skeleton
from keypoint.prediction.drawing import PredictPictures, remove_pictures, writing
from keypoint.prediction.inputs.frames import Unread, VideoEnd
from keypoint.prediction.names import RECORDS, RESULTS
from keypoint.prediction.stream import Predicted


def require_free(folder: Path, overwrite: bool, used: Sequence[Path]) -> None:
    """Check the output folder before the run; it is not changed.

    Args:
        folder: Output folder; it need not exist.
        overwrite: Existing results may be replaced.
        used: Files that the run reads, which must not be replaced.

    Raises:
        ConfigError: The folder contains results, or a file that the run reads would be overwritten.
    """
    there = [name for name in (RESULTS, RECORDS) if os.path.lexists(folder / name)]
    if there and not overwrite:
        raise ConfigError(
            f"--output {folder} already contains {' and '.join(there)}; give another folder, or "
            "--overwrite to replace them"
        )
    for file in used:
        for name in there:
            if file.exists() and (folder / name).exists() and file.samefile(folder / name):
                raise ConfigError(
                    f"--output: {file} is an input and would be overwritten; give another folder"
                )


def remove_results(folder: Path) -> None:
    """Remove the results of an earlier run and their pictures, and nothing else."""
    remove_pictures(folder / RECORDS)
    for name in (RESULTS, RECORDS):
        (folder / name).unlink(missing_ok=True)


class PredictOutput:
    """Writes results during the run; `finish` completes them.

    Args:
        folder: An existing folder.
        skeleton: Skeleton for drawing and scoring.
        category_id: Category of the persons in results.json.
        pictures: Draw every image, and every video as a video.
        crops: Draw every person's crop with its heatmaps.
        labels: Write the keypoints' names on the pictures.
        udp: The heatmaps are of the codec `udp`.
        overwrite: Replace existing results and their pictures.

    Raises:
        ConfigError: The folder cannot be written to, or contains results.
    """

    def __init__(
        self,
        folder: Path,
        skeleton: Skeleton,
        *,
        category_id: int = 1,
        pictures: bool = False,
        crops: bool = False,
        labels: bool = False,
        udp: bool = False,
        overwrite: bool = False,
    ) -> None:
        self.folder = folder
        self.skeleton = skeleton
        self.category_id = category_id
        self._separator = "[\n"
        self._is_empty = True
        self._temporary = folder / f".{RESULTS}.part"
        with writing(folder / RECORDS), contextlib.ExitStack() as opened:
            if overwrite:
                remove_results(folder)
            self._records = opened.enter_context((folder / RECORDS).open("x", encoding="utf-8"))
            self._results = opened.enter_context(self._temporary.open("w", encoding="utf-8"))
            self._pictures = PredictPictures(
                folder, skeleton, pictures=pictures, crops=crops, labels=labels, udp=udp
            )
            self._files = opened.pop_all()

    def __enter__(self) -> PredictOutput:
        return self

    def __exit__(self, *_: object) -> None:
        self._pictures.discard()
        with contextlib.suppress(OSError):  # a full disk, already reported
            self._files.close()
        with contextlib.suppress(OSError):
            self._temporary.unlink()
        if self._is_empty:  # no results to protect from a second run
            with contextlib.suppress(OSError):
                (self.folder / RECORDS).unlink()

    @property
    def kept(self) -> str:
        """Message about the results of an interrupted run."""
        written = "records.jsonl contains the results until then"
        return "before the first result" if self._is_empty else written

    def take(self, event: Predicted | Unread | VideoEnd) -> None:
        """Write a frame, or end a video; unread images are ignored.

        Raises:
            ConfigError: A file cannot be written.
            NumericsError: A number is not finite.
        """
        if isinstance(event, Predicted):
            self.add(event)
        elif isinstance(event, VideoEnd):
            self.end_video()

    def add(self, predicted: Predicted) -> None:
        """Draw and write the persons of one frame; it must have its image if it is drawn.

        Raises:
            ConfigError: A file cannot be written.
            NumericsError: A number is not finite.
        """
        self.write(predicted, *self._pictures.add(predicted))

    def write(self, predicted: Predicted, picture: str | None, crops: Sequence[str]) -> None:
        """Write the persons of one frame.

        Args:
            predicted: The persons.
            picture: File in which the frame was drawn, relative to the folder.
            crops: Files in which the persons' crops were drawn, relative to the folder.

        Raises:
            ConfigError: A file cannot be written.
            NumericsError: A number is not finite.
        """
        results, _ = make_results(
            np.full(len(predicted.boxes), predicted.frame.image_id),
            predicted.keypoints,
            predicted.scores,
            predicted.box_scores,
            predicted.boxes[:, 2:].prod(axis=1),  # only suppressing would need those of the crops
            self.skeleton.oks_sigmas,
            category_id=self.category_id,
        )
        line = json.dumps(record_of(predicted, picture, crops), allow_nan=False)
        with writing(self.folder / RECORDS):
            self._records.write(line + "\n")
            self._is_empty = False
            self._records.flush()
        with writing(self._temporary):
            for entry in results.to_coco():
                self._results.write(self._separator + json.dumps(entry, allow_nan=False))
                self._separator = ",\n"

    def end_video(self) -> None:
        """Close the drawn video, if there is one, and check that it is complete.

        Raises:
            ConfigError: It is not.
        """
        self._pictures.end_video()

    def finish(self) -> None:
        """Complete results.json and rename it to its final name.

        Raises:
            ConfigError: It cannot be written.
        """
        with writing(self.folder / RESULTS):
            self._results.write("[]\n" if self._separator == "[\n" else "\n]\n")
            for file in (self._records, self._results):
                file.flush()
                os.fsync(file.fileno())
            self._temporary.replace(self.folder / RESULTS)


def record_of(
    predicted: Predicted, picture: str | None = None, crops: Sequence[str] = ()
) -> dict[str, Any]:
    """Return one line of records.jsonl as plain values; P persons, K keypoints, image pixels.

    Args:
        predicted: Persons of one image or frame.
        picture: File in which it was drawn, relative to the output folder.
        crops: Files in which the persons' crops were drawn, relative to the output folder.
    """
    frame = predicted.frame
    height, width = frame.image_size
    record = {
        "image_id": frame.image_id,
        "file": str(frame.path),
        "frame": frame.number,
        "seconds": round(frame.seconds, 6),
        "width": width,
        "height": height,
        "exif_orientation": frame.orientation,
        "boxes": _rounded(predicted.boxes, 3),  # P 4, x y width height
        "box_scores": _rounded(predicted.box_scores, 6),  # P
        "keypoints": _rounded(predicted.keypoints, 3),  # P K 2, x y
        "scores": _rounded(predicted.scores, 6),  # P K
        "picture": picture,
    }
    if predicted.ids is not None:
        record["ids"] = predicted.ids.tolist()  # P, the same for a person in all frames of a video
    if crops:
        record["crops"] = list(crops)  # P
    return record


def _rounded(values: NDArray[Any], digits: int) -> list[Any]:
    """Round for output: to a thousandth of a pixel, a millionth of a score or second."""
    numbers: list[Any] = np.asarray(values, np.float64).round(digits).tolist()
    return numbers
