"""keypoint predict as a user runs it, in this process."""

import json
import os
import signal
import time

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from keypoint.data.images.read import read_image, warp
from keypoint.drawing.persons import heatmap_sheet
from keypoint.evaluation.coco import evaluate_coco
from keypoint.models import SimpleBaseline
from keypoint.prediction.output import PredictOutput
from keypoint.prediction.predictor import Predictor
from keypoint.prediction.stream import whole_image
from keypoint.prediction.tracking import OneEuro, Tracker
from tests import forked, tiny_coco, tiny_network
from tests.calling import tool, words
from tests.data.test_containers import edit, retime
from tests.data.test_containers import write as write_video
from tests.prediction import made_up_camera, random_detector

THRESHOLD = 0.3  # that some boxes of random weights reach


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Of a network that is sure of something: about half of its scores are above 0.2."""

    @torch.no_grad()
    def louder(model):
        model.final_layer.weight.mul_(250)

    return tiny_network.checkpoint(tmp_path_factory.mktemp("network") / "best.pt", louder)


@pytest.fixture
def predict(checkpoint, tmp_path, monkeypatch):
    """Runs the command with a checkpoint, into the folder `out`."""
    tiny_network.load_once(monkeypatch)
    monkeypatch.chdir(tmp_path)

    def run(*arguments, output="out", weights=checkpoint):
        common = ["--checkpoint", weights, "--output", output, "--device", "cpu"]
        return tool("predict", *common, *arguments)

    return run


def picture(path, seed=0, size=(120, 160)):
    noise = np.random.default_rng(seed).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    path.parent.mkdir(exist_ok=True, parents=True)
    cv2.imwrite(str(path), cv2.resize(noise, size[::-1]))
    return path


def records(folder):
    return [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]


def report(folder, name="predict"):
    return json.loads((folder / "data_report.json").read_text())[name]


def test_images_as_the_predictor_sees_them(predict, tmp_path, checkpoint):
    for seed, name in enumerate(("in/a.jpg", "in/a.png", "in/below/ü 人.png")):
        picture(tmp_path / name, seed)
    assert predict("--whole-image", "--pictures", "in") == 0
    found = records(tmp_path / "out")
    assert [r["file"] for r in found] == ["in/a.jpg", "in/a.png", "in/below/ü 人.png"]
    assert [r["image_id"] for r in found] == [1, 2, 3]
    predictor = Predictor.from_checkpoint(checkpoint, "cpu")
    for record in found:
        expected = predictor(read_image(tmp_path / record["file"]))
        np.testing.assert_allclose(record["keypoints"], expected.keypoints, atol=6e-4)
        np.testing.assert_allclose(record["scores"], expected.scores, atol=1e-5)
        assert (record["width"], record["height"], record["frame"]) == (160, 120, None)
        drawn = cv2.imread(str(tmp_path / "out" / record["picture"]))
        assert drawn.shape == (480, 640, 3)  # a small image is enlarged
    assert [r["picture"] for r in found] == [
        "pictures/000001_a.jpg", "pictures/000002_a.jpg", "pictures/000003_ü 人.jpg",
    ]  # fmt: skip
    results = json.loads((tmp_path / "out/results.json").read_text())
    for result, record in zip(results, found, strict=True):
        triples = np.reshape(result["keypoints"], (17, 3))
        np.testing.assert_array_equal(triples[:, :2].round(3), record["keypoints"][0])
        np.testing.assert_array_equal(triples[:, 2].round(6), record["scores"][0])
        assert (result["image_id"], result["category_id"]) == (record["image_id"], 1)


def test_the_same_with_any_batching(predict, tmp_path):
    for seed in range(5):
        picture(tmp_path / f"in/{seed}.png", seed, (100 + seed, 90))
    assert predict("--whole-image", "--batch-size", 1, "--threads", 1, "in", output="one") == 0
    assert predict("--whole-image", "--batch-size", 3, "--threads", 4, "in", output="two") == 0
    for one, two in zip(records(tmp_path / "one"), records(tmp_path / "two"), strict=True):
        np.testing.assert_allclose(one.pop("keypoints"), two.pop("keypoints"), atol=1e-5)
        np.testing.assert_allclose(one.pop("scores"), two.pop("scores"), atol=1e-5)
        assert one == two


def test_annotated_persons_and_boxes_as_test_py_has_them(predict, tmp_path, checkpoint, capsys):
    """The same boxes give the same results; the file can be scored."""
    file, images = tiny_coco.write(tmp_path / "data", tiny_coco.content())
    assert predict("--annotations", file, images) == 0
    assert evaluate_coco(file, tmp_path / "out/results.json")["AP"] >= 0
    test = ["--checkpoint", checkpoint, "--device", "cpu", f"data.root={tmp_path / 'data'}"]
    test += ["test.flip=false", "test.oks_nms=null", "data.workers=0", f"output={tmp_path / 'test'}"]  # fmt: skip
    assert tool("test", *test) == 0
    ours = json.loads((tmp_path / "out/results.json").read_text())
    theirs = json.loads((tmp_path / "test/results.json").read_text())
    assert len(ours) == len(theirs) == 8
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one["keypoints"], other["keypoints"], atol=1e-4)
        assert one["score"] == pytest.approx(other["score"], abs=1e-5)
        assert one["image_id"] == other["image_id"]

    boxes = [
        {"image_id": 100, "category_id": 1, "bbox": [5, 5, 40, 60], "score": 0.9},
        {"image_id": 100, "category_id": 1, "bbox": [5, 5, 40, 60], "score": 0.1},
        {"image_id": 101, "category_id": 1, "bbox": [900, 5, 40, 60], "score": 0.9},
        {"image_id": 102, "category_id": 1, "bbox": [5, 5, 0, 60], "score": 0.9},
        {"image_id": 103, "category_id": 1, "bbox": [5, 5, 40, 60], "score": 0.9},
    ]
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    three = [images / f"{key:012d}.png" for key in (100, 101, 102)]
    common = ["--annotations", file, "--boxes", "boxes.json", "--box-threshold", 0.5]
    assert predict(*common, *three, output="boxes") == 3
    said = capsys.readouterr()
    words = "000000000101.png: box 2 [900.0, 5.0, 40.0, 60.0] of boxes.json is completely outside the image"
    assert f"{words} of 160 x 120 pixels and left out" in said.err
    assert "1 of 3 files could not be used, or not completely" in said.err
    assert "5 persons = 1 used + 4 skipped (1 with a score under 0.5, " in said.out
    found = report(tmp_path / "boxes")
    assert (found["total"], found["used"]) == (5, 1)
    assert found["images"] == {"total": 3, "used": 3, "skipped": {}}
    assert [fault["reason"] for fault in found["listed"]] == ["completely outside their image"]
    assert found["skipped"] == {
        "with a score under 0.5": 1,
        "with a bbox without area": 1,
        "completely outside their image": 1,
        "on an image that is not an input": 1,
    }
    assert [len(r["boxes"]) for r in records(tmp_path / "boxes")] == [1, 0, 0]


def test_the_two_files_of_detect_boxes_are_enough(predict, tmp_path):
    """As they are written, for a folder without annotations."""
    detector = f"{random_detector.NAME}:{random_detector.write(tmp_path / 'detector.pth')}"
    for name, size in (("new/a.png", (120, 160)), ("new/b/c.png", (90, 100))):
        picture(tmp_path / name, size=size)
    options = ["--detector", detector, "--box-threshold", THRESHOLD, "--device", "cpu"]
    assert tool("detect-boxes", "--images", "new", "--output", "boxes.json", *options) == 0
    assert predict("--annotations", "boxes_images.json", "--boxes", "boxes.json", "new") == 0
    assert {r["image_id"] for r in records(tmp_path / "out")} == {1, 2}


def test_boxes_without_keypoints_are_persons(predict, tmp_path):
    data = tiny_coco.content(num_images=2)
    del data["categories"][0]["keypoints"]
    for entry in data["annotations"]:
        del entry["keypoints"], entry["num_keypoints"]
    data["annotations"][0]["iscrowd"] = 1
    data["annotations"][1]["bbox"][2] = 0
    file, images = tiny_coco.write(tmp_path / "data", data)
    assert predict("--annotations", file, images) == 0
    assert [len(r["boxes"]) for r in records(tmp_path / "out")] == [0, 2]
    skipped = {"crowd": 1, "with a bbox without area inside its image": 1}
    found = report(tmp_path / "out")
    assert (found["total"], found["used"], found["skipped"]) == (4, 2, skipped)


def test_a_broken_image_under_annotations_takes_its_persons_with_it(predict, tmp_path, capsys):
    file, images = tiny_coco.write(tmp_path / "data", tiny_coco.content())
    (images / "000000000101.png").write_bytes(b"")
    picture(images / "other.png")
    assert predict("--annotations", file, images) == 3
    said = capsys.readouterr()
    assert "000000000101.png: not a JPEG, PNG, BMP or WebP image (0 bytes)" in said.err
    assert "1 of 5 files could not be used" in said.err
    found = report(tmp_path / "out")
    assert found["skipped"] == {"on an image that could not be read": 2}
    assert found["images"]["skipped"] == {"not in the annotation file": 1, "that cannot be read": 1}
    assert {e["reason"] for e in found["listed"]} == {*found["images"]["skipped"]}
    assert {r["image_id"] for r in records(tmp_path / "out")} == {100, 102, 103}


def test_ids_of_annotations_without_their_persons(predict, tmp_path):
    file, images = tiny_coco.write(tmp_path / "data", tiny_coco.content())
    assert predict("--annotations", file, "--whole-image", images) == 0
    found = records(tmp_path / "out")
    assert [r["image_id"] for r in found] == [100, 101, 102, 103]
    assert all(r["boxes"] == [[0, 0, 160, 120]] for r in found)


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    file = random_detector.write(tmp_path_factory.mktemp("weights") / "detector.pth")
    return f"{random_detector.NAME}:{file}"


def test_a_detectors_persons_and_none(predict, tmp_path, detector):
    for seed in range(2):
        picture(tmp_path / f"in/{seed}.png", seed)
    assert predict("--detector", detector, "--box-threshold", THRESHOLD, "in") == 0
    found = records(tmp_path / "out")
    assert len(found) == 2
    assert sum(len(r["boxes"]) for r in found) == report(tmp_path / "out")["used"] > 2
    for record in found:
        assert all(THRESHOLD <= score <= 1 for score in record["box_scores"])
        assert np.shape(record["keypoints"])[1:] in ((17, 2), ())
    assert predict("--detector", detector, "--box-threshold", 1, "in", output="none") == 0
    assert [r["boxes"] for r in records(tmp_path / "none")] == [[]] * 2
    assert [r["keypoints"] for r in records(tmp_path / "none")] == [[]] * 2
    assert json.loads((tmp_path / "none/results.json").read_text()) == []


def test_videos_with_images(predict, tmp_path, capsys):
    picture(tmp_path / "in/a.jpg")
    odd = write_video(tmp_path / "in/b", number=7, size=(49, 65))
    cut = write_video(tmp_path / "in/c", number=20, size=(49, 65))
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    (tmp_path / "in/d.mp4").write_bytes(b"")
    varying = retime(write_video(tmp_path / "in/e", number=9), [0.04] * 5 + [0.2] * 4)
    edit(varying, (0.04, 0.56))  # trimmed: frames 1 to 6 are shown
    assert predict("--whole-image", "--pictures", "in") == 3
    said = capsys.readouterr()
    assert "c.avi: states 20 frames, " in said.err
    assert "d.mp4: not a video (0 bytes" in said.err
    found = records(tmp_path / "out")
    assert [r["image_id"] for r in found] == list(range(1, len(found) + 1))
    assert [r["frame"] for r in found[:9]] == [None, *range(7), 0]
    frames = report(tmp_path / "out", "frames")
    assert (frames["total"], frames["used"]) == (33, len(found) - 1)
    files = report(tmp_path / "out")["images"]
    assert (files["total"], files["used"]) == (5, 4)
    assert files["skipped"] == {"that cannot be read": 1}
    drawn = cv2.VideoCapture(str(tmp_path / "out" / found[1]["picture"]))
    assert drawn.get(cv2.CAP_PROP_FRAME_COUNT) == 7
    assert drawn.read()[1].shape == (49, 65, 3)
    assert odd.name == "b.avi"
    assert len(list((tmp_path / "out/pictures").iterdir())) == 4
    assert "e.mp4" not in said.err
    times = [r["seconds"] for r in found[-6:]]
    np.testing.assert_allclose(times, [0, 0.04, 0.08, 0.12, 0.16, 0.36], atol=1e-3)
    drawn = cv2.VideoCapture(str(tmp_path / "out" / found[-1]["picture"]))
    assert drawn.get(cv2.CAP_PROP_FRAME_COUNT) == 10  # 0.36 s and the last frame


def test_persons_of_a_video_are_numbered_and_smoothed(predict, tmp_path):
    for name in ("a", "b"):
        write_video(tmp_path / name, 3)  # 48 x 64, 25 frames a second
    picture(tmp_path / "c.png")
    assert predict("--whole-image", "a.mp4", output="plain") == 0
    assert predict("--whole-image", "--track", "a.mp4", "b.mp4", "c.png", output="track") == 0
    assert predict("--whole-image", "--smooth", "--pictures", "a.mp4", output="smooth") == 0
    plain, tracked, smooth = (records(tmp_path / name) for name in ("plain", "track", "smooth"))
    assert "ids" not in plain[0]
    assert "ids" not in tracked[6]  # the image
    assert [r["frame"] for r in tracked] == [0, 1, 2, 0, 1, 2, None]
    assert [r["seconds"] for r in plain] == [pytest.approx(i / 25) for i in range(3)]
    tracker, one = Tracker(tiny_network.SKELETON.oks_sigmas), {}
    for i, record in enumerate(plain):
        points, scores = np.array(record["keypoints"]), np.array(record["scores"])
        ids = tracker.update(i / 25, points, scores, np.array(record["boxes"]))
        assert tracked[i]["keypoints"] == tracked[i + 3]["keypoints"] == record["keypoints"]
        assert tracked[i]["ids"] == tracked[i + 3]["ids"] == smooth[i]["ids"] == ids.tolist()
        smoothing = one.setdefault(ids[0], OneEuro())
        expected = smoothing(i / 25, points[0], scores[0] > 0.2, (48 * 64) ** 0.5)
        np.testing.assert_allclose(smooth[i]["keypoints"][0], expected, atol=2e-3)
    assert 0.2 < np.mean([np.array(r["scores"]) > 0.2 for r in plain]) < 0.8
    assert np.abs(np.array(smooth[2]["keypoints"]) - plain[2]["keypoints"]).max() > 0.01
    results = json.loads((tmp_path / "smooth" / "results.json").read_text())
    np.testing.assert_allclose(
        np.array(results[2]["keypoints"]).reshape(17, 3)[:, :2],
        smooth[2]["keypoints"][0],
        atol=6e-4,  # records have three decimals
    )


def test_a_camera_until_ctrl_c(predict, tmp_path, monkeypatch, capsys):
    images = [cv2.imread(str(picture(tmp_path / f"{i}.png", i))) for i in range(4)]

    taken = made_up_camera.install(monkeypatch, images, frames=5)
    assert predict("--whole-image", "--track", "--pictures", "camera") == 0
    found = records(tmp_path / "out")
    assert [r["frame"] for r in found] == list(range(5))
    assert {r["file"] for r in found} == {"camera"}
    moments = np.array([moment for moment, _ in taken])
    np.testing.assert_allclose([r["seconds"] for r in found], moments - moments[0], atol=1e-6)
    assert len(json.loads((tmp_path / "out" / "results.json").read_text())) == 5
    frames = report(tmp_path / "out", "frames")
    assert frames["used"] == 5
    assert frames["total"] == 5 + sum(frames["skipped"].values())
    drawn = cv2.VideoCapture(str(tmp_path / "out" / found[0]["picture"]))  # as long as it took
    assert abs(drawn.get(cv2.CAP_PROP_FRAME_COUNT) - found[-1]["seconds"] * 20 - 1) <= 1
    assert "SIGINT" in capsys.readouterr().err


def test_a_camera_until_sigterm_has_everything_and_its_status(predict, tmp_path, monkeypatch):
    images = [cv2.imread(str(picture(tmp_path / "0.png")))]
    made_up_camera.install(monkeypatch, images, frames=2, number=signal.SIGTERM)
    assert predict("--whole-image", "camera") == 143
    assert len(records(tmp_path / "out")) == 2
    assert len(json.loads((tmp_path / "out" / "results.json").read_text())) == 2


def test_labels_and_numbers_are_on_the_pictures_if_asked_for(predict, tmp_path):
    write_video(tmp_path / "a", 2, size=(240, 320))
    picture(tmp_path / "b.png", size=(240, 320))
    drawn = {}
    for name, options in {"plain": [], "labels": ["--labels"], "track": ["--track"]}.items():
        assert predict("--whole-image", "--pictures", *options, "a.mp4", "b.png", output=name) == 0
        video, image = (records(tmp_path / name)[i]["picture"] for i in (0, 2))
        _, frame = cv2.VideoCapture(str(tmp_path / name / video)).read()
        drawn[name] = frame, cv2.imread(str(tmp_path / name / image))

    def differ(name, which):
        height, width = drawn[name][which].shape[:2]  # enlarged for names
        plain = cv2.resize(drawn["plain"][which], (width, height), interpolation=cv2.INTER_CUBIC)
        return (cv2.absdiff(drawn[name][which], plain).max(axis=2) > 60).mean()

    assert drawn["labels"][1].shape == (960, 1280, 3)

    assert differ("labels", 1) > 0.004
    assert differ("labels", 0) > 0.005
    assert differ("track", 0) > 0.001  # a box and a number
    assert differ("track", 1) == 0


def test_crops_with_their_heatmaps(predict, tmp_path, checkpoint):
    picture(tmp_path / "in" / "a.png")
    picture(tmp_path / "in" / "b.png", 1)
    boxes = [[10.0, 20.0, 60.0, 80.0], [50.0, 5.0, 70.0, 100.0], [0.0, 0.0, 100.0, 90.0]]
    content = tiny_coco.content(2)
    for entry, key, name in zip(content["images"], (7, 9), "ab", strict=True):
        entry |= {"id": key, "file_name": f"{name}.png"}
    del content["annotations"]
    (tmp_path / "ids.json").write_text(json.dumps(content))
    found = [
        {"image_id": key, "category_id": 1, "bbox": bbox, "score": 0.9}
        for key, bbox in zip((7, 9, 9), boxes, strict=True)
    ]
    (tmp_path / "boxes.json").write_text(json.dumps(found))
    named = ["--annotations", "ids.json", "--boxes", "boxes.json", "in"]
    assert predict("--crops", "--flip", "--batch-size", "2", *named) == 0
    assert predict("--flip", *named, output="plain") == 0
    with_crops, without = records(tmp_path / "out"), records(tmp_path / "plain")
    assert [r["crops"] for r in with_crops] == [
        ["crops/000007_a_0.jpg"], ["crops/000009_b_0.jpg", "crops/000009_b_1.jpg"],
    ]  # fmt: skip
    assert "crops" not in without[0]
    predictor = Predictor.from_checkpoint(checkpoint, "cpu", flip=True)
    for a, b in zip(with_crops, without, strict=True):
        np.testing.assert_allclose(a["keypoints"], b["keypoints"], atol=1e-5)
        np.testing.assert_allclose(a["scores"], b["scores"], atol=1e-5)
        image = read_image(tmp_path / a["file"])
        frame = predictor.crop_frame(np.array(a["boxes"]))
        for matrix, name in zip(frame.matrices(), a["crops"], strict=True):
            drawn = cv2.cvtColor(cv2.imread(str(tmp_path / "out" / name)), cv2.COLOR_BGR2RGB)
            crop = warp(image, matrix, frame.input_size)
            heatmaps = predictor.predict_heatmaps(torch.from_numpy(crop)[None])[0].numpy()
            expected = heatmap_sheet(crop, heatmaps, tiny_network.SKELETON)
            assert drawn.shape == expected.shape
            assert np.abs(drawn.astype(int) - expected).mean() < 6  # JPEG


def test_overwrite_takes_the_old_pictures_along(predict, tmp_path):
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png")
    assert predict("--whole-image", "--pictures", "--crops", "a.png") == 0
    own = tmp_path / "out" / "pictures" / "mine.txt"
    own.write_text("stays")
    assert predict("--whole-image", "--pictures", "--overwrite", "b.png") == 0
    left = sorted(
        p.name for p in (tmp_path / "out").rglob("*") if p.parent.name in ("pictures", "crops")
    )
    assert left == ["000001_b.jpg", "mine.txt"]


def test_compiled_it_finds_the_same(predict, tmp_path, monkeypatch):
    """By dynamo alone, as compiling for this machine takes half a minute."""
    compile_ = SimpleBaseline.compile
    monkeypatch.setattr(
        SimpleBaseline,
        "compile",
        lambda self, **options: compile_(self, backend="eager", **options),
    )
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    for i in range(5):
        picture(tmp_path / "in" / f"{i}.png", i)
    assert predict("--whole-image", "in", output="eager") == 0
    assert predict("--whole-image", "--compile", "--flip", "--batch-size", "2", "in") == 0
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1  # whatever is in a batch
    assert predict("--whole-image", "--flip", "in", output="flip") == 0
    for a, b in zip(records(tmp_path / "out"), records(tmp_path / "flip"), strict=True):
        np.testing.assert_allclose(a["keypoints"], b["keypoints"], atol=1e-4)


def test_photos_are_turned_upright_and_that_is_said(predict, tmp_path, capsys):
    exif = Image.Exif()
    exif[0x0112] = 6
    names = ["a.jpg", "b.png", "c.webp"]
    for name in names:
        Image.fromarray(np.full((60, 90, 3), 90, np.uint8)).save(tmp_path / name, exif=exif)
    assert predict("--whole-image", *names) == 0
    for record in records(tmp_path / "out"):
        assert (record["width"], record["height"], record["exif_orientation"]) == (60, 90, 6)
    assert "3 images turned upright by EXIF orientation" in capsys.readouterr().out


def test_a_network_that_is_never_sure_is_named(predict, tmp_path, capsys):
    picture(tmp_path / "a.png")
    said = "warning: no keypoint has a score above 0.2, so none is drawn"
    assert predict("--whole-image", "a.png", output="sure") == 0
    assert said not in capsys.readouterr().out
    weak = tiny_network.checkpoint(tmp_path / "weak.pt")
    assert predict("--whole-image", "a.png", weights=weak) == 0
    assert said in capsys.readouterr().out


def test_images_on_which_the_detector_finds_no_person_are_named(predict, tmp_path, capsys):
    for number in range(5):
        picture(tmp_path / f"in/{number}.png", number)
    assert predict("--detector", "hog", "in", "--box-threshold", 1) == 0
    said = "no person found on 5 of 5 images: in/0.png, in/1.png, in/2.png and 2 more, all in data_report.json"
    assert capsys.readouterr().out.splitlines()[-1] == said
    listed = report(tmp_path / "out")["listed"]
    assert [(one["file"], one["reason"]) for one in listed] == [
        (f"in/{number}.png", "no person found") for number in range(5)
    ]
    assert said in (tmp_path / "out/log.txt").read_text()
    assert predict("--detector", "hog", "in/0.png", output="single") == 0
    said = "no person found on 1 of 1 image: in/0.png"
    assert capsys.readouterr().out.splitlines()[-1] == said
    assert predict("--whole-image", "in", output="whole") == 0
    assert "no person found" not in capsys.readouterr().out
    assert "listed" not in report(tmp_path / "whole")


def test_frames_on_which_the_detector_finds_no_person_are_counted(predict, tmp_path, capsys):
    for name, frames in (("a", 3), ("b", 2)):
        write_video(tmp_path / name, frames)
    assert predict("--detector", "hog", "a.mp4", "b.mp4", "--box-threshold", 1) == 0
    said = [
        "no person found on 3 of 3 frames of a.mp4",
        "no person found on 2 of 2 frames of b.mp4",
    ]
    assert capsys.readouterr().out.splitlines()[-2:] == said
    listed = report(tmp_path / "out")["listed"]
    assert [(one["file"], one["text"]) for one in listed] == [
        ("a.mp4", "on 3 of 3 frames"),
        ("b.mp4", "on 2 of 2 frames"),
    ]


def test_images_are_counted_and_stop_while_results_wait_for_a_batch(
    predict, tmp_path, capsys, monkeypatch
):
    for number in range(9):
        picture(tmp_path / f"in/{number}.png", number)

    def stopping(frames):
        if frames[0].path.name == "4.png":  # of the second four
            os.kill(os.getpid(), signal.SIGINT)
        return whole_image(frames)

    monkeypatch.setattr("keypoint.commands.predict.whole_image", stopping)
    assert predict("--whole-image", "in") == 130
    said = capsys.readouterr().err
    assert "predict: 8/9" in said
    assert "stopped by SIGINT; records.jsonl contains the results until then" in said
    assert [record["file"] for record in records(tmp_path / "out")] == [
        f"in/{number}.png" for number in range(8)
    ]


def test_12_bit_data_in_16_bits_are_used_and_said(predict, tmp_path, capsys):
    ramp = np.linspace(0, 1, 60 * 90).reshape(60, 90)
    for name, most in {"a.png": 4095, "b.png": 65535}.items():
        cv2.imwrite(str(tmp_path / name), (ramp * most).astype(np.uint16))
    assert predict("--whole-image", "a.png", "b.png") == 0
    assert "warning: 1 image nearly black (12-bit data?): 16 bits" in capsys.readouterr().out


def test_results_are_not_overwritten_unasked(predict, tmp_path, capsys):
    picture(tmp_path / "a.png")
    assert predict("--whole-image", "a.png") == 0
    before = (tmp_path / "out/records.jsonl").read_text()
    assert predict("--whole-image", "a.png") == 2
    assert "out already contains results.json and records.jsonl; give" in capsys.readouterr().err
    assert (tmp_path / "out/records.jsonl").read_text() == before
    picture(tmp_path / "b.png", 1)
    assert predict("--whole-image", "--overwrite", "a.png", "b.png") == 0
    assert len(records(tmp_path / "out")) == 2
    file, images = tiny_coco.write(tmp_path / "data", tiny_coco.content())
    boxes = tmp_path / "out/results.json"
    common = ["--overwrite", "--annotations", file, "--boxes", boxes, images]
    assert predict(*common) == 2
    assert "results.json is an input and would be overwritten" in capsys.readouterr().err
    assert len(json.loads(boxes.read_text())) == 2


def test_nothing_is_left_of_a_run_that_used_nothing(predict, tmp_path, capsys):
    (tmp_path / "a.png").write_bytes(b"")
    assert predict("--whole-image", "a.png") == 3
    assert "there are no results" in capsys.readouterr().err
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["data_report.json", "log.txt"]
    picture(tmp_path / "a.png")
    assert predict("--whole-image", "a.png") == 0


def test_broken_weights_are_refused_and_the_image_is_named(tmp_path, capsys):
    def break_it(model):
        for weights in model.deconv_layers.parameters():  # finite, so the file itself is in order
            weights.data.mul_(1e20)

    file = tiny_network.checkpoint(tmp_path / "broken.pt", break_it)
    picture(tmp_path / "a b.png")
    arguments = ["--checkpoint", file, "--output", tmp_path / "out", "--device", "cpu"]
    assert tool("predict", *arguments, "--whole-image", tmp_path / "a b.png") == 5
    said = capsys.readouterr().err
    assert "1 person are nan or inf" in said
    assert "a b.png" in said
    assert not (tmp_path / "out/results.json").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["--whole-image", "http://127.0.0.1:9/a.jpg"], 2, "URLs are not downloaded"),
        (["--boxes", "b.json", "a.png"], 2, "also give --annotations"),
        (["--detector", "yolo", "a.png"], 2, "neither a file nor the name of a detector; give"),
        (["--whole-image", "--box-threshold", "0.5", "a.png"], 2, "--box-threshold has no effect"),
        (["--whole-image", "--device", "tpu", "a.png"], 2, "device='tpu' is unknown"),
        (
            ["--whole-image", "--smooth", "a.png"],
            2,
            "--smooth has no effect here, because no input is a",
        ),
        (["--whole-image", "--labels", "a.png"], 2, "--labels has no effect without --pictures"),
        (
            ["--whole-image", "--track", "a.png"],
            2,
            "--track has no effect here, because no input is a",
        ),
        (["--whole-image", "camera:1", "a.png"], 2, "camera:1: a camera must be the only input"),
        (["--whole-image", "--compile", "camera"], 2, "--compile with a camera: each frame is"),
        (["--whole-image", "nowhere.png"], 3, "nowhere.png: no such file"),
        (["--whole-image", "camera:97"], 3, "camera:97 cannot be opened"),
        (["--detector", "fasterrcnn_resnet50_fpn_v2:no.pth", "a.png"], 4, "no.pth"),
    ],
)
def test_refused_before_anything_is_read(predict, tmp_path, capsys, arguments, status, text):
    picture(tmp_path / "a.png")
    assert predict(*arguments) == status
    said = capsys.readouterr().err
    assert text in said
    assert said.count("\n") <= 3
    assert not (tmp_path / "out/records.jsonl").exists()


def test_an_output_that_cannot_be_written_is_refused_before_anything_is_read(
    predict, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("keypoint.prediction.inputs.frames.read_upright", None)
    picture(tmp_path / "a.png")
    (tmp_path / "file").write_bytes(b"")
    for output in ("file", "/proc/nothing/out"):
        assert predict("--whole-image", "a.png", output=output) == 2
        assert "cannot make the folder" in capsys.readouterr().err


def test_a_full_disk_is_an_error_and_keeps_what_is_done(predict, tmp_path, capsys, monkeypatch):
    for seed in range(2):
        picture(tmp_path / f"{seed}.png", seed)
    add = PredictOutput.add

    def with_little_space(self, predicted):
        if predicted.frame.image_id == 2:
            self._records = open("/dev/full", "w")  # noqa: SIM115, PTH123
        add(self, predicted)

    monkeypatch.setattr(PredictOutput, "add", with_little_space)
    assert predict("--whole-image", "0.png", "1.png") == 2
    assert "records.jsonl: cannot be written (No space left on device)" in capsys.readouterr().err
    assert len(records(tmp_path / "out")) == 1


def test_odd_file_names(predict, tmp_path):
    names = ["-x.jpg", "a\nb.jpg", "50%d.jpg", 'it\'s "q".jpg', "\x1b[31m.jpg", "人" * 83 + ".jpg"]
    content = picture(tmp_path / "plain.jpg").read_bytes()
    (tmp_path / "in").mkdir()
    for name in names:
        (tmp_path / "in" / name).write_bytes(content)
    with open(os.fsencode(str(tmp_path / "in")) + b"/caf\xe9.jpg", "wb") as file:  # noqa: PTH123
        file.write(content)
    with open(os.fsencode(str(tmp_path / "in")) + b"/\xff.png", "wb") as file:  # noqa: PTH123
        file.write(b"broken")
    assert predict("--whole-image", "--pictures", "in") == 3
    found = records(tmp_path / "out")
    assert sorted(r["file"] for r in found) == sorted(
        f"in/{name}" for name in (*names, os.fsdecode(b"caf\xe9.jpg"))
    )
    for name in (tmp_path / "out/pictures").iterdir():
        assert str(name).isprintable()
    assert len({r["picture"] for r in found}) == 7
    (listed,) = report(tmp_path / "out")["listed"]
    assert listed["name"] == "in/\\udcff.png"
    assert predict("--whole-image", "--", "in/-x.jpg", output="dash") == 0


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_leaves_whole_records(tmp_path, checkpoint, number, status):
    content = picture(tmp_path / "in/0.jpg").read_bytes()
    for i in range(1, 3000):
        (tmp_path / f"in/{i}.jpg").write_bytes(content)
    command = words("predict", "--checkpoint", checkpoint, "--device", "cpu")
    command += ["--whole-image", "--batch-size", "1", "--output", tmp_path / "out", tmp_path / "in"]
    with (tmp_path / "stderr.txt").open("w") as stderr:
        process = forked.start(command, stderr=stderr)
    lines = tmp_path / "out/records.jsonl"
    for _ in range(600):
        if lines.exists() and lines.stat().st_size:
            break
        time.sleep(0.1)
    process.send_signal(number)
    found = process.wait(timeout=60)
    said = (tmp_path / "stderr.txt").read_text()
    assert found == status, said
    assert "Traceback" not in said
    assert records(tmp_path / "out")
    left = {p.name for p in (tmp_path / "out").iterdir()}
    assert left == {"records.jsonl", "log.txt"}


def test_a_stopped_video_is_drawn_as_far_as_it_was_read(predict, tmp_path, monkeypatch):
    write_video(tmp_path / "a", 30)
    add = PredictOutput.add

    def stopping(self, predicted):
        add(self, predicted)
        if predicted.frame.number == 4:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(PredictOutput, "add", stopping)
    assert predict("--whole-image", "--pictures", "--batch-size", 1, "a.mp4") == 130
    found = records(tmp_path / "out")
    assert 5 <= len(found) < 30
    drawn = cv2.VideoCapture(str(tmp_path / "out" / found[0]["picture"]))
    assert drawn.get(cv2.CAP_PROP_FRAME_COUNT) == len(found)
