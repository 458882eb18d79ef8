"""Random crops: the references' distributions; half bodies by HRNet's procedure, in its order."""

import math
import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from keypoint.data import augment
from keypoint.data.augment import UPPER_PROBABILITY, A, Augmentation, PersonCrop, half_body_crop
from keypoint.errors import ConfigError
from keypoint.pose.codec import Codec
from keypoint.pose.geometry import CropFrame, apply_affine
from keypoint.pose.skeleton import load_skeleton
from tests.reference import half_body as reference
from tests.reference.simple_baseline import affine_from_three_points, center_and_scale

SKELETON = load_skeleton("coco17")
INPUT_SIZE = (128, 96)
WIDTH, HEIGHT = 200, 160
BBOX = np.array([60.0, 40, 48, 90])
KEYPOINTS = np.random.default_rng(0).uniform([-20, -20], [220, 180], (17, 2)).astype(np.float32)
VISIBILITY = np.arange(17, dtype=np.uint8) % 3
IMAGE = np.random.default_rng(1).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
PERSON = (IMAGE, BBOX, KEYPOINTS, VISIBILITY)


def crop(**options):
    return PersonCrop(
        codec=Codec(INPUT_SIZE),
        flip_indices=SKELETON.flip_indices,
        upper_body=SKELETON.upper_body_indices,
        **options,
    )


STILL = {"scale": 0.0, "rotation_probability": 0.0}


def test_without_randomness_it_is_the_evaluation_crop():
    augmentation = Augmentation(crop(**STILL, flip_probability=0.0))
    picture, keypoints, visibility = augmentation(*PERSON, seed=(0, 0, 0))
    matrix = CropFrame.from_bboxes(BBOX[None], INPUT_SIZE).matrices()[0]
    np.testing.assert_allclose(keypoints, apply_affine(matrix, KEYPOINTS), atol=1e-3)
    np.testing.assert_array_equal(visibility, VISIBILITY)
    assert picture.shape == (128, 96, 3)
    assert picture.dtype == np.uint8


def test_all_keypoints_come_back_in_place_though_many_lie_outside():
    augmentation = Augmentation(crop())
    for index in range(50):
        _, keypoints, visibility = augmentation(*PERSON, seed=(0, 0, index))
        assert keypoints.shape == (17, 2)
        swapped = np.array_equal(visibility, VISIBILITY[list(SKELETON.flip_indices)])
        assert swapped or np.array_equal(visibility, VISIBILITY)


def test_mirrored_left_wrist_is_a_right_wrist():
    still = Augmentation(crop(**STILL, flip_probability=0.0))
    flipped = Augmentation(crop(**STILL, flip_probability=1.0))
    picture, keypoints, visibility = still(*PERSON, seed=(0, 0, 0))
    mirror, moved, flags = flipped(*PERSON, seed=(0, 0, 0))
    left_wrist, right_wrist = 9, 10
    # the crop is mirrored about its middle, x' = W - x
    expected = keypoints * [-1, 1] + [96, 0]
    np.testing.assert_allclose(moved[right_wrist], expected[left_wrist], atol=1e-3)
    np.testing.assert_allclose(moved[0], expected[0], atol=1e-3)
    assert flags[right_wrist] == visibility[left_wrist]
    # ... so column c of one is column W - c of the other
    np.testing.assert_allclose(mirror[:, 1:].astype(int), picture[:, :0:-1].astype(int), atol=2)


def draws(**options):
    """Scale, rotation in degrees and mirroring as read off many matrices."""
    transform = crop(**options)
    scales, rotations, mirrors = [], [], []
    base = CropFrame.from_bboxes(BBOX[None], INPUT_SIZE).matrices()[0]
    for index in range(4000):
        transform.set_random_seed(index)
        params = transform.get_params_dependent_on_data({}, {"bbox_xywh": BBOX})
        linear = params["matrix"][:, :2] / base[0, 0]
        mirrors.append(np.linalg.det(linear) < 0)
        scales.append(1 / np.sqrt(abs(np.linalg.det(linear))))
        rotations.append(np.degrees(np.arctan2(linear[0, 1], linear[1, 1])))
        assert mirrors[-1] == params["mirror"]
    return np.array(scales), np.array(rotations), np.array(mirrors)


def test_distributions_are_the_references():
    scales, rotations, mirrors = draws()
    assert scales.min() == pytest.approx(0.7)
    assert scales.max() == pytest.approx(1.3)
    # 1 + 0.3 N clipped at one sigma: 31.7 % at the two ends together
    assert np.mean((scales < 0.7001) | (scales > 1.2999)) == pytest.approx(0.317, abs=0.03)
    assert np.abs(rotations).max() == pytest.approx(80)
    assert np.mean(rotations != 0) == pytest.approx(0.6, abs=0.03)
    # 0.9594: standard deviation of N(0, 1) clipped at 2
    assert rotations[rotations != 0].std() == pytest.approx(40 * 0.9594, rel=0.05)
    assert mirrors.mean() == pytest.approx(0.5, abs=0.03)
    assert np.corrcoef(mirrors, rotations != 0)[0, 1] == pytest.approx(0, abs=0.05)


def test_the_seed_alone_decides():
    pixels = [{"name": "RandomBrightnessContrast", "p": 0.5}, {"name": "GaussNoise", "p": 0.5}]
    one, other = Augmentation(crop(), pixels), Augmentation(crop(), pixels)
    other(*PERSON, seed=(5, 5, 5))  # whatever was drawn before
    seeds = [(0, 0, i) for i in range(8)]
    seeds += [(0, 1, i) for i in range(4)] + [(1, 0, i) for i in range(4)]
    crops = []
    for seed in seeds:
        first = one(*PERSON, seed=seed)
        second = other(*PERSON, seed=seed)
        np.testing.assert_array_equal(first[0], second[0])
        np.testing.assert_array_equal(first[1], second[1])
        crops.append(first[0].tobytes())
    assert len(set(crops)) == 16


@pytest.mark.parametrize("half_body_probability", [0.0, 0.5])
@pytest.mark.parametrize("names", [(), ("ColorJitter", "GaussNoise", "CoarseDropout")])
def test_it_is_one_pipeline_of_albumentations(names, half_body_probability):
    """The crop is called outside of the pipeline, which is quicker."""
    entries = [{"name": name, "p": 0.5} for name in names]
    options = {"half_body_probability": half_body_probability}
    augmentation = Augmentation(crop(**options), entries)
    pipeline = A.Compose(
        [crop(**options), *(augment.pixel_transform(entry) for entry in entries)],
        keypoint_params=A.KeypointParams(format="xy", remove_invisible=False),
    )
    for index in range(30):
        seed = (1, 2, index)
        pipeline.set_random_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
        rows = np.concatenate([KEYPOINTS, VISIBILITY[:, None]], axis=1, dtype=np.float32)
        expected = pipeline(image=IMAGE, keypoints=rows, bbox_xywh=BBOX)
        picture, keypoints, visibility = augmentation(*PERSON, seed=seed)
        np.testing.assert_array_equal(picture, expected["image"])
        np.testing.assert_array_equal(keypoints, expected["keypoints"][:, :2])
        np.testing.assert_array_equal(visibility, expected["keypoints"][:, 2])
        assert keypoints.dtype == expected["keypoints"].dtype == np.float32


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ({"name": "ColourJitter"}, "'ColourJitter' is not a pixel transform"),
        # would leave the keypoints behind
        ({"name": "HorizontalFlip"}, "'HorizontalFlip' is not a pixel transform"),
        ({"name": "Compose"}, "not a pixel transform"),
        ({"p": 0.5}, "None is not a pixel transform"),
        ({"name": "GaussianBlur", "blurr": 3}, r"has no argument \['blurr'\]; it takes"),
        ({"name": "GaussianBlur", "p": "often"}, "GaussianBlur"),
    ],
)
def test_transforms_that_cannot_be_used_are_refused(entry, text):
    with pytest.raises(ConfigError, match=text):
        Augmentation(crop(), [entry])


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ({"name": "Normalize"}, r"Normalize returns float32 \(128, 96, 3\) for a crop uint8"),
        ({"name": "ToFloat", "p": 0.01}, "ToFloat returns float32 .* normalizes them itself"),
        ({"name": "FromFloat"}, "FromFloat (returns|fails)"),
        ({"name": "ToGray", "num_output_channels": 1}, r"ToGray returns uint8 \(128, 96\)"),
        ({"name": "HistogramMatching"}, r"HistogramMatching fails .*requires \['hm_metadata'\]"),
        ({"name": "FDA"}, "FDA fails .*an image and nothing else"),
        ({"name": "PixelDistributionAdaptation", "p": 0.1}, "PixelDistributionAdaptation fails"),
        ({"name": "TextImage", "font_path": "/absent.ttf"}, "TextImage fails"),
        ({"name": "ImageOnlyTransform"}, r"ImageOnlyTransform fails on a crop \(NotImplemented"),
        ({"name": "Downscale", "scale_range": [0.001, 0.001], "p": 0.01}, "Downscale fails"),
        (
            {"name": "RandomBrightnessContrast", "brightness_limit": [1, 1], "p": 0.1},
            "returns an image of a single colour in 3 of 3 draws",
        ),
        ({"name": "ToTensorV2"}, "is not a pixel transform"),
        ({"name": "RandomCrop", "height": 8, "width": 8}, "is not a pixel transform"),
        ({"name": "Resize", "height": 8, "width": 8}, "is not a pixel transform"),
        ({"name": "MaskDropout"}, "is not a pixel transform"),
        ({"name": "Blur", "blur": 3, 4: 5}, r"Blur has no argument \[4, 'blur'\]"),
        ({"name": "Blur", "p": 2}, "Blur: .*p"),
    ],
)
def test_transforms_are_tried_before_training(entry, text):
    with pytest.raises(ConfigError, match=f"(?s)^augment.transforms: .*{text}"):
        Augmentation(crop(), [{"name": "Blur"}, entry])


RIGHT = (
    "Blur", "ColorJitter", "CLAHE", "CoarseDropout", "GridDropout", "Erasing", "PixelDropout", "ToGray",
    "GaussNoise", "ImageCompression", "RandomFog", "ChannelShuffle", "Solarize", "MotionBlur", "Downscale",
)  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_right_transforms_pass_and_leave_keypoints_in_place(name, warnings):
    plain, augmented = Augmentation(crop()), Augmentation(crop(), [{"name": name, "p": 1.0}])
    assert not warnings.text
    picture, keypoints, visibility = augmented(*PERSON, seed=(0, 0, 1))
    before, expected, flags = plain(*PERSON, seed=(0, 0, 1))
    assert (picture.shape, picture.dtype) == (before.shape, np.uint8)
    np.testing.assert_array_equal(keypoints, expected)
    np.testing.assert_array_equal(visibility, flags)


def test_the_trial_changes_no_random_number(monkeypatch):
    entries = [{"name": "ColorJitter", "p": 0.5}, {"name": "GaussNoise", "p": 0.5}]

    def states():
        legacy = np.random.get_state()[1].tolist()  # noqa: NPY002 (the one that others may use)
        return random.getstate(), legacy, torch.get_rng_state().tolist()

    before = states()
    tried = Augmentation(crop(), entries)
    assert states() == before
    monkeypatch.setattr(augment, "try_transform", lambda *arguments: None)
    untried = Augmentation(crop(), entries)
    for index in range(6):
        one, other = (each(*PERSON, seed=(0, 0, index)) for each in (tried, untried))
        assert all(map(np.array_equal, one, other))


def test_a_transform_that_changes_nothing_is_mentioned(warnings):
    Augmentation(crop(), [{"name": "RGBShift", "r_shift_limit": 0, "g_shift_limit": 0, "b_shift_limit": 0}])  # fmt: skip
    assert "RGBShift changed nothing in 30 draws" in warnings.text
    Augmentation(crop(), [{"name": "Normalize", "p": 0}])  # off


def test_pixel_transforms_act_on_the_crop():
    plain = Augmentation(crop())(*PERSON, seed=(0, 0, 3))
    grey = Augmentation(crop(), [{"name": "ToGray", "p": 1.0}])(*PERSON, seed=(0, 0, 3))
    np.testing.assert_array_equal(grey[1], plain[1])
    assert (grey[0] == grey[0][..., :1]).all()
    assert not (plain[0] == plain[0][..., :1]).all()


# -- half bodies

UPPER = set(range(11))


def person(seed):
    """Keypoints and visibility; 6 to 17 of them labelled."""
    rng = np.random.default_rng(seed)
    keypoints = rng.uniform([0, 0], [WIDTH, HEIGHT], (17, 2)).astype(np.float32)
    visibility = np.zeros(17, np.uint8)
    visibility[rng.permutation(17)[: rng.integers(6, 18)]] = rng.integers(1, 3)
    return keypoints, visibility


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
    augmentation = Augmentation(crop(**STILL, flip_probability=0.0, half_body_probability=1.0))
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
    words += ".*give augment.half_body_probability=0, even if train.recipe set it"
    with pytest.raises(ConfigError, match=f"half_body_probability=0.3 has no effect: .*{words}"):
        PersonCrop(
            codec=Codec(INPUT_SIZE),
            flip_indices=range(keypoints),
            half_body_probability=0.3,
            upper_body=upper_body,
        )


def test_importing_opens_no_connection():
    """albumentations asks the package index for its version unless an option forbids it."""
    program = """
import socket
calls = []
def refuse(self, address):
    calls.append(address)
    raise OSError("no network in this test")
socket.socket.connect = refuse
socket.getaddrinfo = lambda *a, **k: calls.append(a) or (_ for _ in ()).throw(OSError("no network"))
import os
os.environ.pop("NO_ALBUMENTATIONS_UPDATE", None)
import keypoint.data.augment, keypoint.training.trainer, keypoint.evaluation.run, keypoint.models
assert not calls, calls
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
