"""The clips and crops that a config describes, and the conditions that a result states."""

import pytest

from keypoint.action.config import ActionConfig
from keypoint.action.data.videos import load_videos
from keypoint.action.evaluation.protocol import data_conditions, protocol_of
from keypoint.config.load import from_dict_as
from keypoint.errors import ConfigError
from tests.action.data.made_up_videos import touch


def protocol(**sections):
    return protocol_of(from_dict_as(ActionConfig, sections, "test"))


def test_the_papers_test_is_the_default():
    """SRL: 25 random clips of 8 frames; the centre 224 of a short side of 256 is our choice."""
    found = protocol()
    assert found.views == 25
    assert found.conditions() == {
        "frames": 8,
        "sampling": "dense",
        "stride": 8,
        "fps": None,
        "short": "loop",
        "clips": 25,
        "clip_starts": "random, by the SHA-256 of the video's name",
        "crops": 1,
        "crop_size": [224, 224],
        "short_side": 256,
        "averaged": "softmax probabilities",
    }


def test_ten_clips_with_three_crops_each_are_of_the_whole_short_side():
    found = protocol(test={"clips": 10, "crops": 3, "sampling": "uniform"})
    assert found.views == 30
    crops = found.crops.of_frame((256, 340))
    assert [(crop.x, crop.y, crop.width, crop.height) for crop in crops] == [
        (0, 0, 256, 256),
        (42, 0, 256, 256),
        (84, 0, 256, 256),
    ]
    held = found.conditions()
    assert (held["crops"], held["crop_size"]) == (3, [256, 256])
    assert held["clip_starts"] == "from the first frames to the last"
    assert found.draw("any")(300, None)[[0, -1], 0].tolist() == [0, 300 - 57]


def test_segments_have_no_stride():
    found = protocol(clips={"sampling": "segments", "frames": 4}).conditions()
    assert (found["frames"], found["stride"], found["short"]) == (4, None, None)


def test_a_crop_larger_than_the_short_side_is_refused():
    with pytest.raises(ConfigError, match=r"test.short_side=200: a crop of .*224, 224"):
        protocol(test={"short_side": 200})


def test_conditions_of_the_videos(tmp_path):
    touch(tmp_path, "x/a.avi", "y/b.avi", "y/c.avi")
    videos = load_videos(tmp_path, tmp_path, part="val")
    held = data_conditions(videos)
    assert held["videos"] == 3
    assert held["data"] == videos.fingerprint()
    assert held["generated"] is False
