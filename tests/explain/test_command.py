"""keypoint explain, on a photo and on a clip."""

import functools
import re

import cv2
import numpy as np
import pytest

from keypoint.checkpoint.file import checkpoint_of, load_model, save_checkpoint
from keypoint.commands.explain import query_of
from keypoint.config.load import config_from_dict
from tests import tiny_network
from tests.action import tiny_checkpoint
from tests.action.data.made_up_videos import write_video
from tests.calling import tool

loaded = functools.cache(load_model)
BLOCKS = {"layer3": "pnl", "deconv1": "srl_fft"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("explain")
    noise = np.random.default_rng(0).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    cv2.imwrite(str(made / "photo.jpg"), cv2.resize(noise, (160, 120)))
    network = {"encoder": "resnet18", "input_size": [64, 64], "blocks": BLOCKS}
    config = config_from_dict({"model": network}, "test")
    model = tiny_network.model(blocks=BLOCKS)
    save_checkpoint(
        made / "best.pt", checkpoint_of(model, config, tiny_network.SKELETON, {"keypoint": "test"})
    )
    model = {"model": tiny_checkpoint.SECTIONS["model"] | {"blocks": {"layer2.1": "nl"}}}
    tiny_checkpoint.checkpoint(made / "action.pt", **model)
    write_video(made / "clip.avi", 12)
    return made


@pytest.fixture
def explain(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setattr("keypoint.commands.explain.load_model", loaded)
    small = ("--output", tmp_path / "o", "--device", "cpu", "--random-inputs", "1")

    def call(*words):
        status = tool("explain", *small, *words)
        said = capsys.readouterr()
        return status, said.out if status == 0 else said.err, sorted(tmp_path.glob("o/*.png"))

    return call


def test_all_blocks_of_a_photo(explain):
    status, said, pictures = explain("--checkpoint", "best.pt", "photo.jpg")
    assert status == 0
    assert [path.name for path in pictures] == [f"000001_photo_{s}.png" for s in sorted(BLOCKS)]
    for path in pictures:
        assert cv2.imread(str(path)).shape[1] > 1000
        assert f"picture: {path}" in said
    assert re.search(r"^layer3 \(PNL\): \w+ \(\d+\.\d\d\) at column \d+, row \d+", said, re.M)
    assert said.count("entropy / log N") == 4 + 1
    status, said, _ = explain("--checkpoint", "best.pt", "photo.jpg")
    assert status == 2
    assert "already contains 000001_photo_layer3.png; give another folder, or --overwrite" in said


def test_one_site_and_one_pixel(explain):
    status, said, pictures = explain(
        "--checkpoint", "best.pt", "photo.jpg", "--site", "layer2.0", "--at", "80,60"
    )
    assert status == 0, said
    assert said.startswith("layer2.0 (BasicBlock): column 32, row 32 of the input\n  receptive")
    assert [path.name for path in pictures] == ["000001_photo_layer2.0.png"]


def test_the_query_is_where_the_pixel_or_the_keypoint_is(folder):
    restored = loaded(folder / "best.pt")
    crop = np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8)
    frame = restored.model.codec.crop_frame(np.array([[10.0, 20, 64, 64]]))  # 80 px wide, from 2
    query = query_of(restored, crop, frame, [42, 12], None)
    assert (query.column, query.row) == pytest.approx((32, 0))
    named = query_of(restored, crop, frame, None, "left_wrist")
    points, scores = tiny_network.Predictor(restored.model, restored.skeleton).predict_crops(
        crop[None]
    )
    number = tiny_network.SKELETON.keypoints.index("left_wrist")
    assert (named.column, named.row) == pytest.approx(points[0, number].tolist())
    assert named.name == f"left_wrist ({scores[0, number]:.2f})"
    best = query_of(restored, crop, frame, None, None)
    assert best.name.startswith(tiny_network.SKELETON.keypoints[scores[0].argmax()])


def test_a_clip(explain):
    words = ("--checkpoint", "action.pt", "clip.avi", "--at", "20,30", "--frame", "3")
    status, said, pictures = explain(*words)
    assert status == 0, said
    assert said.startswith("layer2.1 (NonLocal): frame 3, column 6, row 21 of the input")
    assert "softmax, 2 x 4 x 4" in said
    assert "frames; " not in said
    assert len(pictures) == 1


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (["--at", "1,2", "--keypoint", "nose"], 2, "--at and --keypoint both choose the query"),
        (["--at", "1"], 2, "--at 1: give 2 numbers, such as 120,80"),
        (["--at", "nan,1"], 2, "--at nan,1: give 2 numbers"),
        (["--box", "1,2,3"], 2, "--box 1,2,3: give 4 numbers, such as 120,80,60,200"),
        (["--box", "500,0,10,10"], 3, "wholly outside the image of 160 x 120"),
        (["--at=-99,0"], 2, "--at -99,0: outside of the crop; give x and y from"),
        (["--keypoint", "tail"], 2, "--keypoint tail: the network has nose, left_eye"),
        (
            ["--site", "layer9"],
            2,
            "no submodule 'layer9'; did you mean .*; sites with a block: layer3, deconv1",
        ),
    ],
)
def test_what_is_refused(explain, words, status, text):
    found, said, pictures = explain("--checkpoint", "best.pt", "photo.jpg", *words)
    assert found == status
    assert re.search(text, said)
    assert pictures == []


def test_a_frame_or_pixel_outside_of_the_clip(explain):
    for words, text in (
        (["--frame", "4"], "--frame 4: a clip has 4 frames, numbered from 0"),
        (["--at", "999,0"], "--at 999,0: outside of the crop; give x from"),
    ):
        status, said, _ = explain("--checkpoint", "action.pt", "clip.avi", *words)
        assert status == 2
        assert text in said
