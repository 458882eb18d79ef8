"""A network whose scores are easily computed by hand: of each frame's mean red."""

import torch

from keypoint.action.data.augment import TestCrops
from keypoint.action.data.sampling import ClipSampling
from keypoint.action.evaluation.protocol import TestProtocol
from keypoint.action.networks.network import ActionNetwork
from keypoint.action.prediction.predictor import ActionPredictor

CLASSES = tuple(f"class {letter}" for letter in "abcdefg")
SIZE = (32, 48)


class Tiny(ActionNetwork):
    """Logits are the frames' mean red (0 to 1), times a weight of frame and class.

    Keeps the clips it was given.
    """

    def __init__(self, frames=4):
        super().__init__("tiny", num_classes=len(CLASSES), frames=frames, input_size=SIZE)
        self.set_colors("rgb", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
        generator = torch.Generator().manual_seed(0)
        self.weight = torch.nn.Parameter(5 * torch.randn(frames, len(CLASSES), generator=generator))
        self.seen = []

    def normalize(self, clips):
        self.seen.append(clips.clone())
        return super().normalize(clips)

    def forward(self, clips):
        return clips[:, 0].mean(dim=(2, 3)) @ self.weight  # B C


def protocol(placed="uniform", clips=3, crops=1, **sampling):
    sampled = ClipSampling(**({"frames": 4, "stride": 2} | sampling))
    return TestProtocol(sampled, TestCrops(SIZE, 48, crops), clips, placed)


def predictor(*arguments, batch_size=16, **options):
    return ActionPredictor(Tiny(), CLASSES, protocol(*arguments, **options), batch_size=batch_size)
