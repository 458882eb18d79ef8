"""A predictor that needs an exported file and onnxruntime: the same persons, and no torch."""

import json
import re
import subprocess
import sys
import zipfile

import cv2
import numpy as np
import onnx
import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import keypoint
from keypoint.errors import CheckpointError, ConfigError, DataError, NumericsError
from keypoint.export.card import card_from_texts
from keypoint.export.onnx_predictor import OnnxPredictor, as_input, choose_providers
from keypoint.export.read import read_export
from keypoint.export.write import export_network
from keypoint.pose.skeleton import load_skeleton
from keypoint.prediction.stream import Unread, predict_stream
from tests import tiny_coco, tiny_network
from tests.end_to_end.test_check_data import tool
from tests.end_to_end.test_predict import picture, records
from tests.export.test_export import card_of
from tests.prediction.test_predictor import BOXES, IMAGE
from tests.prediction.test_stream import boxes_of, events_of


@pytest.fixture(scope="module")
def flipped(tmp_path_factory):
    """With the flip average inside, for uint8."""
    path = tmp_path_factory.mktemp("flipped") / "model.onnx"
    model = tiny_network.model()
    export_network(model, card_of(model, flip=True), path)
    return path


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The network of `tiny_network.checkpoint`, for float32."""
    path = tmp_path_factory.mktemp("plain") / "model.onnx"
    model = tiny_network.model()
    export_network(model, card_of(model, input="float32"), path)
    return path


@pytest.mark.parametrize("flip", [False, True])
def test_as_the_predictor_with_torch(plain, flipped, flip):
    ours = OnnxPredictor.from_file(flipped if flip else plain, "cpu")
    found, expected = ours(IMAGE, BOXES), tiny_network.predictor(flip=flip)(IMAGE, BOXES)
    np.testing.assert_allclose(found.keypoints, expected.keypoints, rtol=0, atol=0.01)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=0, atol=1e-3)
    np.testing.assert_array_equal(found.boxes, expected.boxes)
    assert ours.skeleton == tiny_network.SKELETON
    assert ours(IMAGE, []).keypoints.shape == (0, 17, 2)
    with pytest.raises(DataError, match="box 0 is"):
        ours(IMAGE, [[0, 0, np.nan, 10]])
    with pytest.raises(DataError, match="boxes are list .*; give .P, 4. numbers"):
        ours(IMAGE, [[1, 2, 3, 4], [1]])
    with pytest.raises(DataError, match="wholly outside the image of 200 x 120 pixels"):
        ours(IMAGE, [[9999, 0, 10, 10]])
    said = "float32, averaged with" if flip else "float32, without flip average"
    assert ours.describe().startswith(said)
    assert keypoint.OnnxPredictor is OnnxPredictor


@pytest.mark.parametrize("size", [1, 2])
def test_a_fixed_batch_runs_that_many_crops_at_a_time(plain, tmp_path, size):
    """As onnxruntime's make_dynamic_shape_fixed does it for phones."""
    path = changed(plain, tmp_path / "fixed.onnx", lambda proto, texts: fix_batch([*proto.graph.input, *proto.graph.output], size))  # fmt: skip
    fixed, free = OnnxPredictor.from_file(path, "cpu"), OnnxPredictor.from_file(plain, "cpu")
    assert (fixed.batch_size, free.batch_size) == (size, None)
    for boxes in (BOXES, BOXES[:1], []):
        found, expected = fixed(IMAGE, boxes), free(IMAGE, boxes)
        np.testing.assert_allclose(found.keypoints, expected.keypoints, rtol=0, atol=0.01)
    crops = np.zeros((0, 64, 64, 3), np.uint8)
    for predictor in (fixed, free):
        assert [len(part) for part in predictor.predict_with_heatmaps(crops)] == [0, 0, 0]


def test_a_failure_of_onnxruntime_is_put_for_users(plain):
    predictor = OnnxPredictor.from_file(plain, "cpu")
    with pytest.raises(CheckpointError, match=r"does not run on 2 crops \(.*; predict fewer"):
        predictor.predict_crops(np.zeros((2, 64, 32, 3), np.uint8))


def test_a_stream_of_frames(plain):
    options = {"batch_size": 4, "group_size": 2}
    both = [
        list(predict_stream(events_of(), boxes_of, predictor, **options))
        for predictor in (OnnxPredictor.from_file(plain, "cpu"), tiny_network.predictor())
    ]
    assert len(both[0]) == 18
    for found, expected in zip(*both, strict=True):
        if isinstance(found, Unread):
            continue
        np.testing.assert_allclose(found.keypoints, expected.keypoints, rtol=0, atol=0.01)


WITHOUT_TORCH = """
import json, sys
sys.modules["torch"] = None  # an import of it is an error
import numpy as np
import keypoint
predictor = keypoint.OnnxPredictor.from_file(sys.argv[1], "cpu")
found = predictor(np.load(sys.argv[2]), json.loads(sys.argv[3]))
print(json.dumps(found.keypoints.tolist()))
"""


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_info_describes_an_exported_file(plain, tmp_path, capsys, order):
    """Crops are RGB whatever the weights expect: the graph turns them."""
    model = tiny_network.model()
    model.set_colors(order, (0.5, 0.4, 0.3), (0.2, 0.2, 0.2))
    with zipfile.ZipFile(tmp_path / "model.pt2", "w") as archive:  # as torch.export lays it out
        texts = card_of(model, input="float32", decoding="dark").to_texts()
        archive.writestr("model/extra/keypoint.json", json.dumps(texts))
    for path, decoding in ((plain, "quarter offset"), (tmp_path / "model.pt2", "dark")):
        capsys.readouterr()
        assert tool("info", "--checkpoint", path) == 0
        said = capsys.readouterr().out
        assert f"* decoding: {decoding}\n" in said
        assert (
            "* color order: rgb; the network converts crops to the order the weights expect" in said
        )
        assert "* crops: (B, 3, 64, 64) float32, RGB, 0 to 1\n" in said


def not_a_zip(path):
    path.write_bytes(b"PK\x03\x04")


def without_description(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/extra/other.json", "{}")


def with_bytes(text):
    def write(path):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("model/extra/keypoint.json", text)

    return write


def with_a_broken_record(path):
    with_bytes(b"{}" * 100)(path)
    content = bytearray(path.read_bytes())
    start = content.index(b"keypoint.json") + len(b"keypoint.json")
    content[start : start + 4] = b"\xff" * 4  # of the compressed data: zlib.error
    path.write_bytes(content)


def with_an_encrypted_record(path):
    with_bytes(b"{}")(path)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # RuntimeError of zipfile
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (with_a_broken_record, "not a file of torch.export, or damaged"),
        (with_an_encrypted_record, "not a file of torch.export, or damaged"),
        (not_a_zip, "not a file of torch.export, or damaged"),
        (without_description, "has no description of keypoint export"),
        (with_bytes(b"\xff"), "not a file of torch.export, or damaged"),
        (with_bytes(b"[" * 100_000), "not a file of torch.export, or damaged"),
        (with_bytes(b" " * 20_000_000), "has no description of keypoint export"),
        (with_bytes(b"[]"), "its description is damaged"),
        (with_bytes(b"{}"), "has no description of keypoint export"),
    ],
)
def test_files_of_torch_export_that_do_not_describe_themselves(tmp_path, write, words):
    write(tmp_path / "a.pt2")
    with pytest.raises(CheckpointError, match=rf"a\.pt2: {words}"):
        read_export(tmp_path / "a.pt2")


def test_where_torch_is_not_installed(flipped, tmp_path):
    np.save(tmp_path / "image.npy", IMAGE)
    arguments = [str(flipped), str(tmp_path / "image.npy"), json.dumps(BOXES)]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    expected = tiny_network.predictor(flip=True)(IMAGE, BOXES).keypoints
    np.testing.assert_allclose(json.loads(done.stdout), expected, rtol=0, atol=0.01)


class NoFunctions(TorchFunctionMode):
    def __torch_function__(self, function, types, args=(), kwargs=None):
        raise AssertionError(f"torch was called: {function}")


class NoOperations(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        raise AssertionError(f"torch was called: {function}")


def test_the_modes_see_torch():
    with pytest.raises(AssertionError, match="torch was called"), NoFunctions():
        torch.zeros(1)
    with pytest.raises(AssertionError, match="torch was called"), NoOperations():
        torch.zeros(1)


def test_the_command_gives_what_the_checkpoint_gives_without_torch(plain, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checkpoint = tiny_network.checkpoint(tmp_path / "best.pt")
    file, images = tiny_coco.write(tmp_path / "data", tiny_coco.content())
    common = ["--annotations", file, "--batch-size", 3, "--device", "cpu", "--crops", images]
    assert tool("predict", "--checkpoint", checkpoint, "--output", "torch", *common) == 0
    with NoFunctions(), NoOperations():
        assert tool("predict", "--onnx", plain, "--output", "onnx", *common) == 0
    both = [records(tmp_path / folder) for folder in ("onnx", "torch")]
    assert [len(one["boxes"]) for one in both[0]] == [2] * 4
    for found, expected in zip(*both, strict=True):
        assert found["boxes"] == expected["boxes"]
        np.testing.assert_allclose(found["keypoints"], expected["keypoints"], rtol=0, atol=0.01)
        assert found["crops"] == expected["crops"]
        for name in found["crops"]:
            drawn, same = (
                cv2.imread(str(tmp_path / folder / name)) for folder in ("onnx", "torch")
            )
            assert np.abs(drawn.astype(int) - same).mean() < 1


COMMAND_WITHOUT_TORCH = """
import sys
needless = "torch torchvision albumentations tensorboard pydantic safetensors pycocotools".split()
sys.modules |= dict.fromkeys(needless)
from keypoint.commands.main import main
sys.exit(main(["predict", *sys.argv[1:]]))
"""


@pytest.mark.parametrize(
    "boxes", [["--annotations", "truth.json"], ["--whole-image", "--pictures"]]
)
def test_the_command_imports_neither_torch_nor_what_training_needs(plain, tmp_path, boxes):
    """A module that is None in sys.modules cannot be imported."""
    file, images = tiny_coco.write(tmp_path / "data", tiny_coco.content())
    file.rename(tmp_path / "truth.json")
    words = ["--onnx", str(plain), "--output", "out", *boxes, str(images)]
    command = [sys.executable, "-c", COMMAND_WITHOUT_TORCH, *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(records(tmp_path / "out")) == 4


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--flip"], "--flip has no effect with --onnx .*leave it out; give it to keypoint export"),
        (["--amp", "fp16"], "--amp has no effect with --onnx .* give --precision to keypoint export"),
        (["--compile"], "--compile has no effect with --onnx .*; onnxruntime always optimises the network"),
        (["--device", "cuda"], "device=cuda: this onnxruntime has no CUDA .it has .*CPU.*; install onnxruntime-gpu"),
        (["--device", "tpu"], "device='tpu' is unknown; give cpu, cuda or cuda:NUMBER"),
    ],
)  # fmt: skip
def test_options_without_effect_are_refused(plain, tmp_path, monkeypatch, capsys, arguments, text):
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / "a.png")
    assert tool("predict", "--onnx", plain, "--output", "o", "--whole-image", *arguments, "a.png") == 2  # fmt: skip
    said = capsys.readouterr().err
    assert re.search(text, said), said


def test_devices():
    both = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    assert choose_providers(None, both[1:]) == both[1:]
    assert choose_providers("cpu", both) == both[1:]
    assert choose_providers(None, both) == [(both[0], {"device_id": 0}), both[1]]
    assert choose_providers("cuda:1", both) == [(both[0], {"device_id": 1}), both[1]]


def test_float32_input_is_0_to_1(plain):
    card = OnnxPredictor.from_file(plain, "cpu").card
    crops = np.arange(2 * 64 * 64 * 3, dtype=np.uint8).reshape(2, 64, 64, 3)
    given = as_input(crops, card)
    assert given.dtype == np.float32
    np.testing.assert_array_equal(given[1, 2, 5, 7], np.float32(crops[1, 5, 7, 2]) / np.float32(255))  # fmt: skip


# ---------------------------------------------------------------- files that cannot be used


def changed(plain, path, change):
    """A copy of the file with its description, as a dictionary of texts, changed."""
    proto = onnx.load(plain)
    texts = {entry.key: entry.value for entry in proto.metadata_props}
    change(proto, texts)
    del proto.metadata_props[:]
    for key, value in texts.items():
        proto.metadata_props.add(key=key, value=value)
    onnx.save(proto, path)
    return path


def fix_batch(values, size):
    for value in values:
        value.type.tensor_type.shape.dim[0].dim_value = size


def heatmaps_alone(proto, texts):
    texts["outputs"] = '"heatmaps"'
    del proto.graph.output[:2]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda proto, texts: texts.clear(), r"has no description of keypoint export \(version, skeleton, input_size missing\)"),
        (lambda proto, texts: texts.update(flip="7"), r"its description cannot be used \(flip 7\); export the checkpoint again"),
        (heatmaps_alone, "gives heatmaps only; export the checkpoint with --outputs keypoints"),
        (lambda proto, texts: texts.update(outputs='"heatmaps"'), r"its inputs and outputs are crops tensor\(float\) \['batch', 3, 64, 64\], .* its description says crops tensor\(float\) \['batch', 3, 64, 64\], heatmaps"),
        (lambda proto, texts: texts.update(input_size="[64, 96]"), r"its description says crops tensor\(float\) \['batch', 3, 64, 96\]"),
        (lambda proto, texts: texts.update(input='"uint8"'), r"its description says crops tensor\(uint8\) \['batch', 64, 64, 3\]"),
        (lambda proto, texts: fix_batch(proto.graph.input, 0), r"its inputs and outputs are crops tensor\(float\) \[0, 3, 64, 64\]"),
        (lambda proto, texts: fix_batch(proto.graph.output, 2), r"its inputs and outputs are .* keypoints tensor\(float\) \[2, 17, 2\]"),
        (lambda proto, texts: texts.update(skeleton=json.dumps(load_skeleton("mpii16").to_dict())), r"its description says .* scores tensor\(float\) \['batch', 16\]"),
    ],
)  # fmt: skip
def test_files_that_do_not_describe_themselves(plain, tmp_path, change, text):
    path = changed(plain, tmp_path / "other.onnx", change)
    with pytest.raises(CheckpointError, match=rf"other\.onnx: .*{text}"):
        OnnxPredictor.from_file(path, "cpu")


@pytest.mark.parametrize("text", [b"keypoint_test_version", b"crops"])
def test_texts_that_are_not_utf_8(plain, tmp_path, text):
    path = changed(plain, tmp_path / "a.onnx", lambda proto, texts: texts.update(version='"keypoint_test_version"'))  # fmt: skip
    path.write_bytes(path.read_bytes().replace(text, b"\xff" * len(text)))
    with pytest.raises(
        CheckpointError, match=r"a\.onnx: .*not UTF-8 .*: export the checkpoint again"
    ):
        OnnxPredictor.from_file(path, "cpu")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a zip file", b"\x08\x07" + bytes(100)])
def test_files_that_are_no_network(tmp_path, content):
    path = tmp_path / "a.onnx"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"a\.onnx: onnxruntime cannot open it \(.*give a file of keypoint export"):  # fmt: skip
        OnnxPredictor.from_file(path)
    with pytest.raises(CheckpointError, match=r"b\.onnx: no such file"):
        OnnxPredictor.from_file(tmp_path / "b.onnx")


def test_without_onnxruntime(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match=r'onnxruntime is not installed; pip install "keypoint\[export\]"'):  # fmt: skip
        OnnxPredictor.from_file(tmp_path / "a.onnx")


def test_a_broken_network_is_refused(plain):
    predictor = OnnxPredictor.from_file(plain, "cpu")

    class Broken:
        def run(self, names, given):
            found = np.zeros((1, 17, 2), np.float32), np.full((1, 17), np.nan, np.float32)
            return list(found)

    predictor.session = Broken()
    with pytest.raises(NumericsError, match="heatmaps of 1 person are nan or inf, on the image"):
        predictor(IMAGE)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("format", "2"), ("format", "null"), ("input_size", "[64]"), ("input_size", "[64, 2.5]"),
        ("input_size", "[true, true]"), ("input_size", "[-64, 64]"), ("input_size", "[1e9, 64]"),
        ("input", '"uint16"'), ("input", "{}"), ("outputs", "[]"), ("codec", "1"), ("flip", "1"), ("flip", '"no"'),
        ("precision", "null"), ("skeleton", "{}"), ("skeleton", "[]"), ("skeleton", "7"), ("version", "{"), ("version", "1"),
        ("flip", "[" * 100000),
    ],
)  # fmt: skip
def test_descriptions_are_looked_at(key, text):
    texts = card_of(tiny_network.model()).to_texts()
    assert card_from_texts(texts, "f") == card_of(tiny_network.model())
    with pytest.raises(CheckpointError, match="f: its description cannot be used"):
        card_from_texts(texts | {key: text}, "f")
