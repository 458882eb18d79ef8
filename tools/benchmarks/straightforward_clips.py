"""Clips of a video as they are usually read, to compare ours with.

Source: the order of work of common loaders, in our words: each clip opens its video and
seeks by number, for each frame (mmaction2's `OpenCVDecode`) or once (SlowFast's decoders); the
whole frame becomes float at once, is resized to the short side, cropped, mirrored and normalised,
and the frames are stacked. The numbers of the frames and the crops are given, so the clips are
ours up to rounding. Letters: V views (clips times crops), T frames, H W height and width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from keypoint.action.data.augment import Crop
from keypoint.models.network import IMAGENET_MEAN, IMAGENET_STD

Seek = Literal["frame", "clip"]
MEAN, STD = (np.array(values, np.float32) for values in (IMAGENET_MEAN, IMAGENET_STD))


def views(
    path: Path, numbers: NDArray[np.int64], crops: Sequence[Crop], size: tuple[int, int], seek: Seek
) -> Tensor:
    """Normalised clips, (V, 3, T, H, W) float32.

    Args:
        path: The video.
        numbers: (clips, T) frame numbers.
        crops: Of each clip, in the frame's pixels.
        size: (height, width) of the result.
        seek: For each frame, or once for a clip, with every frame after that read.
    """
    clips = []
    for wanted in numbers.tolist():
        for crop in crops:
            frames = [prepare(frame, crop, size) for frame in read(path, wanted, seek)]
            clips.append(np.stack(frames).transpose(3, 0, 1, 2))  # 3 T H W
    return torch.from_numpy(np.stack(clips))


def read(path: Path, numbers: Sequence[int], seek: Seek) -> Iterator[NDArray[np.uint8]]:
    """The frames of a clip, RGB. One thread decodes: with OpenCV's default, one for each core, a
    video takes a fifth to a third more CPU time.
    """
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    at = None  # the number of the next frame
    for number in numbers:
        if seek == "frame" or at is None or number < at:
            capture.set(cv2.CAP_PROP_POS_FRAMES, number)
        else:
            for _ in range(number - at):
                capture.read()
        at = number + 1
        there, frame = capture.read()
        assert there, f"{path}: frame {number} cannot be read"
        yield np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8)
    capture.release()


def prepare(frame: NDArray[np.uint8], crop: Crop, size: tuple[int, int]) -> NDArray[np.float32]:
    """Convert, resize, crop, mirror and normalise one frame."""
    down, across = size[0] / crop.height, size[1] / crop.width
    resized = (round(frame.shape[1] * across), round(frame.shape[0] * down))
    image = cv2.resize(frame.astype(np.float32) / 255, resized, interpolation=cv2.INTER_LINEAR)
    x = min(round(crop.x * across), resized[0] - size[1])
    y = min(round(crop.y * down), resized[1] - size[0])
    image = image[y : y + size[0], x : x + size[1]]
    if crop.mirror:
        image = image[:, ::-1]
    return np.asarray((image - MEAN) / STD, np.float32)
