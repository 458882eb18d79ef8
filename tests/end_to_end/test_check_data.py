"""keypoint check-data and keypoint browse-data as a user runs them, in this process."""

import json

import cv2
import pytest

from keypoint.data.synthetic.demo_set import write_demo_set
from tests import tiny_coco
from tests.calling import tool


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    write_demo_set(folder / "data", train_images=6, val_images=3, seed=1)
    (folder / "my.yaml").write_text(f"data: {{root: {folder / 'data'}, workers: 0}}\n")
    return folder


def test_both_splits_and_a_sheet(demo, tmp_path, capsys):
    assert (
        tool("check_data", "--cfg", demo / "my.yaml", f"output={tmp_path}", "data.workers=2") == 0
    )
    printed = capsys.readouterr().out
    assert printed.count("truth as prediction: AP 1.000") == 2
    assert "no fault stops training or testing" in printed
    report = json.loads((tmp_path / "data_report.json").read_text())["check"]
    assert sorted(report) == ["train", "val"]
    for part in report.values():
        assert part["total"] == part["used"] + sum(part["skipped"].values())
        assert part["faults"] == []
    assert cv2.imread(str(tmp_path / "check_data.jpg")).shape[1] > 1000


def test_both_splits_are_reported_even_if_one_is_missing(demo, tmp_path, capsys):
    status = tool(
        "check_data", "--cfg", demo / "my.yaml", f"output={tmp_path}",
        "data.train_annotations=nowhere.json",
    )  # fmt: skip
    printed = capsys.readouterr()
    assert status == 3
    assert "nowhere.json: no such annotation file" in printed.out
    assert "truth as prediction: AP 1.000" in printed.out  # of val
    assert printed.err.strip().splitlines()[-1].startswith("error: 1 fault would stop")


def test_skip_is_judged_as_training_would(tmp_path, capsys):
    data = tiny_coco.content(6, 2)
    data["annotations"][0]["keypoints"] = [1]
    file, images = tiny_coco.write(tmp_path, data)
    command = ["--annotations", file, "--images", images, f"output={tmp_path / 'o'}"]
    command += ["data.workers=0", "--pictures", "0"]
    assert tool("check_data", *command) == 3
    assert tool("check_data", *command, "data.on_bad=skip") == 3  # 1 of 12 is over 0.001
    assert tool("check_data", *command, "data.on_bad=skip", "data.max_bad=0.1") == 0
    assert "FAULT    annotation id 1: keypoints has 1 numbers" in capsys.readouterr().out
    assert not (tmp_path / "o" / "check_data.jpg").exists()


def test_paths_of_flags_count_from_the_current_folder(tmp_path, monkeypatch):
    """As the README has it: your own skeleton next to annotations and images."""
    data = tiny_coco.content(3, 1)
    data["categories"][0]["keypoints"] = [f"k{k}" for k in range(17)]
    tiny_coco.write(tmp_path, data)
    names = ", ".join(data["categories"][0]["keypoints"])
    (tmp_path / "my.yaml").write_text(f"name: my\nkeypoints: [{names}]\npairs: []\nedges: []\n")
    monkeypatch.chdir(tmp_path)
    arguments = ["--annotations", "annotations/person_keypoints_val2017.json"]
    arguments += ["--images", "val2017", "--skeleton", "my.yaml", "--pictures", "0"]
    assert tool("check_data", *arguments, "data.workers=0") == 0


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--annotations", "a.json"],
        ["--cfg", "demo.yaml", "--images", "b"],
        ["--cfg", "demo.yaml", "--skeleton", "coco17"],
    ],
)
def test_half_a_command_is_refused(arguments, capsys):
    assert tool("check_data", *arguments) == 2
    assert "give --cfg FILE, or --annotations FILE and --images FOLDER" in capsys.readouterr().err


def test_boxes_are_checked_and_their_best_ap_is_printed(demo, tmp_path, capsys):
    annotations = demo / "data" / "annotations" / "person_keypoints_val2017.json"
    entries = json.loads(annotations.read_text())["annotations"]
    boxes = [
        {"image_id": e["image_id"], "category_id": 1, "bbox": e["bbox"], "score": 0.9}
        for e in entries
    ]
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    arguments = ["--cfg", demo / "my.yaml", f"output={tmp_path}", "--pictures", "0"]
    assert tool("check_data", *arguments, f"test.boxes={tmp_path / 'boxes.json'}") == 0
    assert "best possible AP with these boxes; truth as prediction: AP 1.000" in (
        capsys.readouterr().out
    )
    boxes[1]["score"] = float("nan")
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    assert tool("check_data", *arguments, f"test.boxes={tmp_path / 'boxes.json'}") == 3
    assert "boxes.json: box 1: score nan" in capsys.readouterr().out


def test_what_a_flag_names_is_looked_for_by_the_flags_name(tmp_path, capsys):
    file, images = tiny_coco.write(tmp_path, tiny_coco.content(2, 1))
    assert tool("check_data", "--annotations", file, "--images", tmp_path / "no") == 3
    error = capsys.readouterr().err
    assert error.startswith(f"error: --images {tmp_path / 'no'}: no such folder")
    assert tool("check_data", "--annotations", tmp_path / "no.json", "--images", images) == 3
    error = capsys.readouterr().err
    assert error == f"error: --annotations {tmp_path / 'no.json'}: no such file; check the path\n"


@pytest.mark.parametrize("codec", ["heatmap", "udp"])
def test_browse(demo, tmp_path, capsys, codec):
    arguments = ["--cfg", demo / "my.yaml", f"output={tmp_path}", f"model.codec={codec}"]
    assert tool("browse_data", *arguments, "--pictures", "2") == 0
    assert "2 of" in capsys.readouterr().out
    assert cv2.imread(str(tmp_path / "browse_data.jpg")).shape[0] > 2 * 288


def test_categories_are_chosen_by_the_config(tmp_path, capsys):
    data = tiny_coco.content(3, 2)
    names = data["categories"][0]["keypoints"]
    data["categories"] = [{"id": n, "name": f"deer {n}", "keypoints": names} for n in (4, 9)]
    for entry in data["annotations"]:
        entry["category_id"] = 4 if entry["id"] % 2 else 9
    for split in ("train2017", "val2017"):
        _, images = tiny_coco.write(tmp_path, data, split)
    (tmp_path / "own.yaml").write_text(f"data: {{root: {tmp_path}, workers: 0}}\n")
    command = ["--cfg", tmp_path / "own.yaml", f"output={tmp_path / 'o'}"]
    assert tool("check_data", *command) == 3
    said = capsys.readouterr().out
    assert said.count("2 categories have keypoints ('deer 4', 'deer 9'); set data.category") == 2
    assert tool("check_data", *command, "data.category=all") == 0
    said = capsys.readouterr().out
    assert said.count("6 of 6 persons have several categories, which count as one class") == 2
    assert tool("check_data", *command, "data.category=[deer 9]") == 0
    assert capsys.readouterr().out.count("6 persons = 3 used + 3 skipped (3 of another") == 2
    assert tool("browse_data", *command, "data.category=deer 4", "--pictures", "1") == 0
    assert "1 of 3 persons" in capsys.readouterr().out
    for split in ("train2017", "val2017"):
        for file in (tmp_path / split).iterdir():
            file.rename(file.with_suffix(".PNG"))
    for name in ("check_data", "browse_data", "train"):
        assert tool(name, *command, "data.category=all", "train.batch_size=2") == 3
        said = capsys.readouterr()
        text = "3 image files are found under another name: file_names differ from the files in"
        assert (said.out + said.err).count(text) == (2 if name == "check_data" else 1)
