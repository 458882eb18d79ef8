"""Drawn videos keep their time, and old pictures go with the run that made them."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from keypoint.pose.skeleton import Skeleton, load_skeleton
from keypoint.prediction.drawing import MOST_REPEATED, PredictPictures, remove_pictures
from keypoint.prediction.inputs.frames import Frame
from keypoint.prediction.stream import Predicted

SKELETON = load_skeleton("coco17")


def drawn(folder, moments, rate, size=(48, 64)):
    """The grey of each frame of a drawn video whose n-th frame is 40 n bright; its rate."""
    pictures = PredictPictures(folder, SKELETON, pictures=True, crops=False)
    nothing = np.zeros((0, 4)), np.zeros(0), np.zeros((0, 17, 2)), np.zeros((0, 17))
    for number, seconds in enumerate(moments):
        image = np.full((*size, 3), 40 * number, np.uint8)
        frame = Frame(Path("camera"), number, rate, seconds, 1, size, 1, image)
        name, _ = pictures.add(Predicted(frame, *nothing, 0))
    pictures.end_video()
    video, greys = cv2.VideoCapture(str(folder / name)), []
    while True:
        there, image = video.read()
        if not there:
            return [round(grey / 40) for grey in greys], video.get(cv2.CAP_PROP_FPS)
        greys.append(image.mean())


def test_a_frame_stays_until_the_next_one(tmp_path):
    greys, rate = drawn(tmp_path, [0.0, 1.0, 1.5], 10.0)
    assert rate == 10
    assert greys == [0] * 10 + [1] * 5 + [2]


def test_a_camera_faster_than_it_says(tmp_path):
    """Thirty frames a second where it says ten: every third is in it, and it lasts as long."""
    greys, _ = drawn(tmp_path, [i / 30 for i in range(7)], 10.0)
    assert len(greys) == 3
    assert greys[0] == 0
    assert greys == sorted(greys)


def test_a_file_comes_one_for_one(tmp_path):
    greys, _ = drawn(tmp_path, [i / 25 for i in range(6)], 25.0)
    assert greys == [0, 1, 2, 3, 4, 5]


def test_a_rate_that_the_form_lacks(tmp_path):
    """Sides of odd length need motion JPEG, whose rate is whole: 7.5 becomes 8, the time stays."""
    greys, rate = drawn(tmp_path, [0, 2.0, 4.0], 7.5, size=(49, 65))
    assert rate == 8
    assert len(greys) == 4 * 8 + 1
    assert greys == [0] * 16 + [1] * 16 + [2]


def test_a_varying_rate_keeps_its_time(tmp_path):
    """Three frames at 30 a second, then at 5 a second."""
    greys, rate = drawn(tmp_path, [0, 1 / 30, 2 / 30, 0.1, 0.3, 0.5], 30.0)
    assert rate == 30
    assert greys == [0, 1, 2, *[3] * 6, *[4] * 6, 5]


@pytest.mark.parametrize(("rate", "number"), [(0.05, 5), (1 / 60, 5), (2400.0, 6)])
def test_slow_and_fast_videos_are_not_padded(tmp_path, rate, number):
    greys, written = drawn(tmp_path, [i / rate for i in range(number)], rate)
    assert greys == list(range(number))
    assert written == pytest.approx(rate, abs=5e-4)


def test_a_long_pause_is_shortened_and_that_is_said(tmp_path, caplog):
    """A camera that records what moves may rest for hours: no million equal frames."""
    greys, _ = drawn(tmp_path, [0, 0.1, 10_000.1, 10_000.2, 10_000.3], 10.0)
    assert greys == [0, *[1] * (1 + MOST_REPEATED), 2, 3, 4]
    assert caplog.messages == [
        f"{tmp_path}/pictures/000001_camera.mp4: pauses are 9940 s shorter than in the source, "
        f"because a frame is repeated at most {MOST_REPEATED} times; records.jsonl contains the "
        "time of every frame"
    ]


@pytest.mark.parametrize("line", ["[]", "null", "5", '{"picture": 3}', '{"crops": null}', "{", ""])
def test_old_pictures_go_whatever_else_is_in_the_records(tmp_path, line):
    names = ["pictures/a.jpg", "crops/b.jpg"]
    for name in [*names, "pictures/other.jpg", "mine.jpg"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    records = tmp_path / "records.jsonl"
    lines = [
        line,
        json.dumps({"picture": names[0], "crops": [names[1], "../mine.jpg", "mine.jpg"]}),
    ]
    records.write_text("\n".join(lines))
    remove_pictures(records)
    left = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.jpg"))
    assert left == ["mine.jpg", "pictures/other.jpg"]


def test_a_small_image_is_enlarged_and_more_for_names(tmp_path):
    """Its keypoints stay where they are: the disc of a keypoint at 2.3 or 4.5 times its place."""
    points, scores = np.zeros((1, 17, 2)), np.zeros((1, 17))
    points[0, 0], scores[0, 0] = (40, 30), 1
    frame = Frame(Path("a.png"), None, 0, 0.0, 1, (200, 284), 1, np.zeros((200, 284, 3), np.uint8))
    found = Predicted(frame, np.array([[0, 0, 80, 80.0]]), np.ones(1), points, scores, 0)
    seen = {}
    for labels in (False, True):
        folder = tmp_path / str(labels)
        folder.mkdir()
        pictures = PredictPictures(folder, SKELETON, pictures=True, crops=False, labels=labels)
        name, _ = pictures.add(found)
        seen[labels] = cv2.imread(str(folder / name))
    assert seen[False].shape == (451, 640, 3)
    assert seen[True].shape == (901, 1280, 3)
    for labels, side in ((False, 640), (True, 1280)):
        x, y = (np.array([40.5, 30.5]) * side / 284 - 0.5).round().astype(int)
        assert seen[labels][y, x].max() > 100


def test_boxes_are_drawn_if_no_lines_join_the_keypoints(tmp_path):
    dots = Skeleton("dots", ("a", "b"), (), (), (0.1, 0.1))
    frame = Frame(Path("a.png"), None, 0, 0.0, 1, (700, 700), 1, np.zeros((700, 700, 3), np.uint8))
    points, scores = np.full((1, 2, 2), 300.0), np.ones((1, 2))
    found = Predicted(frame, np.array([[100, 100, 400, 400.0]]), np.ones(1), points, scores, 0)
    pictures = PredictPictures(tmp_path, dots, pictures=True, crops=False)
    name, _ = pictures.add(found)
    assert cv2.imread(str(tmp_path / name))[100, 200:400].min() > 100
