"""Half bodies: HRNet's procedure, in its order, with its chances; nothing where it is off."""

import math

import numpy as np
import pytest

from keypoint.data.augment import UPPER_PROBABILITY, Augmentation, PersonCrop, half_body_crop
from keypoint.errors import ConfigError
from keypoint.pose.codec import Codec
from keypoint.pose.skeleton import load_skeleton
from tests.reference import half_body as reference
from tests.reference.simple_baseline import affine_from_three_points, center_and_scale

SKELETON = load_skeleton("coco17")
INPUT_SIZE = (128, 96)
WIDTH, HEIGHT = 200, 160
IMAGE = np.random.default_rng(1).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
BBOX = np.array([60.0, 40, 48, 90])
UPPER = set(range(11))


def person(seed):
    """Keypoints and visibility; 6 to 17 of them labelled."""
    rng = np.random.default_rng(seed)
    keypoints = rng.uniform([0, 0], [WIDTH, HEIGHT], (17, 2)).astype(np.float32)
    visibility = np.zeros(17, np.uint8)
    visibility[rng.permutation(17)[: rng.integers(6, 18)]] = rng.integers(1, 3)
    return keypoints, visibility


def crop(**options):
    return PersonCrop(
        codec=Codec(INPUT_SIZE),
        flip_indices=SKELETON.flip_indices,
        upper_body=SKELETON.upper_body_indices,
        **options,
    )


@pytest.mark.parametrize("prefer_upper", [True, False])
def test_the_crop_is_the_references(prefer_upper):
    seen = {"whole": 0, "upper": 0, "lower": 0}
    for seed in range(300):
        keypoints, visibility = person(seed)
        expected = reference.center_and_scale(
            keypoints, visibility, UPPER, 0.4 if prefer_upper else 0.6, INPUT_SIZE
        )
        found = half_body_crop(
            keypoints, visibility > 0, SKELETON.upper_body_indices, prefer_upper, INPUT_SIZE
        )
        if expected is None:
            assert found is None
            assert np.count_nonzero(visibility) <= 8
            seen["whole"] += 1
            continue
        np.testing.assert_allclose(found[0], expected[0], rtol=1e-6)
        np.testing.assert_allclose(found[1], np.array(expected[1])[::-1] * 200, rtol=1e-6)
        upper_mean = keypoints[:11][visibility[:11] > 0].mean(axis=0)
        seen["upper" if np.allclose(found[0], upper_mean, atol=1e-3) else "lower"] += 1
    # Whoever has 9 labelled keypoints has 3 of the upper body, but perhaps 2 of the lower.
    assert seen["whole"] > 10
    assert seen["upper"] > 10
    assert (seen["lower"] == 0) == prefer_upper


def test_a_half_of_two_keypoints_gives_way_to_the_other():
    keypoints, visibility = person(0)
    visibility[:] = 1
    visibility[13:] = 0  # 11 above, 2 below
    arguments = keypoints, visibility > 0, SKELETON.upper_body_indices
    above = half_body_crop(*arguments, True, INPUT_SIZE)
    np.testing.assert_array_equal(above[0], half_body_crop(*arguments, False, INPUT_SIZE)[0])
    np.testing.assert_allclose(above[0], keypoints[:11].mean(axis=0), rtol=1e-5)
    keypoints[:11] = 7  # a crop of no size
    assert half_body_crop(*arguments, True, INPUT_SIZE) is None


def test_half_body_comes_before_scale_rotation_and_flip():
    """The reference's whole way, the image really mirrored, from the same random numbers."""
    options = {"scale": 0.35, "rotation": 45.0, "half_body_probability": 0.5}
    transform = crop(**options)
    halves = mirrors = 0
    for seed in range(200):
        keypoints, visibility = person(seed)
        transform.set_random_seed(seed)
        rows = np.concatenate([keypoints, np.zeros((17, 3)), visibility[:, None]], axis=1)
        data = {"bbox_xywh": BBOX, "keypoints": rows.astype(np.float32)}
        found = transform.get_params_dependent_on_data({}, data)

        draws = np.random.default_rng(seed)
        size_draw, turn_draw = draws.standard_normal(2)
        rotate, mirror, halve, choice = draws.random(4)
        center, scale = center_and_scale(BBOX, INPUT_SIZE)
        if halve < 0.5:
            # A uniform number as the normal one of the same rank, about 0.5.
            normal = -math.inf if choice < UPPER_PROBABILITY else math.inf
            half = reference.center_and_scale(keypoints, visibility, UPPER, normal, INPUT_SIZE)
            if half is not None:
                center, scale = np.array(half[0]), np.array(half[1])
                halves += 1
        scale = scale * np.clip(size_draw * 0.35 + 1, 0.65, 1.35)
        rotation = np.clip(turn_draw * 45, -90, 90) if rotate < 0.6 else 0
        points = keypoints.astype(np.float64)
        if mirror < 0.5:
            mirrors += 1
            center[0] = WIDTH - center[0] - 1
            points[:, 0] = WIDTH - points[:, 0] - 1
        matrix = affine_from_three_points(center, scale, rotation, INPUT_SIZE)
        expected = points @ matrix[:, :2].T + matrix[:, 2]
        ours = keypoints @ found["matrix"][:, :2].T + found["matrix"][:, 2]
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-3)
    assert 60 < halves < 110
    assert 70 < mirrors < 130


def test_the_pipeline_centers_the_chosen_half():
    """The upper body as often as a normal number lies below 0.5."""
    assert pytest.approx(0.5 * (1 + math.erf(0.5 / math.sqrt(2))), abs=1e-6) == UPPER_PROBABILITY
    keypoints, visibility = person(3)
    visibility[:] = 2
    still = {"scale": 0.0, "rotation_probability": 0.0, "flip_probability": 0.0}
    augmentation = Augmentation(crop(**still, half_body_probability=1.0))
    uppers = 0
    for index in range(300):
        _, moved, _ = augmentation(IMAGE[:2, :2], BBOX, keypoints, visibility, seed=(0, 0, index))
        upper, lower = (
            np.abs(half.mean(axis=0) - (48, 64)).max() for half in np.split(moved, [11])
        )
        assert min(upper, lower) < 0.01
        uppers += upper < 0.01
    assert uppers / 300 == pytest.approx(0.691, abs=0.08)


def test_off_changes_no_random_number():
    keypoints, visibility = person(1)
    visibility[:] = 1
    one, other = Augmentation(crop()), Augmentation(crop(half_body_probability=1e-9))
    for index in range(5):
        seed = (0, 0, index)
        first = one(IMAGE, BBOX, keypoints, visibility, seed=seed)
        second = other(IMAGE, BBOX, keypoints, visibility, seed=seed)
        np.testing.assert_array_equal(first[1], second[1])


@pytest.mark.parametrize(
    ("keypoints", "upper_body", "words"),
    [(17, (), "17 keypoints, 0 of them in upper_body"), (8, (0, 1), "8 keypoints, 2 of them")],
)
def test_no_halves_are_refused(keypoints, upper_body, words):
    words += ".*give augment.half_body_probability=0, also if train.recipe set it"
    with pytest.raises(ConfigError, match=f"half_body_probability=0.3 has no effect: .*{words}"):
        PersonCrop(
            codec=Codec(INPUT_SIZE),
            flip_indices=range(keypoints),
            half_body_probability=0.3,
            upper_body=upper_body,
        )
