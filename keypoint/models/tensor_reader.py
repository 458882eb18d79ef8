"""Tensors out of a torch file of anybody, without running, or even importing, what the file names.

Training checkpoints of other toolkits hold objects beside the weights (configs, histories, numpy
scalars). A pickle builds an object by naming a function and calling it. Here a name of the short
table `_known` stands for a builder of this file, and every other name for `Inert`, which takes
whatever a pickle can do to it and does nothing. A builder only notes which bytes make a tensor;
they are read afterwards, with their bounds checked.

Read are the zip form (torch 1.6 and newer) and the older one: five pickles, then raw numbers.
"""

from __future__ import annotations

import io
import math
import pickle
import re
import struct
import sys
import zipfile
from pathlib import Path
from typing import IO, Any, NamedTuple

import torch
from torch import Tensor

from keypoint.errors import CheckpointError

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # of the older form (torch.serialization)
DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
# No honest weights ask for these. They would not run here either; their presence is told.
SUSPICIOUS = re.compile(
    r"(os|posix|nt|subprocess|commands|sys|runpy|pty|socket|shutil|importlib|ctypes|webbrowser"
    r"|pickle)\b.*|(builtins|__builtin__)\.(eval|exec|execfile|compile|__import__|open|breakpoint"
    r"|input|globals)"
)


class Inert:
    """Stands for an object of a class we do not know; holds nothing and does nothing."""

    def __new__(cls, *_args: object, **_options: object) -> Inert:  # noqa: D102
        return super().__new__(cls)

    def __init__(self, *_args: object, **_options: object) -> None:
        pass

    def __call__(self, *_args: object, **_options: object) -> Inert:  # noqa: D102
        return Inert()

    def __setstate__(self, state: object) -> None:
        pass

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def append(self, item: object) -> None:
        """Of a list subclass."""

    def extend(self, items: object) -> None:
        """Of a list subclass."""

    def add(self, item: object) -> None:
        """Of a set subclass."""


class OrderedPairs(dict[Any, Any]):
    """In place of an OrderedDict: state dicts are one, with `_metadata` as an attribute."""

    metadata: Any = None

    def __setstate__(self, state: object) -> None:
        if isinstance(state, dict):
            self.metadata = state.get("_metadata")


class _Storage(NamedTuple):
    """A row of numbers in the file; `start` and `size` are the part of it that is meant."""

    dtype: Any
    key: Any
    numel: Any
    start: Any
    size: Any


class _Stored(NamedTuple):
    """A tensor that has not been read yet."""

    storage: Any
    offset: Any
    size: Any
    stride: Any


class _Builder:
    """A function that a pickle may call; the pickle cannot change it."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(self, *args: Any) -> Any:
        if self.kind == "tensor":  # then requires_grad, hooks, metadata: not for us
            return _Stored(*args[:4])
        return args[0]  # a parameter is its data

    def __setstate__(self, state: object) -> None:
        pass


def _known(module: str, name: str) -> Any:
    """What a name stands for, or None. Made anew at each use, so no file can leave traces."""
    if (module, name) == ("collections", "OrderedDict"):
        return OrderedPairs
    if module == "torch" and name in DTYPES:
        return DTYPES[name]
    if module == "torch._utils" and name in ("_rebuild_tensor", "_rebuild_tensor_v2"):
        return _Builder("tensor")
    if module == "torch._utils" and name in ("_rebuild_parameter", "_rebuild_parameter_with_state"):
        return _Builder("parameter")
    return None


class _Unpickler(pickle.Unpickler):
    """Asks `_known` for names, and notes storages in place of loading them."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file, encoding="latin1")  # Python 2's numpy scalars are no UTF-8
        self.suspicious: list[str] = []
        self.storages: dict[Any, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        if SUSPICIOUS.fullmatch(f"{module}.{name}"):
            self.suspicious.append(f"{module}.{name}")
        known = _known(module, name)
        return Inert if known is None else known

    def persistent_load(self, pid: Any) -> Any:
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage":
            return Inert()
        _, dtype, key, _, numel = pid[:5]
        _, start, size = pid[5] if len(pid) > 5 and pid[5] is not None else (None, 0, numel)
        storage = _Storage(dtype, key, numel, start, size)
        self.storages[key] = storage
        return storage


def read_tensors(path: Path) -> Any:
    """What a torch file holds: plain types, tensors of the top mapping and of mappings in it.

    Args:
        path: Written by `torch.save`, in either form.

    Returns:
        The object. State dicts are `OrderedPairs`; what is of an unknown class is `Inert`; tensors
        deeper than two mappings (an optimiser's) are left unread.

    Raises:
        CheckpointError: No such file, no torch file, damaged, or made to run code.
    """
    check_file(path)
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return _resolve(*_zip_form(path, archive))
        with path.open("rb") as file:
            if file.read(2) == b"PK":
                raise EOFError("the zip file's end is missing")
            file.seek(0)
            return _resolve(*_older_form(path, file))
    except CheckpointError:
        raise
    except Exception as error:  # a damaged pickle can fail in any way
        first = (str(error).splitlines() or [""])[0]
        raise CheckpointError(
            f"{path}: truncated, corrupt or no torch file ({type(error).__name__}: {first[:200]}); "
            "use another copy"
        ) from None


def check_file(path: Path) -> None:
    """Refuse what is not there, a folder, and an empty file.

    Raises:
        CheckpointError: Says which.
    """
    if not path.is_file():
        hint = "; it is a folder" if path.is_dir() else ""
        raise CheckpointError(f"{path}: no such file{hint}")
    if path.stat().st_size == 0:
        raise CheckpointError(
            f"{path}: the file is empty; it was not saved completely, use another copy"
        )


def _refuse_suspicious(path: Path, unpickler: _Unpickler) -> None:
    if unpickler.suspicious:
        raise CheckpointError(
            f"{path}: unsafe, it was made to run code ({unpickler.suspicious[0]}); nothing of it "
            "was run. Get the weights from their publisher"
        )


def _zip_form(path: Path, archive: zipfile.ZipFile) -> tuple[Any, Any]:
    """The object with its tensors unread, and a function that reads a storage."""
    names = archive.namelist()
    pickles = [name for name in names if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1 or any(name.endswith("/constants.pkl") for name in names):
        raise CheckpointError(
            f"{path}: a zip file, but not of torch.save (a TorchScript module?); save the "
            "state dict with torch.save and give that"
        )
    folder = pickles[0].removesuffix("data.pkl")
    order = f"{folder}byteorder"
    if order in names and archive.read(order) != sys.byteorder.encode():
        raise CheckpointError(f"{path}: numbers in another byte order than this machine's")
    # Whole, as its CRC is looked at once the last byte is read.
    unpickler = _Unpickler(io.BytesIO(archive.read(_stored_plainly(archive, pickles[0]))))
    content = unpickler.load()
    _refuse_suspicious(path, unpickler)

    def read(storage: _Storage) -> bytes:
        entry = _stored_plainly(archive, f"{folder}data/{storage.key}")
        if entry.file_size != storage.numel * storage.dtype.itemsize:
            raise ValueError(
                f"record {entry.filename} has {entry.file_size} bytes for {storage.numel} numbers"
            )
        return archive.read(entry)  # checks the CRC; torch itself does not

    return content, read


def _stored_plainly(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    """Torch compresses nothing, and what is not compressed cannot grow out of its file."""
    entry = archive.getinfo(name)
    if entry.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"record {name} is compressed")
    return entry


def _older_form(path: Path, file: IO[bytes]) -> tuple[Any, Any]:
    """As `_zip_form`: magic, protocol, system, object, keys, then per key a count and numbers."""
    first = _Unpickler(file)
    magic = first.load()
    _refuse_suspicious(path, first)
    if magic != MAGIC or _Unpickler(file).load() != PROTOCOL:
        raise CheckpointError(
            f"{path}: not a file of torch.save; a bare pickle is unsafe and holds no tensors"
        )
    system = _Unpickler(file).load()
    if not (isinstance(system, dict) and system.get("little_endian") is True):
        raise CheckpointError(f"{path}: numbers in another byte order than this machine's")
    unpickler = _Unpickler(file)
    content = unpickler.load()
    _refuse_suspicious(path, unpickler)
    places: dict[Any, int] = {}
    for key in _Unpickler(file).load():
        storage = unpickler.storages[key]
        (numel,) = struct.unpack("<q", file.read(8))
        if numel != storage.numel:
            raise ValueError(f"storage {key} has {numel} numbers in place of {storage.numel}")
        places[key] = file.tell()
        file.seek(numel * storage.dtype.itemsize, 1)
    if file.tell() > path.stat().st_size:
        raise EOFError("the file ends before its numbers do")

    def read(storage: _Storage) -> bytes:
        file.seek(places[storage.key])
        return file.read(storage.numel * storage.dtype.itemsize)

    return content, read


def _resolve(content: Any, read: Any) -> Any:
    """The object with the tensors of its top mapping, and of mappings in that, read."""
    flats: dict[tuple[Any, Any], Tensor] = {}

    def tensor(stored: _Stored) -> Tensor:
        storage, offset, size, stride = stored
        whole = [storage.numel, storage.start, storage.size, offset, *size, *stride]
        if any(type(number) is not int or number < 0 for number in whole):
            raise ValueError("a tensor's size, stride or offset is no whole number")
        if math.prod(size) > storage.size or storage.start + storage.size > storage.numel:
            raise ValueError(f"a tensor of {tuple(size)} is larger than its storage")
        place = (storage.key, storage.dtype)
        if place not in flats:
            data = bytearray(read(storage))
            flat = torch.frombuffer(data, dtype=storage.dtype) if data else torch.empty(0)
            flats[place] = flat.to(storage.dtype)
        return flats[place].as_strided(size, stride, storage.start + offset)

    def resolve(value: Any, depth: int) -> Any:
        if isinstance(value, _Stored):
            return tensor(value)
        if isinstance(value, dict) and depth:
            pairs = ((key, resolve(item, depth - 1)) for key, item in value.items())
            resolved = OrderedPairs(pairs)
            resolved.metadata = getattr(value, "metadata", None)
            return resolved
        return value

    return resolve(content, 2)
