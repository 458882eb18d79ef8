"""What training, evaluation, predictor and export ask of a network that classifies clips.

Letters: B batch, T frames, H W the frames' height and width.
"""

from __future__ import annotations

from torch import Tensor, zeros

from keypoint.errors import ConfigError
from keypoint.models.network import Network, check_input_size


class ActionNetwork(Network):
    """Base class: input and classes, with what `Network` has. A subclass adds layers and `forward`.

    Args:
        num_classes: Number of classes.
        frames: T of a clip.
        input_size: (height, width) of the frames.
        multiple: Both sides of the input must be multiples of it.
        frames_multiple: T must be a multiple of it.

    Raises:
        ConfigError: A size or number that does not fit.
    """

    HEAD = "fc."

    def __init__(
        self,
        *,
        num_classes: int,
        frames: int,
        input_size: tuple[int, int],
        multiple: int = 1,
        frames_multiple: int = 1,
    ) -> None:
        super().__init__()
        if num_classes < 2:
            raise ConfigError(f"num_classes={num_classes} must be at least 2")
        if frames < 1 or frames % frames_multiple:
            raise ConfigError(f"frames={frames} must be a positive multiple of {frames_multiple}")
        self.num_classes, self.frames = num_classes, frames
        self._input_size = check_input_size(input_size, multiple)

    def forward(self, clips: Tensor) -> Tensor:
        """Normalised clips (B, 3, T, H, W) to a score for each class, (B, num_classes).

        Any real numbers; their softmax is the probability of each class.
        """
        raise NotImplementedError

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the frames."""
        return self._input_size

    @property
    def num_outputs(self) -> int:
        """One for each class."""
        return self.num_classes

    def example(self, batch: int = 1) -> Tensor:
        """An input of `forward`, zeros: (B, 3, T, H, W)."""
        return zeros(batch, 3, self.frames, *self.input_size)

    def normalize(self, clips: Tensor) -> Tensor:
        """Turn decoded clips into the input of `forward`.

        (B, T, H, W, 3) uint8 RGB to (B, 3, T, H, W) float32, which lies in memory frame by frame.
        """
        frames = super().normalize(clips.flatten(0, 1))  # BT 3 H W
        normal: Tensor = frames.unflatten(0, clips.shape[:2]).transpose(1, 2)
        return normal
