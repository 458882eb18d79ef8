"""Tensors of any file come out as torch reads them; code of any file stays unrun."""

import argparse
import collections
import os
import pickle
import resource
import sys
import types
import zipfile

import numpy as np
import pytest
import safetensors.torch
import torch

from keypoint.errors import CheckpointError
from keypoint.models.weights.read import StandIn, read_tensors

FORMS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "older"])


def saved(folder, content, zipped=True, name="w.pth"):
    torch.save(content, folder / name, _use_new_zipfile_serialization=zipped)
    return folder / name


@FORMS
def test_tensors_are_those_that_torch_reads(tmp_path, zipped):
    base = torch.randn(7, 5)
    names = "float32 float64 float16 bfloat16 int64 int32 int16 int8 uint8 bool"
    content = {
        name: torch.arange(6).to(getattr(torch, name)).view(2, 3) for name in names.split()
    } | {
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 4),
        "transposed": base.t(),
        "part": base[2:5, 1:],
        "same storage": base,
        "expanded": torch.ones(1).expand(5),
        "windows": torch.arange(6.0).unfold(0, 3, 1),
        "parameter": torch.nn.Parameter(torch.ones(3)),
        "channels last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
    }
    path = saved(tmp_path, {"state_dict": content, "epoch": 3, "names": [("a", 1.5)]}, zipped)
    for objects in (True, False):
        read = read_tensors(path, objects=objects)
        assert (read["epoch"], read["names"]) == (3, [("a", 1.5)])
        assert list(read["state_dict"]) == list(content)
        for name, tensor in torch.load(path, weights_only=True)["state_dict"].items():
            assert type(read["state_dict"][name]) is torch.Tensor, name
            assert read["state_dict"][name].dtype == tensor.dtype, name
            assert torch.equal(read["state_dict"][name], tensor), name


@FORMS
@pytest.mark.filterwarnings("ignore:torch.quantize")
def test_tensors_that_are_not_plain_numbers_are_left_out(tmp_path, zipped):
    odd = [
        torch.ones(3).to(torch.float8_e4m3fn if zipped else torch.complex128),
        torch.quantize_per_tensor(torch.ones(3), 1.0, 0, torch.qint8),
        torch.eye(3).to_sparse(),
        torch.ones(3, dtype=torch.complex64),
        torch.ones(3, device="meta"),
    ]
    read = read_tensors(saved(tmp_path, {"odd": odd, "w": torch.ones(2)}, zipped))
    assert [type(value) for value in read["odd"]] == [StandIn] * len(odd)
    assert read["w"].tolist() == [1, 1]


@FORMS
def test_objects_of_classes_that_are_not_here(tmp_path, zipped):
    """Every way in which a pickle builds one; their module is gone when the file is read."""
    module = types.ModuleType("mmengine_of_elsewhere")
    source = """
class Config(dict): pass
class History(list): pass
class Names(set): pass
class Point:
    def __init__(self, x): self.x = x
class Slots:
    __slots__ = ("x",)
class Custom:
    def __reduce__(self): return make, (1,), {"y": 2}, None, iter([("a", 1)])
    def __setitem__(self, k, v): pass
def make(x): return Custom()
"""
    exec(source, vars(module))  # noqa: S102
    for value in vars(module).values():
        if isinstance(value, (type, types.FunctionType)):
            value.__module__ = module.__name__
    sys.modules[module.__name__] = module
    config = module.Config(a=module.Config(b=1))
    slots = module.Slots()
    slots.x = 1
    odd = [
        config, module.Names([1, 2]), module.Point(config), slots, module.Custom(), module.Point,
        np.float64(1), np.zeros(2), np.array(["a"], dtype=object), np.random.default_rng(0),
        argparse.Namespace(a=1), collections.defaultdict(list, {1: [2]}), collections.Counter("ab"),
        frozenset([1]), {1, 2}, b"x", complex(1, 2), slice(1), {module.Point(1): 1}, {module.make},
        torch.float16, torch.device("cpu"), torch.Size([1]), torch.Generator().get_state(),
    ]  # fmt: skip
    if tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 14):
        odd.append(module.History([1, 2]))
    state = torch.nn.BatchNorm2d(3).state_dict()
    path = saved(tmp_path, {"state_dict": state, "meta": odd, "hook": config}, zipped)
    del sys.modules[module.__name__]
    read = read_tensors(path)
    assert module.__name__ not in sys.modules
    assert isinstance(read["hook"], StandIn)
    assert len(read["meta"]) == len(odd)
    for name, tensor in state.items():
        assert torch.equal(read["state_dict"][name], tensor)
    assert read["state_dict"]._metadata == state._metadata
    with pytest.raises(CheckpointError, match="objects that can only be built by running its code"):
        read_tensors(path, objects=False)


# ---------------------------------------------------------------- files made to do harm


def text(value):
    return b"X" + len(value.encode()).to_bytes(4, "little") + value.encode()


def bare(opcodes):
    return b"\x80\x02" + opcodes + b"."


def attacks(canary):
    """Pickles that make the file `canary` when the standard unpickler reads them."""
    touch, python = f"touch {canary}", f"open({str(canary)!r}, 'w').close()"
    os_system = b"cposixpath\nos\n" + text("system")  # a module, reached without its name
    getattr_ = b"cbuiltins\ngetattr\n"
    return {
        "os.system": b"cos\nsystem\n(" + text(touch) + b"tR",
        "posix.system, protocol 4": text("posix") + text("system") + b"\x93(" + text(touch) + b"tR",
        "eval": b"cbuiltins\neval\n(" + text(python) + b"tR",
        "exec, python 2": b"c__builtin__\nexec\n(" + text(python) + b"tR",
        "inst": b"(" + text(touch) + b"ios\nsystem\n",
        "obj": b"(cos\nsystem\n" + text(touch) + b"o",
        "nested getattr": getattr_ + b"(" + os_system + b"tR(" + text(touch) + b"tR",
        "partial": b"cfunctools\npartial\n(" + getattr_ + b"(" + os_system + b"tR"
        + text(touch) + b"tR(tR",
        "map": b"cbuiltins\nlist\n(cbuiltins\nmap\n(" + getattr_ + b"(" + os_system + b"tR("
        + text(touch) + b"ltRtR",
        "torch.load of bytes inside": b"ctorch.storage\n_load_from_bytes\n(cbuiltins\nbytes\n("
        + b"]" + b"".join(b"K" + bytes([b]) + b"a" for b in bare(b"cos\nsystem\n(" + text(touch) + b"tR"))
        + b"tRtR",
        "state of an object": b"cbuiltins\nobject\n)\x81}" + text("x") + getattr_ + b"(" + os_system
        + b"tR(" + text(touch) + b"tRsb",
    }  # fmt: skip


NAMES = sorted(attacks("x"))


def with_entry(opcodes, zipped, folder):
    """A good state dict with one more entry, made by `opcodes`."""
    good = saved(folder, {"state_dict": {"w": torch.ones(2)}}, zipped, "good.pth")
    entry = text("entry") + opcodes + b"s."
    if zipped:
        return rewritten(folder, lambda n, d: d[:-1] + entry if n.endswith("data.pkl") else d, good)
    data = good.read_bytes()
    keys = data.index(b"\x80\x02]", 100)
    (folder / "w.pth").write_bytes(data[: keys - 1] + entry + data[keys:])
    return folder / "w.pth"


def rewritten(folder, change, good=None, compress=zipfile.ZIP_STORED):
    """A zip file whose records went through `change(name, data)`; None leaves one out."""
    good = good or saved(folder, {"w": torch.arange(6.0).view(2, 3)}, True, "good.pth")
    with (
        zipfile.ZipFile(good) as archive,
        zipfile.ZipFile(folder / "w.pth", "w", compress) as made,
    ):
        for entry in archive.infolist():
            data = change(entry.filename, archive.read(entry))
            if data is not None:
                made.writestr(entry.filename, data)
    return folder / "w.pth"


@FORMS
@pytest.mark.parametrize("name", NAMES)
def test_no_code_of_a_file_is_run(tmp_path, name, zipped):
    canary = tmp_path / "canary"
    path = with_entry(attacks(canary)[name], zipped, tmp_path)
    for objects in (True, False):
        try:
            read = read_tensors(path, objects=objects)
        except CheckpointError as error:
            assert "unsafe" in str(error)  # noqa: PT017
            assert "weights_only" not in str(error)  # noqa: PT017
        else:
            assert objects
            assert read["state_dict"]["w"].tolist() == [1, 1]
        assert not canary.exists()
    (tmp_path / "w.pth").write_bytes(bare(attacks(canary)[name]))
    with pytest.raises(CheckpointError, match=r"w\.pth: a bare pickle, which is unsafe"):
        read_tensors(tmp_path / "w.pth")
    assert not canary.exists()


@pytest.mark.parametrize("name", NAMES)
def test_the_attacks_are_real(tmp_path, name):
    """Read as everybody does, in another process, each makes its canary."""
    canary = tmp_path / "canary"
    path = with_entry(attacks(canary)[name], True, tmp_path)
    child = os.fork()
    if child == 0:
        try:
            torch.load(path, weights_only=False)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert canary.exists()


HALF = b"ccollections\nOrderedDict\n)R"


@FORMS
@pytest.mark.parametrize(
    ("opcodes", "words"),
    [
        (HALF + b"}" + text("items") + b"Nsb", None),
        (HALF + b"}" + text("keys") + b"Nsb", None),
        (HALF + b"}" + text("_metadata") + b"K\x03sb", None),
        (b"ctorch._utils\n_rebuild_tensor_v2\n}" + text("kind") + text("parameter") + b"sb", "unsafe"),
        (b"cos.path\njoin\n}" + text("append") + b"Nsb", "code"),
        (b"ca\nb\n)\x81}" + text("append") + b"Nsb", None),
        (b"ca\nb\n)\x81K\x01K\x02s", None),
        (b"ctorch\nFloatStorage\n}" + text("itemsize") + b"Nsb", "unsafe"),
        (b"ctorch._tensor\n_rebuild_from_type_v2\n(ctorch\nTensor\nctorch\nTensor\n(]K\x01at}"
         + text("numel") + b"K\x01stR", None),
        (b"cbuiltins\nbytearray\n(J\xff\xff\xff\x7ftR", "code"),
        (b"ctorch\nTensor\n(J\xff\xff\xff\x7ftR", "larger than the file|allocate"),
        (b"Nr\xff\xff\xff\x7f", None),  # a place in the memo for which others make room
        (b"]q\x05h\x05a", "its 'entry' is too deep"),  # a list that holds itself
        (b"N" + 99 * b"\x85", "a tuple is too deep"),
        (b"N" + 40 * b"q\x05h\x05h\x05\x87", "a tuple is too deep"),  # 3^40, in 280 bytes
        (b"}N" + 40 * b"q\x05h\x05h\x05\x87" + b"Ns", "a tuple is too deep"),  # hashed
        (b"}N" + 10**6 * b"\x85" + b"Ns", "a tuple is too deep"),
        (b"](]q\x05" + 40 * b"](h\x05h\x05eq\x05" + b"e", "its 'entry' is too"),
        (b"](" + text("a" * 10_000) + b"q\x05" + 20_000 * b"h\x05" + b"e", "its 'entry' is too"),
        (b"](" + b"\x8a\xff" + b"\x7f" * 255 + b"q\x05" + 40_000 * b"h\x05" + b"e", "its 'entry' is too"),
    ],
)  # fmt: skip
def test_a_file_cannot_change_the_reader_or_fill_the_memory(tmp_path, opcodes, words, zipped):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    path = with_entry(opcodes, zipped, tmp_path)
    if words is None:
        read = read_tensors(path)
        assert read["state_dict"]["w"].tolist() == [1, 1]
        if isinstance(read["entry"], torch.Tensor):
            assert read["entry"].numel() == 1
        elif isinstance(read["entry"], dict):
            assert list(read["entry"].items()) == []
    else:
        with pytest.raises(CheckpointError, match=rf"w\.pth: .*({words})"):
            read_tensors(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # kB
    assert read_tensors(tmp_path / "good.pth")["state_dict"]["w"].tolist() == [1, 1]


# ---------------------------------------------------------------- damaged files


def pickled(old, new):
    def change(name, data):
        if not name.endswith("data.pkl"):
            return data
        assert old in data
        return data.replace(old, new, 1)

    return change


ROWS, STEPS = b"K\x02K\x03\x86", b"K\x03K\x01\x86"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda n, d: None if n.endswith("data/0") else d, "file not found"),
        (lambda n, d: d[:-4] if n.endswith("data/0") else d, "20 bytes. does not match"),
        (pickled(STEPS, b"K\x09K\x01\x86"), "not resizable"),
        (pickled(b"FloatStorage", b"Float4Storage"), "truncated or corrupt"),
        (pickled(STEPS, b"K\x00K\x00\x86"), None),  # a stride of 0 reads one number
        (
            pickled(ROWS + b"q\x08" + STEPS, b"J\0\0\0\x10K\x03\x86q\x08K\0K\x01\x86"),
            "repeats 24 bytes",
        ),  # 3 GB instead of 24 bytes
        (lambda n, d: b"odd" if n.endswith("byteorder") else d, "truncated or corrupt"),
        (lambda n, d: None if n.endswith("data.pkl") else d, "not of torch.save"),
    ],
)
def test_records_that_do_not_agree(tmp_path, change, words):
    path = rewritten(tmp_path, change)
    if words is None:
        assert read_tensors(path)["w"].tolist() == [[0, 0, 0], [0, 0, 0]]
        return
    with pytest.raises(CheckpointError, match=rf"w\.pth: .*({words})"):
        read_tensors(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_records_that_torch_does_not_look_at(tmp_path):
    """300 MB of zeros fit in 300 kB; of two records with one name readers take different ones."""
    path = rewritten(tmp_path, lambda n, d: d, compress=zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match="record good/data.pkl is compressed"):
        read_tensors(path)
    for name in ("good/data/0", "good/DATA/0"):
        path = rewritten(tmp_path, lambda n, d: d)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(name, b"1" * 24)
        with pytest.raises(CheckpointError, match="record good/data/0 is there twice"):
            read_tensors(path)
    for name in ("/good/data/0", "good//data/0", "good/./data/0", "x/../good/data/0"):
        path = rewritten(tmp_path, lambda n, d: d)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(name, b"1" * 24)
        with pytest.raises(CheckpointError, match=f"record {name} has no plain name"):
            read_tensors(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("good/data.pkl", bare(b"}"))
        for number in range(9):
            archive.writestr(f"good/{number}", b"0" * 99)
        for number in range(9):  # each reaches to the last one's end, and holds those between
            entry = archive.getinfo(f"good/{number}")
            entry.file_size = archive.start_dir - entry.header_offset - 40
    with pytest.raises(CheckpointError, match="its records are larger than the file"):
        read_tensors(path)


def test_two_archives_in_one_file(tmp_path):
    """zipfile reads the second one, and torch the first, which lies where the second says."""
    one = saved(tmp_path, {"w": torch.zeros(3)}, name="one.pth").read_bytes()
    other = saved(tmp_path, {"w": torch.ones(3)}, name="one.pth").read_bytes()
    assert len(one) == len(other)
    (tmp_path / "w.pth").write_bytes(one + other)
    assert zipfile.ZipFile(tmp_path / "w.pth").read("one/data/0") == torch.ones(3).numpy().tobytes()
    with pytest.raises(CheckpointError, match="it contains more than its records"):
        read_tensors(tmp_path / "w.pth")


def test_numbers_of_another_byte_order(tmp_path):
    """The zip form says it and torch turns them; of the older form torch does not look at it."""
    swapped = torch.arange(6.0).numpy().byteswap().tobytes()
    changes = {"byteorder": b"big", "data/0": swapped}
    path = rewritten(tmp_path, lambda n, d: changes.get(n.partition("/")[2], d))
    assert read_tensors(path)["w"].tolist() == [[0, 1, 2], [3, 4, 5]]
    data = saved(tmp_path, {"w": torch.ones(2)}, zipped=False).read_bytes()
    little = text("little_endian") + b"q\x02\x88"
    assert little in data
    path.write_bytes(data.replace(little, little[:-1] + b"\x89"))
    with pytest.raises(CheckpointError, match="another byte order"):
        read_tensors(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data[:-1], "unexpected EOF"),
        (lambda data: data + b"\0", "some numbers belong to no tensor"),
        (lambda data: data.replace(ROWS, b"K\x02K\x04\x86"), "wrong byte size"),
        (lambda data: data.replace(b"K\x06N", b"J\0\0\0\x7fN"), "wrong byte size|allocate"),
        (lambda data: data[: data.rindex(b"]")] + b"]." + bytes(8 + 24), "belong to no tensor"),
    ],
)
def test_the_older_form_is_checked(tmp_path, change, words):
    path = saved(tmp_path, {"w": torch.arange(6.0).view(2, 3)}, zipped=False)
    assert read_tensors(path)["w"].tolist() == [[0, 1, 2], [3, 4, 5]]
    data = path.read_bytes()
    assert change(data) != data
    path.write_bytes(change(data))
    with pytest.raises(CheckpointError, match=rf"w\.pth: .*({words})"):
        read_tensors(path)


@FORMS
def test_any_cut_and_any_flipped_byte(tmp_path, zipped):
    """An error that names the file, or the tensors; nothing else. A zip's flips never pass."""
    content = {"state_dict": {"w": torch.arange(64.0)}, "meta": argparse.Namespace(a=[1])}
    path = saved(tmp_path, content, zipped)
    whole = path.read_bytes()
    places = np.random.default_rng(0).integers(0, len(whole), 200)
    damaged = [whole[:place] for place in places[:60]]
    for place in places:
        damaged.append(whole[:place] + bytes([whole[place] ^ 0x15]) + whole[place + 1 :])
    if zipped:
        path.write_bytes(whole[:-1])
        with pytest.raises(CheckpointError, match="its zip end is missing"):
            read_tensors(path)
    for data in damaged:
        path.write_bytes(data)
        try:
            read = read_tensors(path)
        except CheckpointError as error:
            assert str(path) in str(error)  # noqa: PT017
            assert len(str(error).splitlines()) <= 3  # noqa: PT017
            continue
        if zipped and isinstance(read, dict) and "w" in read.get("state_dict", {}):
            assert torch.equal(read["state_dict"]["w"], content["state_dict"]["w"])


# ---------------------------------------------------------------- other files


def test_safetensors(tmp_path):
    """By content: the name is another's."""
    path = tmp_path / "w.pth"
    path.write_bytes(safetensors.torch.save({"w": torch.tensor([1.0, 2.0])}, {"a": "b"}))
    assert read_tensors(path)["w"].tolist() == [1, 2]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"w\.pth: truncated or corrupt"):
        read_tensors(path)


def test_what_a_file_is_instead_is_said(tmp_path):
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), tmp_path / "script.pth")
    (tmp_path / "folder").mkdir()
    files = {
        "empty": (b"", "the file is empty"),
        "page": (b"<html>404</html>", "a web page"),
        "lfs": (b"version https://git-lfs.github.com/spec/v1\noid a", "a Git LFS pointer"),
        "last_checkpoint": (b"../epoch_7.pth\n", r"names '\.\./epoch_7\.pth', which was not open"),
        "w.safetensors": (pickle.dumps([1]), "a bare pickle"),
        "x.yaml": (b"seed: 0\n", "is not a checkpoint, nor another file"),
        "cut": (b"PK", "its zip end is missing"),
    }
    for name, (data, _) in files.items():
        (tmp_path / name).write_bytes(data)
    others = {
        "script.pth": (b"", "TorchScript.*save the state"),
        "folder": (b"", "it is a folder"),
        "absent": (b"", "no such file"),
        "n" * 300: (b"", "cannot be read"),
    }
    for name, (_, words) in (files | others).items():
        with pytest.raises(CheckpointError, match=rf"{name}: .*{words}"):
            read_tensors(tmp_path / name)
