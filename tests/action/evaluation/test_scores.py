"""Scores files come back as they were; damaged and foreign files are refused in words."""

import numpy as np
import pytest

from keypoint.action.evaluation.scores import FILE, VideoScores, load_scores, save_scores
from keypoint.errors import DataError
from tests.action.evaluation import made


def arrays(**changed):
    kept = made.scores(3, 2)
    return {
        "names": np.array(kept.names),
        "classes": np.array(kept.classes),
        "labels": kept.labels,
        "scores": kept.scores,
        "conditions": np.array("{}"),
    } | changed


def test_a_file_comes_back_as_it_was(tmp_path):
    given = made.scores(crops=3, weights=None)
    names = ("Straße/été 日本.mp4", *given.names[1:])
    given = VideoScores(names, given.classes, given.labels, given.scores, given.conditions)
    save_scores(tmp_path / FILE, given)
    for path in (tmp_path, tmp_path / FILE):
        found = load_scores(path)
        assert found.names == given.names
        assert found.classes == given.classes
        assert found.conditions == given.conditions
        np.testing.assert_array_equal(found.labels, given.labels)
        np.testing.assert_array_equal(found.scores, given.scores)
    plain = np.load(tmp_path / FILE)  # as anyone reads it, without pickle
    assert plain["scores"].dtype == np.float32
    assert plain["scores"].shape == (len(plain["names"]), len(plain["classes"]))


def test_conditions_of_before_have_their_name_of_today(tmp_path):
    np.savez(tmp_path / "x.npz", **arrays(conditions=np.array('{"left_out": null}')))
    assert load_scores(tmp_path / "x.npz").conditions == {"skipped": None}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"labels": np.zeros(5, int)}, r"scores \(6, 3\) and labels \(5,\) for 6 names"),
        ({"labels": np.full(6, 3)}, "video '0/v_000.avi': label 3 of 3 classes"),
        ({"names": np.array(["a"] * 6)}, "video 'a' is given 6 times"),
        ({"classes": np.array(["a", "b", "a"])}, "class 'a' is given 2 times"),
        ({"scores": np.full((6, 3), np.nan, np.float32)}, "a score is not finite"),
        ({"scores": np.zeros((6, 3), int)}, "scores is int64"),
        ({"scores": np.zeros(6)}, r"scores is float64 of shape \(6,\)"),
        ({"conditions": np.array("{")}, "not a complete scores file"),
        ({"conditions": np.array("[]")}, "its conditions are a list"),
        ({"names": np.array([{}] * 6)}, "not a scores file .*pickle"),
    ],
)
def test_foreign_arrays_are_refused(tmp_path, changed, words):
    np.savez(tmp_path / "x.npz", **arrays(**changed))
    with pytest.raises(DataError, match=words) as raised:
        load_scores(tmp_path / "x.npz")
    assert str(tmp_path / "x.npz") in str(raised.value)


def test_damaged_files_are_refused(tmp_path):
    """Cut off anywhere, and with any byte changed: an error of ours, or the same numbers."""
    path, broken = tmp_path / FILE, tmp_path / "broken.npz"
    given = made.scores(3, 2)
    save_scores(path, given)
    whole = path.read_bytes()
    for end in range(0, len(whole), 17):
        broken.write_bytes(whole[:end])
        with pytest.raises(DataError, match="damaged or cut off|not a scores file"):
            load_scores(broken)
    for place in range(0, len(whole), 7):
        broken.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            found = load_scores(broken)
        except DataError:
            continue
        np.testing.assert_array_equal(found.scores, given.scores)
        assert found.names == given.names


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such file; give a run's folder"),
        (b"video,label\n", "no NumPy archive"),
        (b"", "no NumPy archive"),
    ],
)
def test_other_files_are_refused(tmp_path, content, words):
    if content is not None:
        (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DataError, match=words):
        load_scores(tmp_path / "a.csv")


def test_a_folder_without_the_file_and_an_archive_without_arrays(tmp_path):
    with pytest.raises(DataError, match=f"has no {FILE}; keypoint test writes it"):
        load_scores(tmp_path)
    np.savez(tmp_path / "a.npz", scores=np.zeros(3))
    with pytest.raises(DataError, match="without names, classes, labels, conditions"):
        load_scores(tmp_path / "a.npz")


def test_videos_without_label_are_left_out_of_an_accuracy():
    given = made.scores(3, 2)
    labels = given.labels.copy()
    labels[[0, 3]] = -1
    some = VideoScores(given.names, given.classes, labels, given.scores, {})
    assert some.labelled().names == (*given.names[1:3], *given.names[4:])
    none = VideoScores(given.names, given.classes, np.full(6, -1), given.scores, {})
    with pytest.raises(DataError, match="none of 6 videos has a label"):
        none.labelled()
