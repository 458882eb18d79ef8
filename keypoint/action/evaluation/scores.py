"""The scores file of a test, `scores.npz`, from which accuracies and comparisons are computed.

A NumPy archive without pickled objects, for N videos and C classes:

    names       (N,) text, names of the videos in their list, each once
    classes     (C,) text, in the order of the columns of `scores`
    labels      (N,) int64, index of each video's class; -1 without a label
    scores      (N, C) float32, mean of the softmax probabilities over a video's clips and crops
    conditions  text, a JSON object: conditions of the test (`clips`, `crops`, `network` ..)

Read it with `numpy.load`, and with pandas:
`pandas.DataFrame(file["scores"], file["names"], file["classes"])`.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keypoint.errors import DataError
from keypoint.evaluation.runs.files import current_names
from keypoint.files import whole_file

FILE = "scores.npz"
KINDS = {"names": "U", "classes": "U", "labels": "i", "scores": "f", "conditions": "U"}


@dataclass(frozen=True)
class VideoScores:
    """Scores of every video of a test.

    Attributes:
        names: Names of the N videos.
        classes: Names of the C classes.
        labels: (N,) int64 index of each video's class, -1 without a label.
        scores: (N, C) float32, mean of softmax probabilities.
        conditions: Conditions of the test, in plain types.

    Raises:
        ValueError: Shapes do not match, a name is repeated, a label is not a class index, or a
            score is not finite; names the entry.
    """

    names: tuple[str, ...]
    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    scores: NDArray[np.float32]
    conditions: dict[str, Any]

    def __post_init__(self) -> None:
        shape = (len(self.names), len(self.classes))
        if self.scores.shape != shape or self.labels.shape != shape[:1]:
            raise ValueError(
                f"scores {self.scores.shape} and labels {self.labels.shape} for {shape[0]} names "
                f"and {shape[1]} classes; give {shape} and {shape[:1]}"
            )
        for what, given in (("video", self.names), ("class", self.classes)):
            most = Counter(given).most_common(1)
            if most and most[0][1] > 1:
                raise ValueError(f"{what} {most[0][0]!r} is given {most[0][1]} times; give it once")
        outside = np.flatnonzero((self.labels < -1) | (self.labels >= shape[1]))
        if len(outside):
            raise ValueError(
                f"video {self.names[outside[0]]!r}: label {self.labels[outside[0]]} of "
                f"{shape[1]} classes; give an index of them, or -1"
            )
        broken = np.flatnonzero(~np.isfinite(self.scores).all(axis=1))
        if len(broken):
            raise ValueError(f"video {self.names[broken[0]]!r}: a score is not finite; test again")

    def __len__(self) -> int:
        return len(self.names)

    def labelled(self) -> VideoScores:
        """Return the videos that have a label.

        Raises:
            DataError: There is none.
        """
        rows = np.flatnonzero(self.labels >= 0)
        if not len(rows):
            raise DataError(
                f"none of {len(self)} videos has a label, so there is no accuracy; give a list "
                "with labels"
            )
        return self if len(rows) == len(self) else self.rows(rows.tolist())

    def rows(self, rows: Sequence[int]) -> VideoScores:
        """Return these videos, in this order."""
        names = tuple(self.names[row] for row in rows)
        chosen = np.asarray(rows, np.intp)
        return VideoScores(
            names, self.classes, self.labels[chosen], self.scores[chosen], self.conditions
        )


def save_scores(path: Path, scores: VideoScores) -> None:
    """Write a scores file.

    Raises:
        OutputError: It cannot be written.
    """
    with whole_file(path, "scores") as file:
        np.savez_compressed(
            file,
            names=np.array(scores.names, np.str_),
            classes=np.array(scores.classes, np.str_),
            labels=scores.labels.astype(np.int64),
            scores=scores.scores.astype(np.float32),
            conditions=np.array(json.dumps(scores.conditions, allow_nan=False)),
        )


def load_scores(path: Path) -> VideoScores:
    """Read a scores file.

    Args:
        path: The file, or the folder of a run or test that has one named `scores.npz`.

    Raises:
        DataError: The file does not exist, is damaged, or is not a scores file.
    """
    if path.is_dir():
        if not (path / FILE).is_file():
            raise DataError(
                f"{path}: has no {FILE}; keypoint test writes it for a network of action "
                "recognition"
            )
        path = path / FILE
    arrays = _read_arrays(path)
    try:
        conditions = json.loads(str(arrays["conditions"]))
        if not isinstance(conditions, dict):
            raise ValueError(f"its conditions are a {type(conditions).__name__}, not an object")
        return VideoScores(
            tuple(arrays["names"].tolist()),
            tuple(arrays["classes"].tolist()),
            arrays["labels"].astype(np.int64),
            arrays["scores"].astype(np.float32),
            current_names(conditions),
        )
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not a complete scores file: {error}") from None


def _read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of the archive by name, and check their types and dimensions."""
    again = "copy it again, or repeat keypoint test"
    try:
        with path.open("rb") as file:
            if file.read(4) != b"PK\x03\x04":
                raise DataError(
                    f"{path}: not a scores file ({path.stat().st_size} bytes, no NumPy archive); "
                    f"give the {FILE} of keypoint test"
                )
        with np.load(path, allow_pickle=False) as archive:
            missing = [name for name in KINDS if name not in archive.files]
            if missing:
                raise DataError(
                    f"{path}: a zip archive without {', '.join(missing)}; give the {FILE} of "
                    "keypoint test"
                )
            arrays = {name: np.asarray(archive[name]) for name in KINDS}
    except FileNotFoundError:
        raise DataError(
            f"{path}: no such file; give a run's folder or its {FILE}, which keypoint test writes"
        ) from None
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise DataError(f"{path}: damaged or cut off ({error}); {again}") from None
    except ValueError as error:  # pickled objects, or a damaged header of an array
        raise DataError(f"{path}: not a scores file ({error}); {again}") from None
    for name, kind in KINDS.items():
        dimensions = {"scores": 2, "conditions": 0}.get(name, 1)
        array = arrays[name]
        if array.dtype.kind != kind or array.ndim != dimensions:
            raise DataError(
                f"{path}: {name} is {array.dtype} of shape {array.shape}; not a scores file of "
                f"keypoint test"
            )
    return arrays
