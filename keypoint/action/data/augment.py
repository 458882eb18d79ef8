"""Crops of the frames of a clip: random in training, fixed in testing.

A crop is drawn once for all frames of a clip. It is cut from the decoded frame and then resized,
bilinear as in the references. This gives the same picture as resizing the frame first, in half the
time or less (docs/benchmarks/clips.md).

Sources: TSN (Wang et al. 2016), section 3.2: corner crops with scale jitter, which SRL cites; Wang
et al. 2018, section 4: short side of 256 to 320 pixels and a random crop of 224. TSN squeezes each
video to 340 x 256; here the frame keeps its aspect ratio, as in mmaction2, and sides are shares of
the short side instead of 256, 224, 192 and 168 pixels.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from keypoint.errors import ConfigError

Kind = Literal["tsn", "random"]
TSN_SIDES = (256, 224, 192, 168)  # of 256
SIDES = re.compile(r"(?<![a-z])(left|right)(?![a-z])")


@dataclass(frozen=True)
class Crop:
    """A part of a frame, in pixels of the frame, mirrored or not."""

    x: int
    y: int
    width: int
    height: int
    mirror: bool = False

    def cut(self, frame: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
        """Cut and resize.

        Args:
            frame: (H, W, 3) uint8.
            size: (height, width) of the result.
        """
        part = frame[self.y : self.y + self.height, self.x : self.x + self.width]
        if part.shape[:2] != size:
            part = np.asarray(
                cv2.resize(part, size[::-1], interpolation=cv2.INTER_LINEAR), np.uint8
            )
        return np.asarray(cv2.flip(part, 1), np.uint8) if self.mirror else part


@dataclass(frozen=True)
class ClipAugmentation:
    """The random crop of a training clip.

    Args:
        input_size: (height, width) of the crop after resizing.
        crop: "tsn": width and height are each 1, 7/8, 3/4 or 21/32 of the largest crop, at most one
            step apart, in a corner or the center. "random": the frame is resized to a random
            short side, and a crop of the input size is cut at a random position.
        short_side: Smallest and largest short side, for "random".
        flip_probability: Probability of mirroring a clip.

    Raises:
        ConfigError: A crop of "random" would be larger than the frame.
    """

    input_size: tuple[int, int]
    crop: Kind = "tsn"
    short_side: tuple[int, int] = (256, 320)
    flip_probability: float = 0.5

    def __post_init__(self) -> None:
        if self.crop == "random" and not max(self.input_size) <= self.short_side[0]:
            raise ConfigError(
                f"augment.short_side={list(self.short_side)}: a crop of model.input_size="
                f"{list(self.input_size)} does not fit; give a short side of at least "
                f"{max(self.input_size)}"
            )

    def draw(self, frame_size: tuple[int, int], rng: np.random.Generator) -> Crop:
        """Draw the crop of all frames of a clip; always draws five numbers.

        Args:
            frame_size: (height, width) of the video's frames.
            rng: The only source of randomness.
        """
        place, first, second, third, flip = rng.random(5)
        if self.crop == "tsn":
            width, height, x, y = self._tsn(frame_size, int(5 * place), first, second)
        else:
            side = min(self.short_side) + first * (max(self.short_side) - min(self.short_side))
            width, height = _pixels(frame_size, self.input_size, side)
            x, y = second * (frame_size[1] - width), third * (frame_size[0] - height)
        return Crop(round(x), round(y), width, height, bool(flip < self.flip_probability))

    def _tsn(
        self, frame_size: tuple[int, int], place: int, first: float, second: float
    ) -> tuple[int, int, float, float]:
        largest = largest_crop(frame_size, self.input_size)
        steps = len(TSN_SIDES)
        pairs = [(i, j) for i in range(steps) for j in range(steps) if abs(i - j) <= 1]
        i, j = pairs[int(len(pairs) * first)]
        width = max(1, round(largest[1] * TSN_SIDES[i] / TSN_SIDES[0]))
        height = max(1, round(largest[0] * TSN_SIDES[j] / TSN_SIDES[0]))
        free_x, free_y = frame_size[1] - width, frame_size[0] - height
        across, down = ((0, 0), (1, 0), (0, 1), (1, 1), (0.5, 0.5))[place]
        return width, height, across * free_x, down * free_y


@dataclass(frozen=True)
class TestCrops:
    """The crops of a frame in testing.

    Args:
        crop_size: (height, width) of each crop.
        short_side: Short side of the resized frame; at least the crop's longer side.
        crops: 1: the center. 3: the center and both ends of the frame's long side.

    Raises:
        ConfigError: The crop is larger than the short side, or the number of crops is not 1 or 3.
    """

    __test__ = False  # no test of pytest's

    crop_size: tuple[int, int]
    short_side: int
    crops: int = 1

    def __post_init__(self) -> None:
        if self.crops not in (1, 3):
            raise ConfigError(f"test.crops={self.crops}: give 1 (center) or 3")
        if max(self.crop_size) > self.short_side:
            raise ConfigError(
                f"test.short_side={self.short_side}: a crop of {list(self.crop_size)} does not fit "
                f"in; give at least {max(self.crop_size)}"
            )

    @classmethod
    def of(cls, input_size: tuple[int, int], short_side: int, crops: int = 1) -> TestCrops:
        """Return the usual crops: one of the input's size, or three of the size of the short side.

        Args:
            input_size: (height, width) of the network's input in training, usually 224.
            short_side: Short side of the frames, usually 256.
            crops: 1 or 3. Three crops of 256 are those of Wang et al.
        """
        if crops == 1:
            return cls(input_size, short_side)
        height, width = (round(length * short_side / max(input_size)) for length in input_size)
        return cls((height, width), short_side, crops)

    def of_frame(self, frame_size: tuple[int, int]) -> list[Crop]:
        """Return the crops of a frame of this size, from left to right or top to bottom."""
        width, height = _pixels(frame_size, self.crop_size, self.short_side)
        free_x, free_y = frame_size[1] - width, frame_size[0] - height
        shares = (0.5,) if self.crops == 1 else (0.0, 0.5, 1.0)
        if frame_size[0] > frame_size[1]:
            return [Crop(free_x // 2, round(s * free_y), width, height) for s in shares]
        return [Crop(round(s * free_x), free_y // 2, width, height) for s in shares]


def largest_crop(frame_size: tuple[int, int], input_size: tuple[int, int]) -> tuple[float, float]:
    """Return (height, width) of the largest part of a frame with the input's aspect ratio."""
    scale = min(frame_size[0] / input_size[0], frame_size[1] / input_size[1])
    return input_size[0] * scale, input_size[1] * scale


def _pixels(
    frame_size: tuple[int, int], crop_size: tuple[int, int], short_side: float
) -> tuple[int, int]:
    """Return the width and height of a crop of a resized frame, in pixels of the original."""
    scale = min(frame_size) / short_side
    height, width = (max(1, round(length * scale)) for length in crop_size)
    return width, height


def names_with_sides(classes: Sequence[str]) -> list[str]:
    """Return the class names that contain "left" or "right"; their clips must not be mirrored."""
    spaced = [re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower() for name in classes]
    return [name for name, words in zip(classes, spaced, strict=True) if SIDES.search(words)]


def usual_flip_probability(classes: Sequence[str]) -> float:
    """Return 0.5, or 0 if a class name contains "left" or "right"."""
    return 0.0 if names_with_sides(classes) else 0.5
