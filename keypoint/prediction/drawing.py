"""Pictures of a prediction: persons drawn on images and videos, and crops with their heatmaps."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from keypoint.data.video_writer import VideoWriter
from keypoint.drawing.persons import draw_keypoints, fit_picture, fit_points, heatmap_sheet
from keypoint.errors import ConfigError
from keypoint.pose.skeleton import Skeleton
from keypoint.prediction.stream import Predicted

PICTURES, CROPS = "pictures", "crops"  # folders
# Pixels of the longer side to which the pictures of smaller images are enlarged; names need room.
LEAST_SIDE, LABELLED_SIDE = 640, 1280
JPEG_SIDE = 65_000  # pixels; JPEG ends at 65,535
# Most repetitions of a frame in a drawn video: 20 s at 30 frames per second. A camera that records
# only motion may pause for hours.
MOST_REPEATED = 600

logger = logging.getLogger(__name__)


class PredictPictures:
    """Draws frames and crops into separate folders.

    Args:
        folder: An existing folder; pictures are named relative to it.
        skeleton: Edges and sides.
        pictures: Draw every image, and every video as a video; frames must have their images.
            Small images are enlarged. Without edges, boxes are drawn as well.
        crops: Draw every person's crop with its heatmaps; results must have these.
        labels: Write the keypoints' names, and above each person its index in the record or its id.
            Images are enlarged more for it; videos never are.
        udp: The heatmaps are of the codec `udp`.

    Raises:
        ConfigError: The folder cannot be written to.
    """

    def __init__(
        self,
        folder: Path,
        skeleton: Skeleton,
        *,
        pictures: bool,
        crops: bool,
        labels: bool = False,
        udp: bool = False,
    ) -> None:
        self.folder = folder
        self.skeleton = skeleton
        self.pictures = pictures
        self.crops = crops
        self.labels = labels
        self.udp = udp
        self._video: VideoWriter | None = None
        self._shown: NDArray[np.uint8] | None = None  # the last frame drawn into it
        self._left_out = 0  # repeated frames that are not in it
        for name, is_asked in ((PICTURES, pictures), (CROPS, crops)):
            if is_asked:
                with writing(folder / name):
                    (folder / name).mkdir(exist_ok=True)

    def add(self, predicted: Predicted) -> tuple[str | None, list[str]]:
        """Draw a frame and its crops, as chosen by `pictures` and `crops`.

        Returns:
            Names relative to the folder: of the image or video (None if it is not drawn), and of
            each person's crop.

        Raises:
            ConfigError: A picture cannot be written.
        """
        picture = self._draw(predicted) if self.pictures else None
        return picture, self._draw_crops(predicted) if self.crops else []

    def end_video(self) -> None:
        """Close the drawn video, if there is one, and check that it is complete.

        Raises:
            ConfigError: It is not.
        """
        if self._video is not None:
            video, self._video, self._shown = self._video, None, None
            video.finish()
            left_out, self._left_out = self._left_out / video.rate, 0
            if left_out:
                logger.warning(
                    "%s: pauses are %.0f s shorter than in the source, because a frame is repeated "
                    "at most %d times; records.jsonl contains the time of every frame",
                    video.path,
                    left_out,
                    MOST_REPEATED,
                )

    def discard(self) -> None:
        """Remove an unfinished video."""
        if self._video is not None:
            self._video.discard()

    def _draw(self, predicted: Predicted) -> str:
        frame = predicted.frame
        assert frame.image is not None
        names = self.skeleton.keypoints if self.labels else None
        ids = None if predicted.ids is None else predicted.ids.tolist()
        captions = ids if ids is not None else range(len(predicted.boxes)) if self.labels else None
        image, points, boxes = frame.image, predicted.keypoints, predicted.boxes
        side = LABELLED_SIDE if self.labels else LEAST_SIDE
        if frame.number is None and max(image.shape) < side:
            image, factor = fit_picture(image, (side, side))
            points, boxes = fit_points(points, factor), boxes * factor
        image = draw_keypoints(
            image,
            points,
            predicted.scores,
            self.skeleton,
            labels=names,
            # Without lines between keypoints, only the box shows which belong together.
            boxes=boxes if ids is not None or not self.skeleton.edges else None,
            captions=None if captions is None else [str(number) for number in captions],
            ids=ids,
        )
        path = self.folder / PICTURES / picture_name(frame.path, frame.image_id)
        if frame.number is None:
            return f"{PICTURES}/{_write(path, image, '--pictures')}"
        if self._video is None:
            self._video = VideoWriter(path, frame.rate, frame.image_size)
        self._write_in_time(image, frame.seconds)
        return f"{PICTURES}/{self._video.path.name}"

    def _write_in_time(self, image: NDArray[np.uint8], seconds: float) -> None:
        """Write a frame at its time, and repeat the previous frame until then.

        Frames of a camera or of a file with variable rate have irregular times. Frames of other
        files are written one for one, unless the drawn video needs another rate.
        """
        assert self._video is not None
        due = round(seconds * self._video.rate) - self._left_out
        too_many = due - self._video.written - MOST_REPEATED
        if too_many > 0:
            self._left_out += too_many
            due -= too_many
        while self._video.written < due:
            self._video.write(image if self._shown is None else self._shown)
        if self._video.written == due:
            self._video.write(image)
        self._shown = image

    def _draw_crops(self, predicted: Predicted) -> list[str]:
        frame, names = predicted.frame, []
        for person, (crop, heatmaps) in enumerate(predicted.crops):
            name = f"{picture_name(frame.path, frame.image_id)}_{person}"
            image = heatmap_sheet(crop, heatmaps, self.skeleton, udp=self.udp)
            names.append(f"{CROPS}/{_write(self.folder / CROPS / name, image, '--crops')}")
        return names


def remove_pictures(records: Path) -> None:
    """Remove the pictures that an earlier run wrote, and nothing else.

    Args:
        records: records.jsonl of that run; lines that cannot be read are ignored.
    """
    folder = records.parent
    with contextlib.suppress(OSError), records.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            for name in _pictures_of(line):
                if Path(name).parts[:-1] in ((PICTURES,), (CROPS,)):
                    (folder / name).unlink(missing_ok=True)


def _pictures_of(line: str) -> list[str]:
    """Return the names of pictures in a line of records.jsonl; none if the line is broken."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return []
    if not isinstance(record, dict):
        return []
    crops = record.get("crops")
    names = [record.get("picture"), *(crops if isinstance(crops, list) else [])]
    return [name for name in names if isinstance(name, str) and "\0" not in name]


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn errors of writing a file into ConfigErrors."""
    try:
        yield
    except FileExistsError:
        raise ConfigError(
            f"{path} already exists, perhaps from another run in progress; give another --output, "
            "or --overwrite"
        ) from None
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be written ({error.strerror}); free some space or give another "
            "--output"
        ) from None


def picture_name(path: Path, number: int) -> str:
    """Return the name, without suffix, of the picture of an image, or of a video's first frame.

    The number makes it unique. Characters that cannot be printed are left out, and long names are
    cut.
    """
    stem = "".join(c if c.isprintable() else "_" for c in path.stem)
    short = stem.encode("utf-8", "replace")[:150].decode("utf-8", "ignore")
    return f"{number:06d}_{short}"


def _write(path: Path, image: NDArray[np.uint8], option: str) -> str:
    """Write a picture and return its name; imencode, because imwrite does not report errors."""
    suffix = ".jpg" if max(image.shape[:2]) <= JPEG_SIDE else ".png"
    done, content = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not done:
        raise ConfigError(f"{path}{suffix}: OpenCV cannot write it; leave out {option}")
    target = path.with_name(path.name + suffix)
    with writing(target):
        target.write_bytes(content.tobytes())
    return target.name
