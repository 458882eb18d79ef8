"""Choice of a clip's frames: frame numbers, (clips, T) int64.

Dense: T frames, every `stride`-th, from a random start (both papers; Wang et al. 2018, "8x8" is 8
frames with stride 8). Segments: one frame from each of T equal parts (TSN, Wang et al. 2016,
section 3.1). Both count frames, or with `fps` moments at that rate, independent of the video's
rate. A dense clip spans (T - 1) * stride + 1 of them. Letters: T frames of a clip.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from keypoint.action.data.frames import Draw

Sampling = Literal["dense", "segments"]
Short = Literal["loop", "repeat"]
Starts = Literal["random", "uniform"]
Numbers = NDArray[np.int64]
EARLY = 1e-6  # seconds that a frame may be later than its moment, because time stamps are rounded


def dense(number: int, starts: Numbers, frames: int, stride: int, short: Short) -> Numbers:
    """Return every `stride`-th frame from each start.

    Args:
        number: Number of the video's frames.
        starts: (clips,).
        frames: T.
        stride: Step from one frame to the next.
        short: At the end of the video, start over with the first frame ("loop"), or repeat the
            last one.

    Returns:
        (clips, T) in 0..number - 1.
    """
    wanted = starts[:, None] + stride * np.arange(frames)  # clips T
    shown = wanted % number if short == "loop" else np.minimum(wanted, number - 1)
    return np.asarray(shown, np.int64)


def last_start(number: int, frames: int, stride: int) -> int:
    """Return the last possible start of a clip; 0 if the video is shorter than a clip."""
    return max(0, number - ((frames - 1) * stride + 1))


def segments(number: int, fractions: NDArray[np.float64]) -> Numbers:
    """Return one frame of each of T equal parts of a video.

    If there are fewer frames than parts, some frames are repeated, in order.

    Args:
        number: Number of the video's frames.
        fractions: (clips, T) in [0, 1), the position in each part.

    Returns:
        (clips, T) in 0..number - 1.
    """
    frames = fractions.shape[-1]
    found = np.floor((np.arange(frames) + fractions) * number / frames).astype(np.int64)
    return np.asarray(np.minimum(found, number - 1))  # 7 + the number next to 1 is 8


def at_rate(times: NDArray[np.float64], fps: float) -> Numbers:
    """Return the numbers of the frames shown at the moments 0, 1 / fps, 2 / fps, ..

    Args:
        times: (N,) seconds of the video's frames, ascending; at least one.
        fps: Moments per second. A frame is repeated if it is shown at several moments.

    Returns:
        One number for each moment before the end of the last frame, which is shown as long as the
        previous one.
    """
    times = times - times[0]
    length = times[-1] + (times[-1] - times[-2] if len(times) > 1 else 0)
    moments = np.arange(max(1, np.ceil(length * fps - EARLY * fps))) / fps
    shown = np.searchsorted(times, moments + EARLY, side="right") - 1
    return np.asarray(shown, np.int64)


@dataclass(frozen=True)
class ClipSampling:
    """The choice of a clip's frames.

    Args:
        frames: T.
        stride: Step from one frame to the next, for dense clips only.
        sampling: "dense" or "segments".
        fps: Count moments at this rate; None to count the video's frames.
        short: "loop" or "repeat", for a video that is shorter than a dense clip.
    """

    frames: int
    stride: int = 8
    sampling: Sampling = "dense"
    fps: float | None = None
    short: Short = "loop"

    def train(self, rng: Callable[[], np.random.Generator]) -> Draw:
        """Return a function that draws one random clip.

        Args:
            rng: Makes the random generator, the same at each call.
        """
        return self._draw(lambda number: self._random(number, 1, rng()))

    def test(self, name: str, clips: int, starts: Starts) -> Draw:
        """Return a function that draws the clips for testing a video, the same each time.

        Args:
            name: Name of the video, which seeds random clips, so they are equal on all machines.
            clips: Number of clips.
            starts: "random", or "uniform": evenly spaced from the start to the end; one clip is in
                the middle.
        """
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
        if starts == "random":
            return self._draw(lambda n: self._random(n, clips, np.random.default_rng(seed)))
        return self._draw(lambda number: self._uniform(number, clips))

    def _draw(self, choose: Callable[[int], Numbers]) -> Draw:
        def draw(number: int, times: Callable[[int], NDArray[np.float64]]) -> Numbers:
            if self.fps is None:
                return choose(number)
            shown = at_rate(times(number), self.fps)
            return shown[choose(len(shown))]

        return draw

    def _random(self, number: int, clips: int, rng: np.random.Generator) -> Numbers:
        if self.sampling == "segments":
            return segments(number, rng.random((clips, self.frames)))
        last = last_start(number, self.frames, self.stride)
        starts = rng.integers(0, last, clips, endpoint=True)
        return dense(number, starts, self.frames, self.stride, self.short)

    def _uniform(self, number: int, clips: int) -> Numbers:
        if self.sampling == "segments":
            places = (np.arange(clips) + 0.5) / clips
            return segments(number, np.repeat(places[:, None], self.frames, axis=1))
        last = last_start(number, self.frames, self.stride)
        starts = np.linspace(0, last, clips) if clips > 1 else np.array([last / 2])
        return dense(
            number, np.round(starts).astype(np.int64), self.frames, self.stride, self.short
        )
