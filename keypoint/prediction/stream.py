"""Keypoints of all persons in a stream of frames, with crops gathered into full batches.

A result does not depend on the rest of its batch (except for rounding), and results are in the
order of their frames. Tracking and smoothing follow (tracking.py).

Letters: B crops in a batch, P persons on an image, K keypoints.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keypoint.data.images.read import warp
from keypoint.data.person_crops import CropPredictor, crops_to_image, outside_image
from keypoint.data.persons import Persons
from keypoint.pose.geometry import CropFrame
from keypoint.prediction.inputs.frames import BYTES_AHEAD, Event, Frame, Unread, VideoEnd

if TYPE_CHECKING:
    from torch import nn

EVENTS_WAITING = 256  # frames that wait for a batch, because frames without persons also accumulate

Floats = NDArray[np.float64]
Boxes = tuple[Floats, Floats]  # (P, 4) xywh in the image's frame, all with area, and (P,) scores
FindPersons = Callable[[Sequence[Frame]], list[Boxes]]


@dataclass
class Predicted:
    """Persons on one frame, in the order of their boxes.

    Attributes:
        frame: The frame, with its image only if `keep_images`.
        boxes: (P, 4) xywh, image frame.
        box_scores: (P,); 1 if the boxes are not a detector's.
        keypoints: (P, K, 2), image frame.
        scores: (P, K), peaks of the heatmaps.
        missing: Number of persons still waiting in a batch; 0 once the result is yielded.
        ids: (P,) ids of persons over the frames of a video; None without `tracking.follow`.
        crops: Each person's crop, (H, W, 3) uint8 RGB, and heatmaps (K, H/4, W/4) float32, if
            `keep_crops`.
    """

    frame: Frame
    boxes: Floats
    box_scores: Floats
    keypoints: Floats
    scores: Floats
    missing: int
    ids: NDArray[np.int64] | None = None
    crops: list[tuple[NDArray[np.uint8], NDArray[np.float32]]] = field(default_factory=list)


def whole_image(frames: Sequence[Frame]) -> list[Boxes]:
    """Return one box for each image, which covers it."""
    return [
        (np.array([[0.0, 0.0, frame.image_size[1], frame.image_size[0]]]), np.ones(1))
        for frame in frames
    ]


def known_persons(persons: Persons) -> FindPersons:
    """Find the boxes of records by image id; leave out boxes outside their image."""
    inside = np.flatnonzero(~outside(persons))
    order = inside[np.argsort(persons.image_ids[inside], kind="stable")]
    ids, first = np.unique(persons.image_ids[order], return_index=True)
    rows = dict(zip(ids.tolist(), np.split(order, first[1:]), strict=True)) if len(ids) else {}
    empty = np.zeros(0, np.int64)

    def find(frames: Sequence[Frame]) -> list[Boxes]:
        chosen = [rows.get(frame.image_id, empty) for frame in frames]
        return [(persons.bbox_xywh[some], persons.bbox_scores[some]) for some in chosen]

    return find


def detected_persons(detector: nn.Module) -> FindPersons:
    """Find boxes with a detector."""
    from keypoint.prediction.detector import detect  # imports torch, unlike the rest

    def find(frames: Sequence[Frame]) -> list[Boxes]:
        images = [frame.image for frame in frames if frame.image is not None]
        found = detect(detector, images, [frame.name for frame in frames])
        return [(one.boxes_xywh, one.scores) for one in found]

    return find


def outside(persons: Persons) -> NDArray[np.bool_]:
    """Return whether each box is completely outside its image, (P,)."""
    return outside_image(persons.bbox_xywh, persons.images.image_size[persons.image_index])


def predict_stream(
    events: Iterable[Event],
    find_persons: FindPersons,
    predictor: CropPredictor,
    *,
    batch_size: int,
    group_size: int = 1,
    keep_images: bool = False,
    keep_crops: bool = False,
    live: bool = False,
) -> Iterator[Predicted | Unread | VideoEnd]:
    """Predict every person of every frame; events stay in their order.

    Args:
        events: From `read_inputs`.
        find_persons: Returns the boxes of some frames of one size.
        predictor: Finds the keypoints.
        batch_size: Number of persons at a time, from any number of frames.
        group_size: Number of frames at a time for `find_persons`.
        keep_images: Keep each frame's image with its result, to draw on.
        keep_crops: Keep each person's crop and heatmaps with the result.
        live: Finish each frame before the next one is read, even if the batch is not full.

    Raises:
        NumericsError: A number of the network or the detector is not finite; names the images.
    """
    batch = _Batch(predictor, batch_size, keep_crops)
    waiting: deque[Predicted | Unread | VideoEnd] = deque()
    held = 0  # bytes of images in `waiting`
    for group in _groups(events, 1 if live else group_size):
        if not isinstance(group, list):
            waiting.append(group)
        else:
            for frame, (boxes, box_scores) in zip(group, find_persons(group), strict=True):
                result = _empty(frame, boxes, box_scores, predictor.skeleton.num_keypoints)
                waiting.append(result)
                batch.cut(result)
                if keep_images:
                    held += _bytes(frame)
                else:
                    frame.image = None
            group.clear()
        if live or held > BYTES_AHEAD or len(waiting) > EVENTS_WAITING:
            batch.finish()
        while waiting and not (isinstance(waiting[0], Predicted) and waiting[0].missing):
            done = waiting.popleft()
            if isinstance(done, Predicted):
                held -= _bytes(done.frame)
            yield done
    batch.finish()
    yield from waiting


# For each crop: its result, the person in that result, and its position in the image.
Owners = list[tuple[Predicted, int, CropFrame]]


class _Batch:
    """Crops that wait for the network, and the persons they belong to.

    The results of a batch are not read until the next batch is full, so that the CPU cuts crops
    while the network runs.
    """

    def __init__(self, predictor: CropPredictor, size: int, keep_crops: bool) -> None:
        self.predictor = predictor
        self.size = size
        self.keep_crops = keep_crops
        self.crops: list[NDArray[np.uint8]] = []
        self.owners: Owners = []
        self.running: tuple[Any, Any, Owners] | None = None

    def cut(self, result: Predicted) -> None:
        """Add all persons of a frame."""
        assert result.frame.image is not None
        crops = self.predictor.crop_frame(result.boxes)
        for row, matrix in enumerate(crops.matrices()):
            self.crops.append(warp(result.frame.image, matrix, crops.input_size))
            self.owners.append((result, row, crops[row : row + 1]))
            if len(self.crops) == self.size:
                self.start()

    def start(self) -> None:
        """Run the network on the gathered crops."""
        if self.crops:
            found = self._predict(np.stack(self.crops))  # B H W 3
            before, self.running = self.running, (*found, self.owners)
            self.crops, self.owners = [], []
            self._collect(before)

    def _predict(self, crops: NDArray[np.uint8]) -> tuple[Any, Any]:
        if not self.keep_crops:
            return self.predictor.predict_crops(crops)
        *found, heatmaps = self.predictor.predict_with_heatmaps(crops)
        for (result, *_), crop, heatmap in zip(self.owners, self.crops, heatmaps, strict=True):
            result.crops.append((crop, heatmap))  # the persons of an image are in order
        return found[0], found[1]

    def finish(self) -> None:
        """Run the network on the gathered crops and wait for all results."""
        self.start()
        before, self.running = self.running, None
        self._collect(before)

    def _collect(self, run: tuple[Any, Any, Owners] | None) -> None:
        if run is None:
            return
        points, peaks, owners = run
        crops = CropFrame.concatenate([crop for *_, crop in owners])
        names = [result.frame.name for result, *_ in owners]
        found = crops_to_image(crops, points, peaks, names)
        for (result, row, _), keypoints, scores in zip(owners, *found, strict=True):
            result.keypoints[row], result.scores[row] = keypoints, scores
            result.missing -= 1


def _empty(frame: Frame, boxes: Floats, box_scores: Floats, num_keypoints: int) -> Predicted:
    keypoints = np.zeros((len(boxes), num_keypoints, 2))
    scores = np.zeros((len(boxes), num_keypoints))
    return Predicted(frame, boxes, box_scores, keypoints, scores, missing=len(boxes))


def _groups(events: Iterable[Event], most: int) -> Iterator[list[Frame] | Unread | VideoEnd]:
    """Yield consecutive frames of one size, up to `most` at a time, and other events one by one.

    Sizes are not mixed, because a detector pads the images of a batch to the largest one, which
    changes its results.
    """
    group: list[Frame] = []
    held = 0
    for event in events:
        is_other = not isinstance(event, Frame) or (
            bool(group) and event.image_size != group[0].image_size
        )
        if group and is_other:
            yield group
            group, held = [], 0
        if not isinstance(event, Frame):
            yield event
            continue
        group.append(event)
        held += _bytes(event)
        if len(group) == most or held > BYTES_AHEAD:
            yield group
            group, held = [], 0
        del event
    if group:
        yield group


def _bytes(frame: Frame) -> int:
    return 0 if frame.image is None else frame.image.nbytes
