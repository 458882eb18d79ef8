import subprocess
import sys

import numpy as np
import pytest

from keypoint.data.augment import Augmentation, PersonCrop
from keypoint.errors import ConfigError
from keypoint.pose.codec import Codec
from keypoint.pose.geometry import CropFrame, apply_affine
from keypoint.pose.skeleton import load_skeleton

SKELETON = load_skeleton("coco17")
INPUT_SIZE = (128, 96)
BBOX = np.array([60.0, 40, 48, 90])
KEYPOINTS = np.random.default_rng(0).uniform([-20, -20], [220, 180], (17, 2)).astype(np.float32)
VISIBILITY = np.arange(17, dtype=np.uint8) % 3
IMAGE = np.random.default_rng(1).integers(0, 255, (160, 200, 3), dtype=np.uint8)
PERSON = (IMAGE, BBOX, KEYPOINTS, VISIBILITY)


def crop(**options):
    return PersonCrop(codec=Codec(INPUT_SIZE), flip_indices=SKELETON.flip_indices, **options)


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


def test_pixel_transforms_act_on_the_crop():
    plain = Augmentation(crop())(*PERSON, seed=(0, 0, 3))
    grey = Augmentation(crop(), [{"name": "ToGray", "p": 1.0}])(*PERSON, seed=(0, 0, 3))
    np.testing.assert_array_equal(grey[1], plain[1])
    assert (grey[0] == grey[0][..., :1]).all()
    assert not (plain[0] == plain[0][..., :1]).all()


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
