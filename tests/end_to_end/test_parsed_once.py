"""A file that was parsed and checked is never parsed again."""

import json
from collections import Counter
from pathlib import Path

import pytest

from tests import tiny_coco
from tests.calling import tool

CONFIG = """
output: {root}/out
data: {{root: {root}, workers: 0}}
model: {{encoder: resnet18, input_size: [64, 64], weights: none}}
train: {{epochs: 2, batch_size: 2, evaluate_every: 1}}
"""


@pytest.fixture
def reads(monkeypatch):
    """How often each file was read to be parsed."""
    counts, read_bytes = Counter(), Path.read_bytes

    def counting(path):
        counts[path.name] += 1
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", counting)
    return counts


def test_training_and_testing_parse_each_annotation_file_once(tmp_path, reads):
    """Two evaluations, then an analysis and pictures with a detector's boxes."""
    data = tiny_coco.content(4, 2)
    for split in ("train2017", "val2017"):
        tiny_coco.write(tmp_path, data, split)
    boxes = [
        {"image_id": a["image_id"], "category_id": 1, "bbox": a["bbox"], "score": 0.7}
        for a in data["annotations"]
    ]
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    (tmp_path / "own.yaml").write_text(CONFIG.format(root=tmp_path))
    assert tool("train", "--cfg", tmp_path / "own.yaml", "--device", "cpu") == 0
    history = json.loads((tmp_path / "out" / "history.json").read_text())
    assert [epoch["metrics"]["AP"] >= 0 for epoch in history] == [True, True]
    once = {"person_keypoints_train2017.json": 1, "person_keypoints_val2017.json": 1}
    assert {name: reads[name] for name in once} == once
    reads.clear()
    status = tool(
        "test", "--checkpoint", tmp_path / "out" / "best.pt", "--device", "cpu", "--analyse",
        "--worst", 2, "--pictures", 2, "--boxes", "truth", "--boxes", tmp_path / "boxes.json",
        f"output={tmp_path / 'test'}", "data.workers=0",
    )  # fmt: skip
    assert status == 0
    assert (tmp_path / "test" / "boxes" / "worst.jpg").is_file()
    assert (reads["person_keypoints_val2017.json"], reads["boxes.json"]) == (1, 1)
