import time

import pytest

from keypoint.pose.sides import guess_pairs
from keypoint.pose.skeleton import load_skeleton

WORDS = {
    "left_ear right_ear": "left_ear right_ear",
    "RIGHT_EAR LEFT_EAR": "LEFT_EAR RIGHT_EAR",
    "Left_ear right_Ear": "Left_ear right_Ear",
    "leftEar rightEar": "leftEar rightEar",
    "ear.left ear.right": "ear.left ear.right",
    "leftear rightear": "leftear rightear",
    "EyeLeft EyeRight": "EyeLeft EyeRight",
    "upright_left upright_right": "upright_left upright_right",
    # An outer and an inner side: both change in a mirror.
    "left_wing_left_tip left_wing_right_tip right_wing_left_tip right_wing_right_tip": (
        "left_wing_left_tip right_wing_right_tip left_wing_right_tip right_wing_left_tip"
    ),
}
LETTERS = {
    "L_Eye R_Eye L_F_Paw R_F_Paw": "L_Eye R_Eye L_F_Paw R_F_Paw",
    "r_ear nose l_ear": "l_ear r_ear",
    "earL earR": "earL earR",
    "ear_l ear_r": "ear_l ear_r",
    "ear.L ear.R": "ear.L ear.R",
    "LEar REar RShoulder LShoulder": "LEar REar LShoulder RShoulder",
    "lEar rEar": "lEar rEar",
    "hindlegL1 hindlegR1 hindlegL2 hindlegR2": "hindlegL1 hindlegR1 hindlegL2 hindlegR2",
    "ear1L ear1R": "ear1L ear1R",
    "pawLF pawRF pawLH pawRH": "pawLF pawRF pawLH pawRH",
    "TL TR BR BL": "TL TR BL BR",
    "ul ur lr ll": "ul ur ll lr",
    "Ear_L ear_l Ear_R ear_r": "Ear_L Ear_R ear_l ear_r",
    "öhrL öhrR": "öhrL öhrR",
    "lhand rhand rfoot lfoot": "lhand rhand lfoot rfoot",
    "LHAND RHAND LFOOT RFOOT": "LHAND RHAND LFOOT RFOOT",
    "earl earr eyel eyer": "earl earr eyel eyer",
    "lfront_paw rfront_paw lhind_paw rhind_paw": "lfront_paw rfront_paw lhind_paw rhind_paw",
}
NONE = (
    "lear rear",
    "LEAR REAR",
    "bright_spot spot",
    "left_ear left_eye",
    "L1 L2",
    "tail rail",
    "a",
)


def couples(names):
    flat = names.split()
    return list(zip(flat[::2], flat[1::2], strict=True))


@pytest.mark.parametrize("names", WORDS)
def test_words_in_any_case_and_place(names):
    assert guess_pairs(names.split()) == couples(WORDS[names])
    assert guess_pairs(names.split(), words_only=True) == couples(WORDS[names])


@pytest.mark.parametrize("names", LETTERS)
def test_letters_at_the_edge_of_a_word(names):
    assert guess_pairs(names.split()) == couples(LETTERS[names])
    assert guess_pairs(names.split(), words_only=True) == []


@pytest.mark.parametrize("names", NONE)
def test_no_pair(names):
    assert guess_pairs(names.split()) == []


def test_names_with_spaces():
    assert guess_pairs(["left ear", "right ear"]) == [("left ear", "right ear")]
    assert guess_pairs(["ear (L)", "ear (R)"]) == [("ear (L)", "ear (R)")]


@pytest.mark.parametrize("name", ["coco17", "mpii16", "crowdpose14", "aic14", "halpe26", "ap10k17"])
def test_the_pairs_of_the_built_in_skeletons(name):
    skeleton = load_skeleton(name)
    assert set(guess_pairs(skeleton.keypoints, words_only=True)) == set(skeleton.pairs)


def test_many_names_take_linear_time():
    names = [f"k{n // 2}{'LR'[n % 2]}" for n in range(50_000)]
    start = time.perf_counter()
    assert len(guess_pairs(names)) == 25_000
    guess_pairs(["-" * (n % 200) + "L" * (n // 200 + 1) for n in range(20_000)])
    assert time.perf_counter() - start < 20
