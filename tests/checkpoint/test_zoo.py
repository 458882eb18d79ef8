"""Weights by name: the table, the download into the user's folder, and the network that comes out."""

import json
import logging
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from keypoint import Predictor
from keypoint.checkpoint.file import load_model, origin_of, read_checkpoint
from keypoint.checkpoint.zoo import named_weights, weights_file, weights_folder
from keypoint.commands import export, import_weights, train
from keypoint.config.load import config_from_dict, load_config
from keypoint.data.download import fetch as download
from keypoint.errors import CheckpointError, ConfigError
from keypoint.models import create_model
from keypoint.models.weights import by_name
from keypoint.models.weights.formats import read_weights, recognise
from keypoint.pose.codec import Codec
from keypoint.pose.skeleton import load_skeleton
from tests import tiny_coco
from tests.calling import REPOSITORY, tool
from tests.checkpoint import published_weights as small
from tests.data.test_download import Server
from tests.reference import pose_resnet

CONTENT = os.urandom(50_000)
ROW = small.row(CONTENT)
IMAGE = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """The user's folder; no part of a test waits for a second attempt."""
    monkeypatch.setenv("KEYPOINT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(download, "FIRST_WAIT", 0.0)
    return tmp_path / "home"


@pytest.fixture
def server(monkeypatch):
    made = Server()
    made.files[ROW.path] = CONTENT
    small.install(monkeypatch, ROW, base_url=made.url())
    yield made
    made.shutdown()
    made.server_close()


# ---------------------------------------------------------------- the table


@pytest.mark.parametrize("row", by_name.published(), ids=lambda row: row.short_name)
def test_a_row_agrees_with_the_name_of_its_file(row):
    height, width = row.input_size
    assert f"{height}x{width}" in row.file
    assert re.fullmatch("[0-9a-f]{8}", row.sha256)
    assert row.address.startswith("https://download.openmmlab.com/mmpose/")
    depth = {f"resnet{n}": f"res{n}_" for n in (50, 101, 152)}
    assert depth.get(row.network, row.network) in row.file.replace("hrnet-", "hrnet_")
    for word in ("dark", "udp"):
        assert (word in row.file) == (word == row.refinement) == (word in row.short_name)
    assert ("ap10k" in row.file) == (row.skeleton == "ap10k17") == (row.ar is None)
    assert 0.6 < row.ap < (row.ar or 1) < 0.9 or row.ar is None
    codec, decoding = ("udp", "codec") if row.refinement == "udp" else ("heatmap", row.refinement)
    assert (row.codec, row.decoding) == (codec, decoding)
    for name in (row.name, row.short_name):
        assert by_name.find_by_name(name) is row
    assert by_name.find_by_file(row.file) is row


def test_names_and_files_come_once():
    rows = by_name.published()
    assert (
        len(rows) == len({row.short_name for row in rows}) == len({row.file for row in rows}) == 24
    )
    assert by_name.find_by_name("mmpose/res50") is by_name.find_by_file("w.pth") is None


def test_the_documents_have_the_table():
    text = (REPOSITORY / "docs/reference/weights.md").read_text()
    rows = re.findall(r"^\| `mmpose/(\w+)` \| (.*) \|$", text, re.M)
    assert rows == [
        (row.short_name, " | ".join(f"{v:.3f}"[1:] if v else "-" for v in (row.ap, row.ar)) + f" | `{row.path}`")
        for row in by_name.published()
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["res50_256x192", "res101_384x288", "res152_256x192_dark"])
def test_every_name_and_shape_of_the_published_layouts_fits(name, monkeypatch):
    """As mmpose 1.x and 0.x write them, without the numbers."""

    def conv(state, name, out_channels, in_channels, kernel, _):
        size = (out_channels, in_channels, kernel, kernel)
        state[f"{name}.weight"] = torch.empty(size, device="meta")

    monkeypatch.setattr(pose_resnet, "_conv", conv)
    row = by_name.find_by_name(name)
    state = pose_resnet.simple_baseline(int(row.network.removeprefix("resnet")))
    config = config_from_dict(row.config(), name)
    with torch.device("meta"):
        ours = create_model(**config.model.arguments(17)).state_dict()
    for head, kind in (("head", "mmpose 1.x"), ("keypoint_head", "mmpose 0.x")):
        content = {"meta": {}, "state_dict": pose_resnet.mmpose(state, head)}
        weights = recognise(content, name)
        assert weights.format == kind
        shapes = {name: tensor.shape for name, tensor in weights.state.items()}
        assert shapes == {name: tensor.shape for name, tensor in ours.items()}
    numbers = sum(tensor.numel() for tensor in state.values())
    assert by_name.MEGABYTES[row.network] == round(4 * numbers / 1e6)


@pytest.mark.parametrize("name", ["hrnet_w32_256x192", "hrnet_w48_384x288_udp"])
def test_hrnet_is_recognised_in_both_layouts(name):
    """By our own names, which tests/models/test_hrnet.py compares with the repository's."""
    row = by_name.find_by_name(name)
    config = config_from_dict(row.config(), name)
    with torch.device("meta"):
        ours = create_model(**config.model.arguments(17)).state_dict()
    for head, kind in (("head", "mmpose 1.x"), ("keypoint_head", "mmpose 0.x")):
        weights = recognise({"state_dict": pose_resnet.mmpose(ours, head)}, name)
        assert weights.format == kind
        assert weights.state.keys() == ours.keys()
    numbers = sum(tensor.numel() for tensor in ours.values())
    assert by_name.MEGABYTES[row.network] == round(4 * numbers / 1e6)


# ---------------------------------------------------------------- the file


def test_a_file_is_downloaded_once_into_the_users_folder(server, home):
    path = weights_file(ROW)
    assert path == home / "weights" / ROW.file
    assert path.read_bytes() == CONTENT
    before = path.stat().st_mtime_ns, path.parent.stat().st_mtime_ns
    assert weights_file(ROW) == path
    assert (path.stat().st_mtime_ns, path.parent.stat().st_mtime_ns) == before
    assert server.log == [(ROW.path, None)]
    assert [file.name for file in path.parent.iterdir()] == [ROW.file]


def test_a_cut_off_download_continues(server, home):
    server.cuts = [20_000]
    assert weights_file(ROW).read_bytes() == CONTENT
    assert [asked for _, asked in server.log] == [None, "bytes=20000-"]


def test_the_next_run_continues_what_this_one_left(server, monkeypatch, home):
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    server.cuts = [30_000, 0]
    with pytest.raises(CheckpointError, match=r"30000 bytes are kept in .*\n  or download .* into"):
        weights_file(ROW)
    assert not (home / "weights" / ROW.file).exists()
    assert weights_file(ROW).read_bytes() == CONTENT
    assert server.log[-1] == (ROW.path, "bytes=30000-")


def test_a_file_of_the_user_with_another_hash_is_moved_aside(server, home, warnings):
    mine = small.put(b"mine", ROW)
    assert weights_file(ROW).read_bytes() == CONTENT
    assert Path(f"{mine}.damaged1").read_bytes() == b"mine"
    assert f"does not begin with {ROW.sha256}; moved to {mine.name}.damaged1" in warnings.text


def test_a_copy_put_by_hand_needs_no_server(home, monkeypatch):
    small.install(monkeypatch, ROW)
    path = small.put(CONTENT, ROW)
    path.chmod(0o444)
    path.parent.chmod(0o555)  # root may write all the same: that it does not is seen by the times
    before = path.parent.stat().st_mtime_ns
    assert weights_file(ROW) == path
    assert path.parent.stat().st_mtime_ns == before
    path.parent.chmod(0o755)


@pytest.mark.parametrize(
    ("content", "kind", "words"),
    [
        (b"other" * 9, None, "the SHA-256 of what the server sent begins with"),
        (b"<html>log in", "text/html", "the server sent a web page instead of the file"),
        (None, None, "the server responded 404 Not Found; check the address"),
    ],
)
def test_what_is_not_the_file_is_refused_and_not_kept(server, home, content, kind, words):
    server.content_type = kind
    server.files = {} if content is None else {ROW.path: content}
    with pytest.raises(CheckpointError, match=words) as caught:
        weights_file(ROW)
    assert f"{ROW.name}: {ROW.address}: " in str(caught.value)
    assert f"download {ROW.file} yourself into {home / 'weights'}" in str(caught.value)
    assert "to use another folder than" in str(caught.value)
    assert not home.exists()


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:9/", "http://nowhere.invalid/"])
def test_offline_is_said_at_the_first_attempt(home, monkeypatch, base_url):
    small.install(monkeypatch, ROW, base_url=base_url)
    monkeypatch.setattr(download.time, "sleep", None)  # no waiting for a second one
    with pytest.raises(CheckpointError, match="cannot be reached") as caught:
        weights_file(ROW)
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"{ROW.name}: {base_url}{ROW.path}: cannot be reached (")
    assert f"yourself into {home / 'weights'}; to use another folder" in lines[1]
    assert not home.exists()


def test_places_that_cannot_be_written(server, home, monkeypatch, tmp_path):
    (tmp_path / "afile").touch()
    monkeypatch.setenv("KEYPOINT_HOME", str(tmp_path / "afile"))
    with pytest.raises(
        CheckpointError, match=r"afile/weights: cannot be read or written \(Not a d"
    ):
        weights_file(ROW)
    monkeypatch.setenv("KEYPOINT_HOME", str(home))
    usage = download.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(
        CheckpointError, match=r"0.0 GB free; free some space or choose another fol"
    ):
        weights_file(ROW)
    assert not home.exists()


def test_of_two_processes_one_downloads_and_the_other_waits(server, home):
    begun, go_on = threading.Event(), threading.Event()

    class Held(bytes):
        """Sends its first half and waits."""

        def __getitem__(self, part):
            begun.set()
            assert go_on.wait(60)
            return bytes(self)[part]

    server.files[ROW.path] = Held(CONTENT)
    program = (
        "import logging; logging.basicConfig(level='INFO')\n"
        "from keypoint.checkpoint.zoo import weights_file\n"
        "from keypoint.models.weights import by_name\n"
        f"by_name.BASE_URL = {server.url()!r}\n"
        f"print(weights_file(by_name.{ROW!r}))"
    )
    start = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    first = subprocess.Popen([sys.executable, "-c", program], **start)
    assert begun.wait(60)
    second = subprocess.Popen([sys.executable, "-c", program], **start)
    said = ""
    while "another process is downloading it" not in said:
        said = second.stderr.readline()
        assert said
    go_on.set()
    for process in (first, second):
        printed, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        assert printed.strip() == str(home / "weights" / ROW.file)
    assert server.log == [(ROW.path, None)]
    assert [file.name for file in (home / "weights").iterdir()] == [ROW.file]


def test_the_folder(monkeypatch, tmp_path):
    assert weights_folder() == tmp_path / "home" / "weights"
    monkeypatch.setenv("KEYPOINT_HOME", "~/mine")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert weights_folder() == tmp_path / "mine" / "weights"
    monkeypatch.delenv("KEYPOINT_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert weights_folder() == tmp_path / "caches" / "keypoint" / "weights"
    for value in ("", "relative"):  # the standard: such paths are ignored
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        for platform, place in (("linux", ".cache"), ("darwin", "Library/Caches")):
            monkeypatch.setattr(sys, "platform", platform)
            assert weights_folder() == tmp_path / place / "keypoint" / "weights"

    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(ConfigError, match="set KEYPOINT_HOME to a folder for downloaded weights"):
        weights_folder()


# ---------------------------------------------------------------- the network


@pytest.fixture(scope="module")
def network():
    """A file of mmpose 0.x of a whole network, and its tensors by plain names."""
    return small.saved("keypoint_head")


@pytest.fixture
def downloaded(network, monkeypatch, tmp_path):
    """The row of that network, its file in the user's folder, in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    row = small.row(network[0])
    small.install(monkeypatch, row)
    small.put(network[0], row)
    return row


def test_the_network_gives_the_heatmaps_of_its_publisher(server, network, monkeypatch):
    """From the server to heatmaps; the reference is layer by layer, in float64, on RGB."""
    content, state = network
    row = small.row(content)
    small.install(monkeypatch, row, base_url=server.url())
    server.files[row.path], server.cuts = content, [1_000_000]
    predictor = Predictor.from_pretrained("mmpose/res18_64x64", device="cpu")
    expected = pose_resnet.heatmaps(state, pose_resnet.simple_baseline_input(IMAGE))
    found = predictor.predict_heatmaps(IMAGE[None])
    assert torch.allclose(found.double(), expected, atol=1e-4 * expected.abs().max())
    assert predictor.skeleton.name == "coco17"
    assert predictor.decoding == "quarter"


@pytest.mark.parametrize(
    ("refinement", "codec", "decoding"),
    [("dark", "heatmap", "dark"), ("udp", "udp", "dark"), ("quarter", "heatmap", "quarter")],
)
def test_codec_and_decoding_are_the_tables(network, monkeypatch, refinement, codec, decoding):
    row = small.row(network[0], refinement=refinement)
    small.install(monkeypatch, row)
    content = read_checkpoint(small.put(network[0], row))
    config = config_from_dict(content["config"], "row")
    assert config.model.codec == codec
    assert Codec((64, 64), codec).decoding(config.test.decoding) == decoding
    assert (content["color_order"], config.model.input_size) == ("rgb", (64, 64))
    assert content["mean"] == (0.485, 0.456, 0.406)


def test_animals_have_a_skeleton_and_a_sigma_of_their_own(network, monkeypatch):
    row = small.row(network[0], skeleton="ap10k17", ar=None)
    small.install(monkeypatch, row)
    content = read_checkpoint(small.put(network[0], row))
    assert content["skeleton"] == load_skeleton("ap10k17").to_dict()
    assert content["config"]["model"]["heatmap_sigma"] == 2.0 != Codec((64, 64)).sigma


def test_a_file_under_a_published_name_has_its_hash(downloaded):
    """Wherever it lies; under another name it is weights like any other."""
    Path(downloaded.file).write_bytes(b"PK\x03\x04 something else")
    with pytest.raises(
        CheckpointError, match=rf"begins with \w+, .*with {downloaded.sha256}; use an"
    ):
        load_model(Path(downloaded.file))
    with pytest.raises(CheckpointError, match="no such file"):
        load_model(Path("absent") / downloaded.file)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mmpose/res18_64x6", "did you mean mmpose/res18_64x64"),
        ("res18_64x46", "did you mean mmpose/res18_64x64"),
        ("mmpose/yolo", "is not a folder, a name of weights"),
    ],
)
def test_other_names_are_refused_without_a_connection(downloaded, name, words):
    with pytest.raises(ConfigError, match=words):
        Predictor.from_pretrained(name)
    with pytest.raises(ConfigError, match="a single file without revisions"):
        Predictor.from_pretrained(downloaded.name, revision="main")


def test_a_folder_of_that_name_is_taken_first(downloaded):
    Path("res18_64x64").mkdir()
    with pytest.raises(CheckpointError, match=r"res18_64x64: contains neither model\.pt"):
        Predictor.from_pretrained("res18_64x64")


# ---------------------------------------------------------------- the commands


def test_the_list(downloaded, capsys, monkeypatch, home):
    other = small.row(b"not here", short_name="res18_64x64_udp", refinement="udp")
    small.install(monkeypatch, downloaded, other)
    assert tool("weights") == 0
    printed = capsys.readouterr().out
    rows = [line.split() for line in printed.splitlines()]
    assert rows[1] == [
        "mmpose/res18_64x64",
        "64x64",
        "50.0",
        "60.0",
        "coco17",
        "heatmap",
        "quarter",
        "62",
        "yes",
    ]
    assert rows[2] == [
        "mmpose/res18_64x64_udp",
        "64x64",
        "50.0",
        "60.0",
        "coco17",
        "udp",
        "dark",
        "62",
        "-",
    ]
    assert "licence of all: Apache-2.0" in printed
    assert f"folder: {home / 'weights'}\n" in printed
    assert tool("weights", "--json") == 0
    first, second = json.loads(capsys.readouterr().out)
    assert (first["name"], first["address"]) == (downloaded.name, downloaded.address)
    assert first["published"] == {"AP": 0.5, "AR": 0.6, "conditions": by_name.COCO}
    assert first["file"] == str(home / "weights" / downloaded.file)
    assert second["file"] is None


def test_the_card_says_where_the_weights_come_from(downloaded, capsys):
    assert tool("info", "--weights", "res18_64x64", "--json") == 0
    card = json.loads(capsys.readouterr().out)
    origin = card["training"]["imported"]
    assert (origin["name"], origin["address"]) == (downloaded.name, downloaded.address)
    assert origin["sha256"].startswith(downloaded.sha256)
    assert origin["published"] == {"AP": 0.5, "AR": 0.6, "conditions": by_name.COCO}
    assert card["use"]["licence"].startswith("Apache-2.0")
    assert (card["network"]["color_order"], card["network"]["decoding"]) == (
        "rgb",
        "quarter offset",
    )


def test_predict_in_one_command(downloaded, capsys):
    photo = "photo.png"
    cv2.imwrite(photo, IMAGE)
    arguments = [
        "--weights",
        "res18_64x64",
        "--whole-image",
        "--output",
        "out",
        "--pictures",
        photo,
    ]
    assert tool("predict", *arguments) == 0
    [record] = map(json.loads, Path("out/records.jsonl").read_text().splitlines())
    assert np.shape(record["keypoints"]) == (1, 17, 2)
    assert (Path("out") / record["picture"]).is_file()
    for wrong, words in (
        ([*arguments, "--checkpoint", "best.pt"], "not allowed with argument --weights"),
        (["--output", "out", photo], "--checkpoint --weights --onnx is required"),
    ):
        with pytest.raises(SystemExit):
            tool("predict", *wrong)
        assert words in capsys.readouterr().err


def test_test_writes_the_ap_next_to_the_origin(downloaded, capsys):
    tiny_coco.write(Path("data"), tiny_coco.content())
    data = ["data.root=data", "data.workers=0"]
    assert tool("test", "--weights", "mmpose/res18_64x64", *data) == 0
    card = Path("output/res18_64x64/card.md").read_text()
    assert "Apache-2.0" in card
    assert "## Measured" in card
    assert tool("test", "--weights", "res18_64x64", "--cfg", "res50_256x192.yaml", *data) == 2
    assert "--cfg res50_256x192.yaml has no effect with --weights" in capsys.readouterr().err


def test_export_takes_the_network(downloaded, monkeypatch, capsys):
    def reached(model, card, *_):
        assert (card.codec, card.decoding, card.skeleton.name) == ("heatmap", "quarter", "coco17")
        raise ConfigError("reached")

    monkeypatch.setattr(export, "export_network", reached)
    assert tool("export", "--weights", "res18_64x64", "--output", "a.onnx") == 2
    assert "error: reached" in capsys.readouterr().err


def test_training_starts_from_it(downloaded, network):
    Path("r18.yaml").write_text("model: {encoder: resnet18, input_size: [96, 64]}\n")
    config = load_config(Path("r18.yaml"), ["model.weights=mmpose/res18_64x64"])
    model = train.build_model(config, load_skeleton("coco17"), torch.device("cpu"), weights=True)
    for tensor in ("conv1.weight", "deconv_layers.0.weight", "final_layer.bias"):
        assert torch.equal(model.state_dict()[tensor], network[1][tensor])
    assert load_config(Path("r18.yaml"), ["model.weights=res18_64x64"])
    assert named_weights("res18_64x64") == str(weights_folder() / downloaded.file)
    assert [named_weights(given) for given in (None, "imagenet", "a.pt")] == [
        None,
        "imagenet",
        "a.pt",
    ]


def test_a_config_names_the_nearest(downloaded):
    Path("r18.yaml").write_text("model: {encoder: resnet18}\n")
    for given in ("mmpose/res18_64x46", "res18_64x46"):
        with pytest.raises(ConfigError, match="did you mean mmpose/res18_64x64"):
            load_config(Path("r18.yaml"), [f"model.weights={given}"])


def test_an_import_asks_for_nothing(downloaded):
    path = weights_folder() / downloaded.file
    weights = read_weights(path)
    config = import_weights.derived_config(weights, path, [])
    assert config.model == config_from_dict(downloaded.config(), "row").model
    assert (config.test.decoding, config.data.skeleton) == ("quarter", "coco17")
    assert origin_of(path, weights)["licence"] == by_name.LICENCE


def test_offline_ends_a_command_with_status_4(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    small.install(monkeypatch, ROW)
    assert (
        tool("predict", "--weights", "res18_64x64", "--output", "out", "--whole-image", "x.jpg")
        == 3
    )
    (tmp_path / "x.jpg").write_bytes(b"")
    assert (
        tool("predict", "--weights", "res18_64x64", "--output", "out", "--whole-image", "x.jpg")
        == 4
    )
    said = capsys.readouterr().err
    assert "cannot be reached" in said
    works = r"without a connection: --checkpoint FILE .*--onnx FILE .*keypoint demo"
    assert re.search(works, said.splitlines()[-1])
    assert not Path("out").exists()
    logging.getLogger("keypoint").handlers.clear()
