import os
import re
import resource
import signal
import zipfile

import pytest
import torch

from keypoint.checkpoint.file import (
    KEYS,
    load_model,
    read_checkpoint,
    save_checkpoint,
)
from keypoint.config.load import config_from_dict
from keypoint.errors import CheckpointError
from keypoint.models import create_model
from keypoint.pose.skeleton import load_skeleton

CONFIG = config_from_dict(
    {"model": {"encoder": "resnet18", "input_size": [64, 64], "blocks": "srl_lo"}}, "test"
)


@pytest.fixture(scope="module")
def content():
    model = create_model("resnet18", input_size=(64, 64), blocks="srl_lo")
    return dict.fromkeys(KEYS) | {
        "format": 1,
        "model": dict(model.state_dict()),
        "epoch": 3,
        "config": CONFIG.to_dict(),
        "skeleton": load_skeleton("coco17").to_dict(),
        "color_order": "bgr",
        "mean": [0.4, 0.5, 0.6],
        "std": [0.2, 0.2, 0.3],
    }


def test_a_checkpoint_alone_is_enough(tmp_path, content):
    save_checkpoint(tmp_path / "a.pt", content)
    restored = load_model(tmp_path / "a.pt")
    assert restored.config == CONFIG
    assert restored.skeleton == load_skeleton("coco17")
    for name, tensor in restored.model.state_dict().items():
        assert torch.equal(tensor, content["model"][name])
    assert restored.model.color_order == "bgr"
    torch.testing.assert_close(restored.model.pixel_mean, torch.tensor([0.4, 0.5, 0.6]) * 255)
    assert not restored.model.training


def test_averaged_weights_are_the_ones_to_use(tmp_path, content):
    average = {
        name: tensor + 1 if tensor.is_floating_point() else tensor
        for name, tensor in content["model"].items()
    }
    average |= {n: t for n, t in content["model"].items() if "transform" in n}
    save_checkpoint(tmp_path / "a.pt", content | {"ema": average})
    assert torch.equal(load_model(tmp_path / "a.pt").model.conv1.weight, average["conv1.weight"])


def test_other_files_are_refused(tmp_path, content):
    torch.save(content["model"], tmp_path / "weights.pt")
    with pytest.raises(
        CheckpointError,
        match=r"weights\.pt: not a checkpoint of this toolkit, missing \['format'.*\n.*--cfg too, or .*"
        "keypoint import-weights$",
    ):
        read_checkpoint(tmp_path / "weights.pt")
    save_checkpoint(tmp_path / "a.pt", content | {"format": 2})
    with pytest.raises(CheckpointError, match="layout 2, this version reads 1"):
        read_checkpoint(tmp_path / "a.pt")
    save_checkpoint(tmp_path / "a.pt", content | {"format": "\x1b[2J"})
    with pytest.raises(CheckpointError, match=r"layout '.x1b\[2J', this version reads 1"):
        read_checkpoint(tmp_path / "a.pt")


class Unknown:
    """An object as other toolkits' training checkpoints hold."""


def write_compressed(path):
    """As torch writes it, but for the form that a bomb needs."""
    torch.save({"a": torch.zeros(3)}, path)
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, record in records.items():
            archive.writestr(name, record)


def write_damaged_name(path, byte):
    """One byte wrong where the zip's directory has the name of a record."""
    torch.save({"a": torch.zeros(3)}, path)
    data = bytearray(path.read_bytes())
    data[data.rindex(b"data/0") + 2] = byte
    path.write_bytes(data)


def write_safetensors(path):
    header = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0\0\0")


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda path: path.write_text("seed: 0\noutput: output/demo\n"), "best.pt or last.pt of"),
        (
            lambda path: path.write_bytes(b"\xff\xd8\xff\xe0\x00\x10JFIF"),
            "weights that keypoint import-weights reads",
        ),
        (lambda path: torch.save({"a": Unknown()}, path), "keypoint import-weights"),
        (
            lambda path: torch.save({"w": Unknown()}, path, _use_new_zipfile_serialization=False),
            "but torch.save's form before 1.6\n.* --cfg too",
        ),
        (write_compressed, "record .* is compressed"),
        (lambda path: write_damaged_name(path, 0x1B), "corrupt, wrong checksum .CRC. of '.*x1b"),
        (write_safetensors, "but safetensors\n.* --cfg too, or .*keypoint import-weights"),
    ],
)
def test_files_of_another_kind_are_no_checkpoints(tmp_path, write, words):
    """In our words: torch's advises to run the code in the file."""
    write(tmp_path / "a")
    with pytest.raises(CheckpointError, match=rf"a: (.|\n)*({words})") as caught:
        read_checkpoint(tmp_path / "a")
    assert not re.search("[Rr]e-running|weights_only|trust|miniz|option", str(caught.value))
    assert len(str(caught.value).splitlines()) <= 3


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("model", [1]),
        ("model", {"conv1.weight": 3}),
        ("ema", {"conv1.weight": None}),
        ("epoch", "3"),
        ("epoch", -1),
        ("loss_sum", float("nan")),
        ("random", {}),
        ("random", {"cpu": torch.zeros(3)}),
        ("optimizer", {"state": {}, "param_groups": 3}),
        ("scaler", {"scale": "a"}),
        ("best", {"epoch": 1, "metrics": {"AP": float("nan")}}),
        ("history", {}),
        ("config", None),
        ("skeleton", []),
        ("color_order", []),
        ("mean", None),
        ("std", [0.2, 0.2, 0.0]),
    ],
)
def test_a_part_of_another_form_is_named(tmp_path, content, part, value):
    save_checkpoint(tmp_path / "a.pt", content | {part: value})
    with pytest.raises(CheckpointError, match=rf"a\.pt: its '{part}' is damaged, a .* instead of"):
        read_checkpoint(tmp_path / "a.pt")


def test_every_write_that_dies_leaves_the_old_file(tmp_path, content):
    """The process ends at once after so many bytes of the new file, at many places."""
    small = content | {"model": {"w": torch.arange(3000.0)}}
    save_checkpoint(tmp_path / "a.pt", small)
    size = (tmp_path / "a.pt").stat().st_size
    for limit in range(0, size, size // 12):
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # the write that passes the limit kills
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            save_checkpoint(tmp_path / "a.pt", small | {"epoch": 4})
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status)
        assert read_checkpoint(tmp_path / "a.pt")["epoch"] == 3
    save_checkpoint(tmp_path / "a.pt", small | {"epoch": 4})
    assert read_checkpoint(tmp_path / "a.pt")["epoch"] == 4


def test_a_full_disk_is_reported_and_the_old_file_stays(tmp_path, content):
    save_checkpoint(tmp_path / "a.pt", content)
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            save_checkpoint(tmp_path / "a.pt", content | {"epoch": 4})
        except CheckpointError as error:
            right = "cannot write the checkpoint" in str(error) and "bytes free" in str(error)
            os._exit(0 if right else 2)
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert read_checkpoint(tmp_path / "a.pt")["epoch"] == 3
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("DataLoader worker (pid 9) is killed by signal: Killed. "), "worker"),
        (KeyboardInterrupt("by hand"), "by hand"),
        (RuntimeError("CUDA error: an illegal memory access"), "CUDA error"),
    ],
)
def test_what_interrupts_a_save_is_reported_as_what_it_is(
    tmp_path, content, monkeypatch, error, words
):
    """Torch raises for a killed worker in a signal's handler, wherever the main process is."""
    save_checkpoint(tmp_path / "a.pt", content)
    save = torch.save

    def interrupted(content, file):
        write, calls = file.write, []

        def once(data):
            calls.append(data)
            if len(calls) == 20:
                raise error
            return write(data)

        class File:
            def __getattr__(self, name):
                return once if name == "write" else getattr(file, name)

        save(content, File())

    monkeypatch.setattr(torch, "save", interrupted)
    with pytest.raises(type(error), match=words):
        save_checkpoint(tmp_path / "a.pt", content | {"epoch": 4})
    assert read_checkpoint(tmp_path / "a.pt")["epoch"] == 3
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]
