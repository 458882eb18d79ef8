"""Inputs and the entries of an annotation file."""

import pytest

from keypoint.errors import DataError
from keypoint.prediction.inputs.find import find_inputs
from keypoint.prediction.job import match_entries


def test_entries_are_matched_by_name_below_the_folder(tmp_path):
    for name in ("x/a.jpg", "y/a.jpg", "y/b.jpg", "c.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")

    def found(*arguments):
        paths = [str(tmp_path / argument) for argument in arguments]
        return find_inputs(paths, tmp_path / "out").found

    entries = [7, 8, 9], ["x/a.jpg", "y/a.jpg", "train/b.jpg"], [(1, 2), (3, 4), (5, 6)], "f.json"
    tasks, others = match_entries(found("."), *entries)
    assert [(t.image_id, t.image_size) for t in tasks] == [(7, (1, 2)), (8, (3, 4)), (9, (5, 6))]
    assert [other.name for other in others] == ["c.jpg"]
    with pytest.raises(DataError, match=r"f\.json: none of the 1 inputs \(a\.jpg\) is among its 3"):
        match_entries(found("x/a.jpg"), *entries)  # which of the two is not said
    both = [1, 2], ["b.jpg", "q.jpg"], [(1, 2)] * 2, "f.json"
    (tmp_path / "b.jpg").write_bytes(b"x")
    with pytest.raises(DataError, match=r"image id 1: .*b\.jpg and .*b\.jpg are both b\.jpg"):
        match_entries(found("y/b.jpg", "b.jpg"), *both)
    (tmp_path / "v.mp4").write_bytes(b"x")
    with pytest.raises(DataError, match=r"v\.mp4: --annotations is for images"):
        match_entries(found("v.mp4", "c.jpg"), *entries)
