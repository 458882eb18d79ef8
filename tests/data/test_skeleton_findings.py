import logging

import pytest

from keypoint.data.audit.skeletons import check_skeleton, skeleton_findings
from keypoint.errors import ConfigError
from keypoint.pose.skeleton import load_skeleton, skeleton_from_dict

COCO = load_skeleton("coco17").oks_sigmas


def skeleton(names, sigmas="uniform", pairs=()):
    content = {"name": "own", "keypoints": names, "pairs": pairs, "edges": []}
    return skeleton_from_dict(content | {"oks_sigmas": sigmas}, "own.yaml")


def notes(sigmas):
    names = [f"k{n}" for n in range(len(sigmas))]
    return [str(f) for f in skeleton_findings(skeleton(names, sigmas), mirrored=True)]


@pytest.mark.parametrize("name", ["coco17", "mpii16", "crowdpose14", "aic14", "halpe26", "ap10k17"])
def test_the_built_in_skeletons_are_in_order(name):
    assert skeleton_findings(load_skeleton(name), mirrored=True) == []


def test_sigmas_of_another_scale_name_the_likely_cause():
    (note,) = notes([10 * sigma for sigma in COCO])
    assert "17 of 17 keypoints have an OKS sigma above 0.2" in note
    assert "COCO's table before it is divided by 10?" in note
    assert "before it is divided by 10?" in notes([1.0] * 4)[0]
    for variances in ([s**2 for s in COCO], [(2 * s) ** 2 for s in COCO], [s / 10 for s in COCO]):
        (note,) = notes(variances)
        assert "an OKS sigma below 0.01" in note
        assert "variances (sigma squared, or (2 sigma) squared), or divided by 10 twice?" in note
    (note,) = notes([0.05, 0.25, 0.06])  # measured ones may be so
    assert "1 of 3" in note
    assert "the spread of annotations" in note
    assert len(notes([0.004, 5.0])) == 2
    assert notes([0.2, 0.01]) == notes(COCO) == []


def test_letters_for_sides_are_noted_if_images_are_mirrored(caplog):
    letters = skeleton(["L_Eye", "R_Eye", "nose", "earL", "earR"])
    (note,) = skeleton_findings(letters, mirrored=True)
    assert str(note).startswith("4 of 5 (80.00%) keypoints have a side in their name but no pair")
    assert "add to pairs: [L_Eye, R_Eye], [earL, earR] (for example L_Eye, R_Eye, earL)" in str(
        note
    )
    assert skeleton_findings(letters, mirrored=False) == []
    pairs = [("L_Eye", "nose"), ("earR", "earL")]  # as the user chose
    assert skeleton_findings(skeleton(letters.keypoints, pairs=pairs), mirrored=True) == []
    with caplog.at_level(logging.WARNING):
        check_skeleton(letters, mirrored=True)
    assert "skeleton own: 4 of 5" in caplog.text


def test_words_for_sides_are_refused_if_images_are_mirrored():
    words = skeleton(["LEFT_EAR", "RIGHT_EAR"])
    check_skeleton(words, mirrored=False)
    with pytest.raises(ConfigError, match=r"pairs lacks \[LEFT_EAR, RIGHT_EAR\]"):
        check_skeleton(words, mirrored=True)
