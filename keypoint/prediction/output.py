"""What a prediction leaves behind: results.json, records.jsonl, pictures.

records.jsonl grows while the run goes on, one line per image or frame, so that a run that is
stopped loses nothing; results.json appears at the end. Nothing that is there is overwritten
unasked, which also keeps two runs out of one folder.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from keypoint.errors import ConfigError
from keypoint.evaluation.results import make_results
from keypoint.prediction.stream import Predicted
from keypoint.skeleton import Skeleton
from keypoint.video import VideoWriter
from keypoint.visualize import draw_keypoints

RESULTS, RECORDS, PICTURES = "results.json", "records.jsonl", "pictures"
JPEG_SIDE = 65_000  # pixels; JPEG ends at 65,535


def require_free(folder: Path, overwrite: bool, used: Sequence[Path]) -> None:
    """Look at the output folder before anything is done; it is not changed.

    Args:
        folder: Need not be there.
        overwrite: Results that stand in it may be replaced.
        used: Files that are read, which may not be among those replaced.

    Raises:
        ConfigError: Results are there; or a file that is read would be overwritten.
    """
    there = [name for name in (RESULTS, RECORDS) if os.path.lexists(folder / name)]
    if there and not overwrite:
        raise ConfigError(
            f"--output {folder}: holds {' and '.join(there)} already; give another folder, or "
            "--overwrite to replace what is there"
        )
    for file in used:
        for name in there:
            if file.exists() and (folder / name).exists() and file.samefile(folder / name):
                raise ConfigError(f"{file}: would be overwritten; give another --output")


class PredictOutput:
    """Writes results as they come; `finish` makes them whole.

    Args:
        folder: Exists.
        skeleton: For drawing and scoring.
        category_id: Of the persons in results.json.
        pictures: Draw every image, and every video as one.
        overwrite: Replace results that are there.

    Raises:
        ConfigError: The folder cannot be written to, or results are there.
    """

    def __init__(
        self,
        folder: Path,
        skeleton: Skeleton,
        *,
        category_id: int = 1,
        pictures: bool = False,
        overwrite: bool = False,
    ) -> None:
        self.folder = folder
        self.skeleton = skeleton
        self.category_id = category_id
        self.pictures = pictures
        self._separator = "[\n"
        self._is_empty = True
        self._video: VideoWriter | None = None
        self._temporary = folder / f".{RESULTS}.part"
        with _told(folder / RECORDS), contextlib.ExitStack() as opened:
            if overwrite:
                for name in (RESULTS, RECORDS):
                    (folder / name).unlink(missing_ok=True)
            self._records = opened.enter_context((folder / RECORDS).open("x", encoding="utf-8"))
            self._results = opened.enter_context(self._temporary.open("w", encoding="utf-8"))
            if pictures:
                (folder / PICTURES).mkdir(exist_ok=True)
            self._files = opened.pop_all()

    def __enter__(self) -> PredictOutput:
        return self

    def __exit__(self, *_: object) -> None:
        if self._video is not None:
            self._video.discard()
        with contextlib.suppress(OSError):  # a full disk, which was told
            self._files.close()
        with contextlib.suppress(OSError):
            self._temporary.unlink()
        if self._is_empty:  # nothing that a second run would have to keep
            with contextlib.suppress(OSError):
                (self.folder / RECORDS).unlink()

    def add(self, predicted: Predicted) -> None:
        """Write the persons of one frame, which has its image if pictures are made.

        Raises:
            ConfigError: Something cannot be written.
            NumericsError: A number is not finite.
        """
        picture = self._draw(predicted) if self.pictures else None
        results, _ = make_results(
            np.full(len(predicted.boxes), predicted.frame.image_id),
            predicted.keypoints,
            predicted.scores,
            predicted.box_scores,
            predicted.boxes[:, 2:].prod(axis=1),  # only suppressing would need those of the crops
            self.skeleton.oks_sigmas,
            category_id=self.category_id,
        )
        line = json.dumps(record_of(predicted, picture), allow_nan=False)
        with _told(self.folder / RECORDS):
            self._records.write(line + "\n")
            self._is_empty = False
            self._records.flush()
        with _told(self._temporary):
            for entry in results.to_coco():
                self._results.write(self._separator + json.dumps(entry, allow_nan=False))
                self._separator = ",\n"

    def end_video(self) -> None:
        """Close the drawn video, if there is one, and look whether it is whole.

        Raises:
            ConfigError: It is not.
        """
        if self._video is not None:
            video, self._video = self._video, None
            video.finish()

    def finish(self) -> None:
        """Give results.json its name, written and synced.

        Raises:
            ConfigError: It cannot be written.
        """
        with _told(self.folder / RESULTS):
            self._results.write("[]\n" if self._separator == "[\n" else "\n]\n")
            for file in (self._records, self._results):
                file.flush()
                os.fsync(file.fileno())
            self._temporary.replace(self.folder / RESULTS)

    def _draw(self, predicted: Predicted) -> str:
        """Draw one frame; the picture's name, relative to the folder."""
        frame = predicted.frame
        assert frame.image is not None
        image = draw_keypoints(frame.image, predicted.keypoints, predicted.scores, self.skeleton)
        path = self.folder / PICTURES / picture_name(frame.path, frame.image_id)
        if frame.number is None:
            return f"{PICTURES}/{self._write_picture(path, image)}"
        if self._video is None:
            self._video = VideoWriter(path, frame.rate, frame.image_size)
        self._video.write(image)
        return f"{PICTURES}/{self._video.path.name}"

    def _write_picture(self, path: Path, image: NDArray[np.uint8]) -> str:
        """By imencode, as imwrite does not say why it failed."""
        suffix = ".jpg" if max(image.shape[:2]) <= JPEG_SIDE else ".png"
        done, content = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        if not done:
            raise ConfigError(f"{path}{suffix}: OpenCV cannot write it; leave out --pictures")
        target = path.with_name(path.name + suffix)
        with _told(target):
            target.write_bytes(content.tobytes())
        return target.name


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """What the system says against writing a file, as an error of ours."""
    try:
        yield
    except FileExistsError:
        raise ConfigError(
            f"{path}: is there already, perhaps of another run that goes on; give another "
            "--output, or --overwrite"
        ) from None
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be written ({error.strerror}); free some space or give another "
            "--output"
        ) from None


def picture_name(path: Path, number: int) -> str:
    """Of the picture of an image or of a video's first frame, without suffix.

    The number tells a.jpg from a.png and from another folder's. What could not be printed or is
    too long for a file system is left out.
    """
    stem = "".join(c if c.isprintable() else "_" for c in path.stem)
    short = stem.encode("utf-8", "replace")[:150].decode("utf-8", "ignore")
    return f"{number:06d}_{short}"


def record_of(predicted: Predicted, picture: str | None = None) -> dict[str, Any]:
    """One line of records.jsonl as plain values; P persons, K keypoints, pixels of the image.

    Args:
        predicted: Of one image or frame.
        picture: Where it was drawn, relative to the output folder.
    """
    frame = predicted.frame
    height, width = frame.image_size
    return {
        "image_id": frame.image_id,
        "file": str(frame.path),
        "frame": frame.number,
        "width": width,
        "height": height,
        "exif_orientation": frame.orientation,
        "boxes": predicted.boxes.tolist(),  # P 4, x y width height
        "box_scores": predicted.box_scores.tolist(),  # P
        "keypoints": predicted.keypoints.tolist(),  # P K 2, x y
        "scores": predicted.scores.tolist(),  # P K
        "picture": picture,
    }
