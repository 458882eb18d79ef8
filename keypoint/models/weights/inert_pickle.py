"""A pickle's object, without running, or even importing, what the pickle names.

A pickle builds an object by naming a function and calling it. Here a name of the short table
`_known` stands for a builder of this file, and every other name for `Inert`, which takes whatever
a pickle can do to it and does nothing. A builder only notes which bytes make a tensor.
"""

from __future__ import annotations

import pickle
import pickletools
import re
from pathlib import Path
from typing import IO, Any, NamedTuple

import torch

from keypoint.errors import CheckpointError

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
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
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


class Storage(NamedTuple):
    """A row of numbers in the file; `start` and `size` are the part of it that is meant."""

    dtype: Any
    key: Any
    numel: Any
    start: Any
    size: Any


class Stored(NamedTuple):
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
            return Stored(*args[:4])
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
        self.storages: dict[Any, Storage] = {}

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
        storage = Storage(dtype, key, numel, start, size)
        self.storages[key] = storage
        return storage


def unpickle(file: IO[bytes], path: Path) -> tuple[Any, dict[Any, Storage]]:
    """The object of the pickle that begins here, and the storages that it names, by key.

    Args:
        file: Is left behind the pickle's end.
        path: Named in errors.

    Raises:
        CheckpointError: The pickle was made to run code; none of it was run.
        ValueError: Its memo is of no pickler's making. A damaged pickle can raise anything else.
    """
    _check_memo(file)
    unpickler = _Unpickler(file)
    content = unpickler.load()
    if unpickler.suspicious:
        raise CheckpointError(
            f"{path}: unsafe, it was made to run code ({unpickler.suspicious[0]}); nothing of it "
            "was run. Get the weights from their publisher"
        )
    return content, unpickler.storages


def _check_memo(file: IO[bytes]) -> None:
    """Refuse places in the memo that no pickler gives, and leave the file where it was.

    The standard unpickler's memo is an array as long as its largest place, so five bytes could ask
    for gigabytes. A pickler numbers its objects, and each takes a byte at least before its number,
    so no place is beyond its own position. (Python's slower unpickler has a dict for a memo, but
    fills a byte array's whole length with zeros before it reads it. Walking beforehand takes 8 ms
    for a ResNet-152, of 180 ms for the whole file.)
    """
    start = file.tell()
    for opcode, place, position in pickletools.genops(file):
        assert position is not None  # a file has one
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(place or 0) > position - start:
            raise ValueError(f"its pickle puts an object at place {place} of a memo of few objects")
    file.seek(start)
