"""Boxes against torchvision's own answer, from a file of random weights; the file is what test.py takes."""

import dataclasses
import json
import socket
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torchvision.models import detection

from keypoint.data.boxes import load_boxes
from keypoint.errors import CheckpointError, ConfigError, DataError, NumericsError
from keypoint.prediction import detector
from keypoint.prediction.detector import load_detector
from keypoint.prediction.inputs.image_list import list_folder, read_image_list
from keypoint.prediction.persons.detected import detect_boxes
from tests import tiny_coco, tiny_network
from tests.calling import tool
from tests.prediction import random_detector
from tests.prediction.random_detector import NAME
from tests.prediction.test_hog import street


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return random_detector.write(tmp_path_factory.mktemp("weights") / "detector.pth")


@pytest.fixture
def data(tmp_path):
    content = tiny_coco.content()
    content["categories"] = [{"id": 3, "name": "dog"}, content["categories"][0] | {"id": 77}]
    for entry in content["annotations"]:
        entry["category_id"] = 77
    return tiny_coco.write(tmp_path, content)


def test_the_command_gives_torchvisions_boxes_in_the_form_that_test_takes(
    weights, data, tmp_path, capsys
):
    annotations, images = data
    output = tmp_path / "boxes.json"
    arguments = ["--annotations", annotations, "--images", images, "--output", output]
    arguments += ["--detector", f"{NAME}:{weights}", "--box-threshold", "0.3", "--device", "cpu", "--batch-size", "3"]  # fmt: skip
    assert tool("detect-boxes", *arguments) == 0
    boxes = json.loads(output.read_text())

    model = random_detector.build(box_score_thresh=0.3)
    model.load_state_dict(torch.load(weights, weights_only=True))
    model.eval()
    entries = json.loads(annotations.read_text())["images"]
    pixels = [cv2.imread(str(images / entry["file_name"]))[..., ::-1].copy() for entry in entries]
    crops = [torch.from_numpy(image).permute(2, 0, 1).float().div(255) for image in pixels]
    with torch.no_grad():
        answers = model(crops[:3]) + model(crops[3:])  # other batches, other order of equal scores
    expected, others = [], 0
    for entry, found in zip(entries, answers, strict=True):
        for box, label, score in zip(found["boxes"], found["labels"], found["scores"], strict=True):
            if label != 1:
                others += 1
                continue
            x1, y1, x2, y2 = box.tolist()
            expected.append((entry["id"], x1, y1, x2 - x1, y2 - y1, score.item()))
    assert len(expected) > 10
    assert others > 0
    given = [(box["image_id"], *box["bbox"], box["score"]) for box in boxes]
    np.testing.assert_allclose(given, expected, atol=1e-3)
    assert {box["category_id"] for box in boxes} == {77}
    shown = capsys.readouterr().out
    total = len(expected) + others
    assert f"4 images, {total} detections = {len(expected)} boxes + {others} of other" in shown

    persons = load_boxes(output, annotations, images, tiny_coco.SKELETON)
    assert persons.report.used == len(boxes)
    np.testing.assert_allclose(persons.bbox_xywh[0], boxes[0]["bbox"])


def test_a_folder_and_an_image_info_without_annotations(weights, data, tmp_path, monkeypatch):
    annotations, images = data
    output = tmp_path / "boxes.json"
    nested = images / "sub" / "more.PNG"
    nested.parent.mkdir()
    nested.write_bytes(next(images.glob("*.png")).read_bytes())
    arguments = ["--images", images, "--output", output, "--detector", f"{NAME}:{weights}"]
    assert tool("detect-boxes", *arguments, "--device", "cpu") == 0
    listed = json.loads((tmp_path / "boxes_images.json").read_text())
    names = {entry["id"]: entry["file_name"] for entry in listed["images"]}
    assert list(names) == [1, 2, 3, 4, 5]
    assert names[5] == "sub/more.PNG"
    assert {(entry["width"], entry["height"]) for entry in listed["images"]} == {(160, 120)}
    assert {box["image_id"] for box in json.loads(output.read_text())} <= set(names)

    content = json.loads(annotations.read_text())
    info = {"images": content["images"], "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "bicycle"}]}  # fmt: skip
    (tmp_path / "info.json").write_text(json.dumps(info))
    assert len(read_image_list(tmp_path / "info.json", images).entries) == 4
    (tmp_path / "info.json").write_text(json.dumps(info | {"images": []}))
    with pytest.raises(DataError, match="'images' is empty"):
        read_image_list(tmp_path / "info.json", images)
    with pytest.raises(DataError, match="no such folder"):
        list_folder(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no image"):
        list_folder(tmp_path / "empty")
    large = np.zeros((1, 1), np.uint8)
    cv2.imwrite(str(tmp_path / "empty" / "large.bmp"), large)
    monkeypatch.setattr("keypoint.data.images.read.MOST_PIXELS", 0)
    with pytest.raises(DataError, match=r"large\.bmp: too large"):
        list_folder(tmp_path / "empty")


def test_a_broken_image_is_named(weights, data):
    annotations, images = data
    broken = sorted(images.glob("*.png"))[2]
    broken.write_bytes(broken.read_bytes()[:100])
    model = load_detector(f"{NAME}:{weights}")
    with pytest.raises(DataError, match=f"{broken.name}: truncated PNG"):
        detect_boxes(model, read_image_list(annotations, images))
    content = json.loads(annotations.read_text())
    content["images"][0]["width"] += 1
    annotations.write_text(json.dumps(content))
    with pytest.raises(DataError, match="its annotations state 161 x 120"):
        detect_boxes(model, read_image_list(annotations, images))


class Fixed(torch.nn.Module):
    """Gives the answers of its list, with torchvision's keys."""

    def __init__(self, *answers):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.roi_heads = torch.nn.Module()
        self.roi_heads.detections_per_img = 3
        self.answers = list(answers)

    def forward(self, pixels):
        made = []
        for _ in pixels:
            labels, boxes, scores = self.answers.pop(0)
            made.append({"labels": torch.tensor(labels, dtype=torch.int64), "boxes": torch.tensor(boxes).reshape(-1, 4), "scores": torch.tensor(scores)})  # fmt: skip
        return made


def test_counts_and_the_detectors_own_limit(data):
    annotations, images = data
    box = [1.0, 2.0, 11.0, 22.0]
    model = Fixed(
        ([1, 2, 1], [box] * 3, [0.9, 0.8, 0.7]), ([], [], []), ([2], [box], [0.5]), ([1], [box], [0.4])
    )  # fmt: skip
    seen = []
    boxes, report = detect_boxes(
        model, read_image_list(annotations, images), batch_size=3, progress=seen.append
    )
    assert [entry["bbox"] for entry in boxes] == [[1.0, 2.0, 10.0, 20.0]] * 3
    assert (report.images, report.found, report.written) == (4, 5, 3)
    assert (report.empty_images, report.full_images) == (2, 1)
    assert "2 images without; 1 at the limit of 3" in str(report)
    assert seen == [3, 1]
    broken = Fixed(([1], [[0.0, 0.0, float("nan"), 1.0]], [0.5]))
    with pytest.raises(NumericsError, match=r"image id 100 .* nan or inf"):
        detect_boxes(broken, read_image_list(annotations, images), batch_size=1)


def test_weights_by_torchvisions_own_api_and_files_that_do_not_fit(
    weights, tmp_path, monkeypatch, capsys
):
    asked = []
    model = Fixed()
    monkeypatch.setattr(detector.detection, NAME, lambda **given: asked.append(given) or model)
    assert load_detector(NAME, score_threshold=0.2) is model
    assert asked == [{"weights": "DEFAULT", "box_score_thresh": 0.2}]
    monkeypatch.undo()

    with pytest.raises(ConfigError, match="yolo: neither a file nor the name of a detector; give"):
        load_detector("yolo")
    with pytest.raises(CheckpointError, match="does not match fasterrcnn_resnet50_fpn_v2"):
        load_detector(str(weights))
    torch.save({"conv.weight": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"not weights of .* \(roi_heads"):
        load_detector(f"{NAME}:{tmp_path / 'other.pth'}")
    torch.save({"model": Path("unsafe")}, tmp_path / "unsafe.pth")
    with pytest.raises(CheckpointError, match="unsafe"):
        load_detector(f"{NAME}:{tmp_path / 'unsafe.pth'}")
    torch.save({"state_dict": torch.load(weights, weights_only=True)}, tmp_path / "wrapped.pth")
    assert not load_detector(f"{NAME}:{tmp_path / 'wrapped.pth'}").training
    state = torch.load(weights, weights_only=True)
    counters = [name for name in state if name.endswith("num_batches_tracked")]
    assert counters  # torchvision's own file, of frozen norms, has none
    torch.save({k: v for k, v in state.items() if k not in counters}, tmp_path / "frozen.pth")
    picture = [torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))]
    with torch.no_grad():
        same = [
            load_detector(f"{NAME}:{path}")(picture)[0]
            for path in (weights, tmp_path / "frozen.pth")
        ]
    assert torch.equal(same[0]["boxes"], same[1]["boxes"])
    cut = {k: v for k, v in state.items() if "fpn" not in k}
    torch.save(cut, tmp_path / "cut.pth")
    with pytest.raises(CheckpointError, match=r"names differ, such as backbone\.fpn"):
        load_detector(f"{NAME}:{tmp_path / 'cut.pth'}")
    broken = state | {"rpn.head.cls_logits.bias": torch.tensor([1.0] * 14 + [float("nan")])}
    torch.save(broken, tmp_path / "nan.pth")
    given = ["--images", tmp_path, "--output", tmp_path / "b.json"]
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 8, 3), np.uint8))
    arguments = [*given, "--detector", f"{NAME}:{tmp_path / 'nan.pth'}", "--device", "cpu"]
    assert tool("detect-boxes", *arguments) == 4
    shown = capsys.readouterr().err
    assert (
        f"nan.pth: rpn.head.cls_logits.bias contains nan or inf (1 of {len(state)} tensors" in shown
    )
    assert not (tmp_path / "b.json").exists()  # it was an empty list, and status 0
    lost = ["--images", str(tmp_path), "--output", str(tmp_path / "no" / "boxes.json")]
    assert tool("detect-boxes", *lost) == 2


def test_every_name_is_torchvisions():
    assert all(callable(getattr(detection, name)) for name in detector.DETECTORS)


def test_a_huge_image_is_shrunk_and_its_boxes_are_not(monkeypatch):
    class Whole(torch.nn.Module):
        """Answers with the whole image that it sees."""

        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, images):
            self.seen = [image.shape[1] * image.shape[2] for image in images]
            corners = [[0, 0, image.shape[2], image.shape[1]] for image in images]
            return [
                {"labels": torch.ones(1), "boxes": torch.tensor([c]), "scores": torch.ones(1)}
                for c in corners
            ]

    monkeypatch.setattr(detector, "LARGE", 5000)
    images = [np.zeros((300, 200, 3), np.uint8), np.zeros((50, 100, 3), np.uint8)]
    model = Whole()
    large, small = detector.detect(model, images, ["a", "b"])
    assert model.seen[0] <= 5000 == model.seen[1]
    np.testing.assert_allclose(large.boxes_xywh, [[0, 0, 200, 300]], atol=4)
    np.testing.assert_array_equal(small.boxes_xywh, [[0, 0, 100, 50]])


@pytest.fixture
def no_cache(tmp_path, monkeypatch):
    """Torchvision finds no weights on this machine, and asks the address that a test sets."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(detector, "DOWNLOAD_TIMEOUT_S", 0.3)
    weights = detection.FasterRCNN_MobileNet_V3_Large_320_FPN_Weights.DEFAULT

    def ask(address):
        monkeypatch.setattr(weights, "_value_", weights.value._replace(url=address) if hasattr(weights.value, "_replace") else dataclasses.replace(weights.value, url=address))  # fmt: skip

    return ask


@pytest.mark.parametrize("kind", ["refuses", "does not answer", "does not resolve", "is no server"])
def test_weights_that_cannot_be_downloaded(kind, no_cache):
    """Each names the remedies; a server that does not answer is given up."""
    before = socket.getdefaulttimeout()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        if kind == "refuses":
            server.close()
        if kind == "is no server":
            threading.Thread(target=_babble, args=[server], daemon=True).start()
        host = "no-such-host.invalid" if kind == "does not resolve" else "127.0.0.1"
        no_cache(f"http://{host}:{port}/weights-12345678.pth")
        with pytest.raises(CheckpointError, match="cannot be downloaded") as caught:
            load_detector(NAME)
    for remedy in (f"--detector {NAME}:FILE", "--detector hog", "--boxes FILE", "--whole-image"):
        assert remedy in str(caught.value)
    assert socket.getdefaulttimeout() == before


def _babble(server):
    connection, _ = server.accept()
    connection.recv(1000)
    connection.sendall(b"hello\r\n\r\n")
    connection.close()


def test_the_commands_take_hog(tmp_path):
    """The same boxes by every command."""
    image, _ = street()
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "a.png"), image[..., ::-1])
    checkpoint = tiny_network.checkpoint(tmp_path / "best.pt")
    common = ["--detector", "hog", "--device", "cpu"]
    given = ["--images", tmp_path / "in", "--output", tmp_path / "b.json", "--box-threshold", 0.5]
    assert tool("detect-boxes", *common, *given) == 0
    boxes = json.loads((tmp_path / "b.json").read_text())
    given = ["--checkpoint", checkpoint, "--output", tmp_path / "out", tmp_path / "in"]
    assert tool("predict", *common, *given) == 0
    record = json.loads((tmp_path / "out" / "records.jsonl").read_text())
    assert len(boxes) == len(record["boxes"]) == 2
    np.testing.assert_allclose(record["boxes"], [box["bbox"] for box in boxes], atol=1e-3)
