"""Crops of clips: TSN's on its own numbers, bounds, mirror, and one draw for all frames."""

import cv2
import numpy as np
import pytest

from keypoint.action.config import ActionConfig
from keypoint.action.data.augment import (
    ClipAugmentation,
    Crop,
    TestCrops,
    names_with_sides,
    usual_flip_probability,
)
from keypoint.commands.action.train import build_augmentation
from keypoint.config.load import from_dict_as, override_as
from keypoint.errors import ConfigError


def draws(augmentation, frame_size, number=4000):
    return [augmentation.draw(frame_size, np.random.default_rng(i)) for i in range(number)]


def test_tsn_on_its_own_frame_size_has_its_own_sides_and_places():
    """340 x 256, sides of {256, 224, 192, 168}, at most a step apart, corners and centre."""
    found = draws(ClipAugmentation((224, 224), flip_probability=0.5), (256, 340))
    sides = [256, 224, 192, 168]
    pairs = {(w, h) for a, w in enumerate(sides) for b, h in enumerate(sides) if abs(a - b) <= 1}
    assert {(crop.width, crop.height) for crop in found} == pairs
    for crop in found:
        free = (340 - crop.width, 256 - crop.height)
        places = {(0, 0), (free[0], 0), (0, free[1]), free, (free[0] // 2, free[1] // 2)}
        assert (crop.x, crop.y) in places
    centred = sum((c.x, c.y) == ((340 - c.width) // 2, (256 - c.height) // 2) for c in found)
    assert centred / len(found) == pytest.approx(1 / 5, abs=0.03)
    assert sum(crop.mirror for crop in found) / len(found) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("kind", ["tsn", "random"])
@pytest.mark.parametrize("frame_size", [(256, 340), (720, 1280), (640, 360), (48, 48), (7, 300)])
@pytest.mark.parametrize("input_size", [(224, 224), (128, 192)])
def test_crops_lie_in_the_frame(kind, frame_size, input_size):
    for crop in draws(ClipAugmentation(input_size, kind), frame_size, 300):
        assert 0 <= crop.x <= frame_size[1] - crop.width
        assert 0 <= crop.y <= frame_size[0] - crop.height
        assert min(crop.width, crop.height) >= 1
        frame = np.zeros((*frame_size, 3), np.uint8)
        assert crop.cut(frame, input_size).shape == (*input_size, 3)


def test_a_random_short_side_is_uniform_from_256_to_320():
    found = draws(ClipAugmentation((224, 224), "random", flip_probability=0.0), (512, 700))
    short = np.array([224 * 512 / crop.width for crop in found])
    assert 255 < short.min() < 258
    assert 317 < short.max() < 321
    assert short.mean() == pytest.approx(288, abs=2)
    assert not any(crop.mirror for crop in found)
    share_x = [crop.x / (700 - crop.width) for crop in found]
    share_y = [crop.y / (512 - crop.height) for crop in found]
    for share in (share_x, share_y):
        assert np.quantile(share, [0, 0.25, 0.5, 0.75, 1]) == pytest.approx(
            [0, 0.25, 0.5, 0.75, 1], abs=0.03
        )


def test_cutting_first_shows_what_resizing_first_shows():
    """Of a smooth picture: the two round the place differently, by less than a pixel."""
    x, y = np.meshgrid(np.arange(640), np.arange(480))
    frame = np.stack([x / 3, y / 2, (x + y) / 5], axis=2).astype(np.uint8)
    (crop,) = TestCrops((224, 224), 256).of_frame((480, 640))
    resized = cv2.resize(frame, (341, 256))
    expected = resized[16:240, 58:282].astype(int)
    assert np.abs(crop.cut(frame, (224, 224)) - expected).max() <= 2


def test_a_mirrored_crop_is_the_crop_mirrored():
    frame = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    plain = Crop(5, 3, 30, 20).cut(frame, (28, 28))
    assert np.array_equal(Crop(5, 3, 30, 20, mirror=True).cut(frame, (28, 28)), plain[:, ::-1])
    assert np.array_equal(Crop(5, 3, 30, 20).cut(frame, (20, 30)), frame[3:23, 5:35])


@pytest.mark.parametrize(
    ("frame_size", "expected"),
    [
        ((256, 340), [(0, 0), (42, 0), (84, 0)]),
        ((340, 256), [(0, 0), (0, 42), (0, 84)]),
        ((512, 680), [(0, 0), (84, 0), (168, 0)]),
    ],
)
def test_three_crops_cover_the_long_side(frame_size, expected):
    crops = TestCrops.of((224, 224), 256, 3)
    assert (crops.crop_size, crops.short_side) == ((256, 256), 256)
    found = crops.of_frame(frame_size)
    assert [(crop.x, crop.y) for crop in found] == expected
    assert {(crop.width, crop.height) for crop in found} == {(min(frame_size),) * 2}


def test_the_centre_is_224_of_256():
    (crop,) = TestCrops.of((224, 224), 256).of_frame((256, 340))
    assert crop == Crop(58, 16, 224, 224)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match=r"augment.short_side=\[200, 320\]: a crop of .*224"):
        ClipAugmentation((224, 224), "random", (200, 320))
    with pytest.raises(ConfigError, match=r"test.crops=2: give 1 \(center\) or 3"):
        TestCrops.of((224, 224), 256, 2)
    with pytest.raises(
        ConfigError, match=r"test.short_side=128: a crop of \[224, 224\] does not fit"
    ):
        TestCrops((224, 224), 128)


def test_classes_with_a_side_in_their_name():
    names = ["Pushing [something] from left to right", "TurnRight", "brighten", "leftover", "jump"]
    assert names_with_sides(names) == names[:2]
    assert names_with_sides(["swipe_left", "copyright"]) == ["swipe_left"]
    assert [usual_flip_probability(given) for given in (names, names[2:])] == [0, 0.5]


def test_the_config_mirrors_clips_unless_classes_name_sides():
    config = from_dict_as(ActionConfig, {}, "x")
    given = override_as(config, ["augment.flip_probability=0.25"])
    plain, sided = ("jump", "run"), ("jump", "turn left")
    flips = [
        build_augmentation(chosen, classes).flip_probability
        for chosen in (config, given)
        for classes in (plain, sided)
    ]
    assert flips == [0.5, 0.0, 0.25, 0.25]
