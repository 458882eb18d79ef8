"""Tensors of any file come out as torch reads them; code of any file stays unrun."""

import argparse
import collections
import io
import os
import pickle
import pickletools
import sys
import types
import zipfile

import numpy as np
import pytest
import torch

from keypoint.errors import CheckpointError
from keypoint.models.weights.inert_pickle import Inert, unpickle
from keypoint.models.weights.tensor_reader import read_tensors

FORMS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "older"])


def saved(folder, content, zipped=True, name="w.pth"):
    torch.save(content, folder / name, _use_new_zipfile_serialization=zipped)
    return folder / name


@FORMS
def test_tensors_are_those_that_torch_reads(tmp_path, zipped):
    base = torch.randn(7, 5)
    content = (
        {
            dtype: torch.arange(6).to(getattr(torch, dtype)).view(2, 3)
            for dtype in "float32 float64 float16 bfloat16 int64 int32 int16 int8 uint8 bool".split()  # noqa: SIM905
        }
        | {
            "scalar": torch.tensor(3.5),
            "empty": torch.zeros(0, 4),
            "transposed": base.t(),
            "part": base[2:5, 1:],
            "same storage": base,
            "every second": base[::2],
            "expanded": torch.ones(1).expand(5),
            "expanded part": base[1:3, :1].expand(2, 5),
            "windows": torch.arange(6.0).unfold(0, 3, 1),
            "complex": torch.tensor([1 + 2j, 3]),
            "complex double": torch.tensor([1 + 2j, 3], dtype=torch.complex128),
            "parameter": torch.nn.Parameter(torch.ones(3)),
            "cpu, channels last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        }
    )
    path = saved(tmp_path, {"state_dict": content, "epoch": 3}, zipped)
    read, expected = read_tensors(path), torch.load(path, weights_only=True)["state_dict"]
    assert read["epoch"] == 3
    assert list(read["state_dict"]) == list(content)
    for name, tensor in expected.items():
        assert read["state_dict"][name].dtype == tensor.dtype, name
        assert torch.equal(read["state_dict"][name], tensor), name


def test_a_view_of_an_old_storage(tmp_path):
    """The older form's sixth entry: a storage that is a part of another."""

    def storage(view):
        return ("storage", torch.FloatStorage, "0", "cpu", 6, view)

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            return storage(value.view) if isinstance(value, View) else None

    class View:
        def __init__(self, view):
            self.view = view

    class Rebuilt:
        def __init__(self, *args):
            self.args = args

        def __reduce__(self):
            return torch._utils._rebuild_tensor, self.args

    buffer = io.BytesIO()
    for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
        pickle.dump(value, buffer, protocol=2)
    whole, part = Rebuilt(View(None), 0, (6,), (1,)), Rebuilt(View(("1", 2, 3)), 1, (2,), (1,))
    Pickler(buffer, protocol=2).dump({"whole": whole, "part": part})
    pickle.dump(["0"], buffer, protocol=2)
    buffer.write((6).to_bytes(8, "little") + torch.arange(6.0).numpy().tobytes())
    (tmp_path / "w.pth").write_bytes(buffer.getvalue())
    read = read_tensors(tmp_path / "w.pth")
    assert read["whole"].tolist() == [0, 1, 2, 3, 4, 5]
    assert read["part"].tolist() == [3, 4]
    expected = torch.load(tmp_path / "w.pth", weights_only=True)
    assert all(torch.equal(read[name], expected[name]) for name in read)

    numbers = torch.arange(6.0).numpy().tobytes()
    for count, data, words in (
        (7, numbers + b"1234", "storage 0 has 7 numbers in place of 6"),
        (5, numbers, "5 numbers in place of 6"),
        (6, numbers[:-1], "ends before its numbers do"),
    ):
        start = buffer.getvalue()[: -len(numbers) - 8]
        (tmp_path / "w.pth").write_bytes(start + count.to_bytes(8, "little") + data)
        with pytest.raises(CheckpointError, match=rf"w\.pth: truncated, corrupt .*{words}"):
            read_tensors(tmp_path / "w.pth")


@FORMS
@pytest.mark.parametrize("kind", ["float8", "quantised"])
@pytest.mark.filterwarnings("ignore:torch.quantize")
def test_numbers_of_a_type_that_is_not_read(tmp_path, kind, zipped):
    """The zip form goes on without such a tensor; the older one cannot even skip its numbers."""
    odd = (
        torch.ones(3).to(torch.float8_e4m3fn)
        if kind == "float8"
        else torch.quantize_per_tensor(torch.ones(3), 1.0, 0, torch.qint8)
    )
    path = saved(tmp_path, {"odd": odd, "w": torch.ones(2)}, zipped)
    if zipped:
        read = read_tensors(path)
        assert isinstance(read["odd"], Inert)
        assert read["w"].tolist() == [1, 1]
        return
    with pytest.raises(CheckpointError, match=r"w\.pth: holds numbers of a type that is not supp"):
        read_tensors(path)


@FORMS
@pytest.mark.parametrize("protocol", [2, 4])
def test_objects_of_classes_that_are_not_here(tmp_path, zipped, protocol):
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
class Options:
    def __new__(cls, *, x): return object.__new__(cls)
    def __getnewargs_ex__(self): return (), {"x": 1}
class Custom:
    def __reduce__(self): return make, (1,), {"y": 2}, iter([1, 2]), iter([("a", 1)])
    def append(self, x): pass
    def extend(self, x): pass
    def __setitem__(self, k, v): pass
class Outer:
    class Inner:
        def method(self): pass
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
        config, module.History([1, 2]), module.Names([1, 2]), module.Point(config), slots,
        module.Custom(), module.Outer.Inner, module.Outer.Inner.method, np.float64(1), np.zeros(2),
        np.random.default_rng(0), argparse.Namespace(a=1), collections.defaultdict(list, {1: [2]}),
        collections.Counter("ab"), frozenset([1]), {1, 2}, bytearray(b"x"), complex(1, 2), slice(1),
        torch.float16, torch.device("cpu"), torch.Size([1]), torch.Generator().get_state(),
    ]  # fmt: skip
    if protocol == 4:
        odd.append(module.Options(x=1))
    state = torch.nn.BatchNorm2d(3).state_dict()
    content = {"state_dict": state, "meta": odd, "hook": config}
    torch.save(
        content,
        tmp_path / "w.pth",
        pickle_protocol=protocol,
        _use_new_zipfile_serialization=zipped,
    )
    del sys.modules[module.__name__]
    read = read_tensors(tmp_path / "w.pth")
    assert module.__name__ not in sys.modules
    assert isinstance(read["hook"], Inert)
    assert len(read["meta"]) == len(odd)
    for name, tensor in state.items():
        assert torch.equal(read["state_dict"][name], tensor)
    assert read["state_dict"].metadata == state._metadata


# ---------------------------------------------------------------- files made to run code


def text(value):
    return b"X" + len(value.encode()).to_bytes(4, "little") + value.encode()


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


def bare(opcodes):
    return b"\x80\x02" + opcodes + b"."


NAMES = sorted(attacks("x"))
TOLD = ("os.system", "posix.system, protocol 4", "eval", "exec, python 2", "inst", "obj")


def with_weights(opcodes, zipped, folder):
    """A good state dict beside an entry made by `opcodes`."""
    good = saved(folder, {"state_dict": {"w": torch.ones(2)}}, zipped, "good.pth")
    evil = text("evil") + opcodes + b"s."
    if zipped:
        with zipfile.ZipFile(good) as archive, zipfile.ZipFile(folder / "w.pth", "w") as made:
            for entry in archive.infolist():
                data = archive.read(entry)
                if entry.filename.endswith("data.pkl"):
                    assert data[-2:] in (b"s.", b"u.")
                    data = data[:-1] + evil
                made.writestr(entry.filename, data)
    else:
        data = good.read_bytes()
        keys = data.index(b"\x80\x02]", 100)
        (folder / "w.pth").write_bytes(data[: keys - 1] + evil + data[keys:])
    return folder / "w.pth"


@FORMS
@pytest.mark.parametrize("name", NAMES)
def test_no_code_of_a_file_is_run(tmp_path, name, zipped):
    canary = tmp_path / "canary"
    path = with_weights(attacks(canary)[name], zipped, tmp_path)
    try:
        read = read_tensors(path)
    except CheckpointError as error:
        assert "unsafe, it was made to run code" in str(error)  # noqa: PT017
    else:
        assert name not in TOLD
        assert read["state_dict"]["w"].tolist() == [1, 1]
    assert not canary.exists()


@pytest.mark.parametrize("name", NAMES)
def test_the_attacks_are_real(tmp_path, name):
    """Read as everybody does, in another process, each makes its canary."""
    canary = tmp_path / "canary"
    path = with_weights(attacks(canary)[name], True, tmp_path)
    child = os.fork()
    if child == 0:
        try:
            torch.load(path, weights_only=False)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert canary.exists()


@pytest.mark.parametrize("name", NAMES)
def test_bare_pickles_are_no_weights(tmp_path, name):
    canary = tmp_path / "canary"
    (tmp_path / "w.pth").write_bytes(bare(attacks(canary)[name]))
    with pytest.raises(CheckpointError, match=r"w\.pth: .*unsafe"):
        read_tensors(tmp_path / "w.pth")
    assert not canary.exists()


@pytest.mark.parametrize(
    "opcodes",
    [
        b"ccollections\nOrderedDict\n)R}" + text("items") + b"Nsb",
        b"ccollections\nOrderedDict\n}" + text("__init__") + b"Nsb",
        b"ctorch._utils\n_rebuild_tensor_v2\n}" + text("kind") + text("parameter") + b"sb",
        b"ctorch._utils\n_rebuild_tensor_v2\nN}" + text("__class__") + b"Ns\x86b",
        b"cos.path\njoin\n}" + text("append") + b"Nsb",
        b"ctorch\nFloatStorage\n}" + text("itemsize") + b"Nsb",
    ],
)
def test_a_file_cannot_change_the_reader(tmp_path, opcodes):
    path = with_weights(opcodes, True, tmp_path)
    try:
        assert read_tensors(path)["state_dict"]["w"].tolist() == [1, 1]
    except CheckpointError as error:
        assert "w.pth: truncated, corrupt" in str(error)  # noqa: PT017
    assert Inert.append is not None
    assert read_tensors(tmp_path / "good.pth")["state_dict"]["w"].tolist() == [1, 1]
    content = torch.nn.Linear(2, 2).state_dict()
    assert torch.equal(read_tensors(saved(tmp_path, content))["weight"], content["weight"])


# ---------------------------------------------------------------- damaged files


def rewritten(folder, change, compress=zipfile.ZIP_STORED):
    """A zip file whose records went through `change(name, data)`; None leaves one out."""
    good = saved(folder, {"w": torch.arange(6.0).view(2, 3)}, True, "good.pth")
    with (
        zipfile.ZipFile(good) as archive,
        zipfile.ZipFile(folder / "w.pth", "w", compress) as made,
    ):
        for entry in archive.infolist():
            data = change(entry.filename, archive.read(entry))
            if data is not None:
                made.writestr(entry.filename, data)
    return folder / "w.pth"


def pickled(old, new):
    def change(name, data):
        if not name.endswith("data.pkl"):
            return data
        assert old in data
        return data.replace(old, new, 1)

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda n, d: None if n.endswith("data/0") else d, "no item named"),
        (lambda n, d: d[:-4] if n.endswith("data/0") else d, "20 bytes for 6 numbers"),
        (lambda n, d: d + d if n.endswith("data/0") else d, "48 bytes for 6 numbers"),
        (pickled(b"K\x02K\x03\x86", b"K\x02K\x04\x86"), "larger than its storage"),
        (pickled(b"K\x03K\x01\x86", b"K\x09K\x01\x86"), "setStorage|out of bounds|stride"),
        (pickled(b"K\x02K\x03\x86", b"J\xff\xff\xff\xffK\x03\x86"), "no whole number"),
        (pickled(b"K\x02K\x03\x86", b"K\x02N\x86"), "no whole number"),
        (pickled(b"K\x03K\x01\x86", b"K\x00K\x00\x86"), None),  # a stride of 0 reads one number
        (
            pickled(b"K\x02K\x03\x86q\x08K\x03K\x01\x86", b"J\0\0\0\x10K\x03\x86q\x08K\0K\x01\x86"),
            "repeats 6 numbers",
        ),  # 3 GB in place of 24 bytes
        (lambda n, d: b"big" if n.endswith("byteorder") else d, "another byte order"),
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


@pytest.mark.parametrize(
    "put",
    [b"r" + (1 << 27).to_bytes(4, "little"), b"p134217728\n", b"q\x09"],
    ids=["4", "text", "1"],
)
def test_a_memo_of_many_places_is_refused(tmp_path, put):
    """127 bytes that took 2.7 GB: the standard unpickler makes room for the largest place."""
    with zipfile.ZipFile(tmp_path / "w.pth", "w") as made:
        made.writestr("w/data.pkl", bare(b"}" + put))
    with pytest.raises(CheckpointError, match=r"w\.pth: .*puts an object at place \d+ of a memo"):
        read_tensors(tmp_path / "w.pth")
    older = b"".join(pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001))
    (tmp_path / "w.pth").write_bytes(
        older + bare(b"}" + put)
    )  # its place counts from its own start
    with pytest.raises(CheckpointError, match="puts an object at place"):
        read_tensors(tmp_path / "w.pth")


@pytest.mark.parametrize("protocol", range(6))
def test_honest_memos_pass(tmp_path, protocol):
    """Python's and C's picklers, thousands of places, renumbered ones, and Python 2's, from 1."""
    names = [[f"layer{i}"] for i in range(3000)]
    value = {"a": names, "b": names[::-1], "c": "x" * 300}
    slow = io.BytesIO()
    pickle._Pickler(slow, protocol).dump(value)
    quick = pickle.dumps(value, protocol)
    for data in (quick, slow.getvalue(), pickletools.optimize(quick)):
        file = io.BytesIO(b"before" + data + b"behind")
        file.seek(6)
        assert unpickle(file, tmp_path)[0] == value
        assert file.read() == b"behind"
    assert unpickle(io.BytesIO(b"(dp1\nS'a'\np2\n(lp3\ns."), tmp_path)[0] == {"a": []}
    assert unpickle(io.BytesIO(b"]q\x01."), tmp_path)[0] == []


def test_a_storage_of_an_unknown_type_is_left_unread(tmp_path):
    path = rewritten(tmp_path, pickled(b"FloatStorage", b"Float4Storage"))
    assert isinstance(read_tensors(path)["w"], Inert)


def test_compressed_records_are_refused(tmp_path):
    """300 MB of zeros fit in 300 kB."""
    path = rewritten(tmp_path, lambda n, d: d, zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match="is compressed"):
        read_tensors(path)


def test_torchscript_is_named(tmp_path):
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="TorchScript.*save the state dict"):
        read_tensors(tmp_path / "w.pth")


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
        with pytest.raises(CheckpointError, match="the zip file's end is missing"):
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


def test_safetensors_are_checked(tmp_path):
    import json

    from keypoint.models.weights.safetensors_reader import is_safetensors, read_safetensors

    def written(header, data, length=None):
        text = json.dumps(header).encode()
        size = len(text) if length is None else length
        (tmp_path / "w.safetensors").write_bytes(size.to_bytes(8, "little") + text + data)
        assert is_safetensors(tmp_path / "w.safetensors")
        return tmp_path / "w.safetensors"

    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    data = torch.tensor([1.0, 2.0]).numpy().tobytes()
    good = read_safetensors(written({"__metadata__": {"a": "b"}, "w": entry}, data))
    assert good["w"].tolist() == [1, 2]
    for header, numbers, length in (
        ({"w": entry}, data[:-1], None),
        ({"w": entry}, data + b"x", None),
        ({"w": entry}, data, 2**62),
        ({"w": entry | {"shape": [3]}}, data, None),
        ({"w": entry | {"dtype": "X"}}, data, None),
        ({"w": entry, "v": entry}, data, None),  # they overlap
        ({"w": entry | {"data_offsets": [8, 16]}}, data + data, None),
        ({"w": 3}, data, None),
        ({"w": entry | {"shape": [-2, -1]}}, data, None),
    ):
        with pytest.raises(CheckpointError, match=r"w\.safetensors: truncated or corrupt"):
            read_safetensors(written(header, numbers, length))
    (tmp_path / "w.safetensors").write_bytes(b"1234567")
    with pytest.raises(CheckpointError, match=r"w\.safetensors: truncated or corrupt"):
        read_safetensors(tmp_path / "w.safetensors")
