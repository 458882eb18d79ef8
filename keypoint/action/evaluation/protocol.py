"""Clips and crops on which a video is tested, the same for test, training and prediction.

SRL tests on 25 random clips of a video, Wang et al. 2018 on 10 uniform ones with 3 crops each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keypoint.action.data.augment import TestCrops
from keypoint.action.data.frames import Draw
from keypoint.action.data.sampling import ClipSampling, Starts
from keypoint.action.data.videos import Videos

if TYPE_CHECKING:
    from keypoint.action.config import ActionConfig

PLACED = {
    "random": "random, by the SHA-256 of the video's name",
    "uniform": "from the first frames to the last",
}
AVERAGED = "softmax probabilities"


@dataclass(frozen=True)
class TestProtocol:
    """The clips on which a video is tested.

    Attributes:
        sampling: Chooses the frames of a clip.
        crops: Cuts each frame.
        clips: Number of clips of a video.
        placed: "random" (seeded by the video's name) or "uniform".
    """

    __test__ = False  # no test of pytest's

    sampling: ClipSampling
    crops: TestCrops
    clips: int
    placed: Starts

    @property
    def views(self) -> int:
        """Number of clips of a video, counting each crop."""
        return self.clips * self.crops.crops

    def draw(self, name: str) -> Draw:
        """Return a function that chooses the frames of the video of this name."""
        return self.sampling.test(name, self.clips, self.placed)

    def conditions(self) -> dict[str, Any]:
        """Return the conditions under which accuracies can be compared, in plain types."""
        sampling, crops = self.sampling, self.crops
        dense = sampling.sampling == "dense"
        return {
            "frames": sampling.frames,
            "sampling": sampling.sampling,
            "stride": sampling.stride if dense else None,
            "fps": sampling.fps,
            "short": sampling.short if dense else None,
            "clips": self.clips,
            "clip_starts": PLACED[self.placed],
            "crops": crops.crops,
            "crop_size": list(crops.crop_size),
            "short_side": crops.short_side,
            "averaged": AVERAGED,
        }


def protocol_of(config: ActionConfig) -> TestProtocol:
    """Return the protocol of a config.

    A single crop has the network's input size. Three crops are as large as the short side allows:
    256 for an input of 224 and a short side of 256, as in Wang et al.

    Raises:
        ConfigError: The crop is larger than the short side.
    """
    clips, test = config.clips, config.test
    return TestProtocol(
        ClipSampling(clips.frames, clips.stride, clips.sampling, clips.fps, clips.short),
        TestCrops.of(config.model.input_size, test.short_side, test.crops),
        test.clips,
        test.sampling,
    )


def data_conditions(videos: Videos) -> dict[str, Any]:
    """Return the conditions of the tested videos, in plain types."""
    return {
        "list": videos.report.source,
        "videos": len(videos),
        "skipped": dict(videos.report.skipped) or None,
        "data": videos.fingerprint(),
        "generated": videos.generated,
    }
