"""Read a weights file of any toolkit without running or importing any code that it names.

torch's safe loading and the safetensors library do the reading. Training checkpoints of other
toolkits contain objects besides tensors (configs, histories, numpy scalars), which torch refuses;
a `StandIn` replaces each of their classes. This module checks what torch does not: checksums,
records that are compressed, duplicate or out of place, the byte order of the older form, tensors
that take more memory than the file, unlimited nesting.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import re
import reprlib
import warnings
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import OrderedDict
from pathlib import Path
from typing import IO, Any

import safetensors.torch
import torch
from torch import Tensor

from keypoint.errors import CheckpointError, printable

DTYPES = (
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32,
    torch.int16, torch.int8, torch.uint8, torch.bool,
)  # fmt: skip
# Numbers of a tensor that repeats some of its storage (`expand`): results computed from it take
# memory that the file does not. The largest layer of our networks has half as many.
LARGEST_REPEATED = 1 << 24
# Far beyond normal files. Shared values count each time, as a small file can expand to billions.
MOST_VALUES, DEEPEST = 1_000_000, 64
LETTERS, BITS = 100, 64  # of a text and of an integer that count as one value
# Weights need none of these, so the file is refused although a stand-in would be harmless. The
# last one runs no code, but torch would call it, and it creates gigabytes of zeros from a number.
UNSAFE = re.compile(
    r"(os|posix|nt|subprocess|commands|sys|runpy|pty|socket|shutil|importlib|ctypes|webbrowser"
    r"|pickle)\b.*|builtins\.(eval|exec|compile|__import__|open|breakpoint"
    r"|input|globals|bytearray)"
)
TOO_MUCH = f"is too deep or too large (more than {DEEPEST} levels or {MOST_VALUES:,} values)"
OLDER_MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # torch.serialization.MAGIC_NUMBER as a pickle
# The whole of a file such as mmengine's last_checkpoint.
POINTER = re.compile(rb"[\w./\\ -]{1,255}\.(pt|pth|tar|ckpt|safetensors)")


class _EqualsDict(type):
    """torch sets items of dict, OrderedDict and Counter only, and compares classes with `==`."""

    def __eq__(cls, other: object) -> bool:
        return cls is other or other is dict

    __hash__ = type.__hash__


class StandIn(list[Any], metaclass=_EqualsDict):
    """Replaces an object of any class. Contains nothing, and does nothing.

    It is a list, as torch (2.14 and newer) appends to subclasses of list as well.
    """

    def _ignore(self, *_args: object, **_options: object) -> None:
        pass

    __init__ = __setstate__ = __setitem__ = append = extend = _ignore
    __hash__ = object.__hash__  # type: ignore[assignment]
    __eq__ = object.__eq__


def file_form(path: Path) -> str:
    """Return "zip" or "older" (the two of torch.save) or "safetensors", by a file's first bytes.

    Raises:
        CheckpointError: It is none of these; the text says what it is instead.
    """
    try:
        if not path.is_file():
            hint = "it is a folder, give a file in it" if path.is_dir() else "check the path"
            raise CheckpointError(f"{path}: no such file; {hint}")
        with path.open("rb") as file:
            head = file.read(300)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}); give another") from None
    if head[8:9] == b"{":
        return "safetensors"
    if head and b"PK\x03\x04".startswith(head[:4]):
        return "zip"
    if OLDER_MAGIC in head[:64]:
        return "older"
    text = head.strip()
    if not head:
        what = "the file is empty; it was not saved completely, use another copy"
    elif text[:1] == b"<":
        what = "a web page (a saved error page?), not weights; download the file again"
    elif text.startswith(b"version https://git-lfs"):
        what = "a Git LFS pointer, not weights; download the file again"
    elif POINTER.fullmatch(text):
        what = f"not weights, but a text that names {text.decode()!r}, which was not opened; "
        what += "give that file"
    elif head[:1] == b"\x80":
        what = "a bare pickle, which is unsafe and was not opened; get a file of torch.save"
    else:
        what = "is not a checkpoint, nor another file of torch.save or safetensors; "
        what += "give best.pt or last.pt of a run, or weights that keypoint import-weights reads"
    raise CheckpointError(f"{path}: {what}")


def read_tensors(path: Path, *, objects: bool = True) -> Any:
    """Read a file of torch.save, in the zip form or the older one, or of safetensors.

    Args:
        path: The form is recognised by content, not by name.
        objects: Also read a file that contains other objects. Each becomes a `StandIn`, and so does
            a tensor that is not plain numbers: quantised, sparse, complex, of 8-bit floats.

    Returns:
        The content: dicts, lists, plain types, tensors on the CPU. A state dict with torch's
        `_metadata` is an OrderedDict with that attribute.

    Raises:
        CheckpointError: The file is missing, damaged, not a weights file, or made to run code or to
            fill the memory.
    """
    form = file_form(path)
    try:
        if form == "safetensors":
            return safetensors.torch.load_file(path)
        with path.open("rb") as file:
            names = _names_in_zip(path, file) if form == "zip" else _names_in_older(path, file)
            unsafe = sorted(name for name in names if UNSAFE.fullmatch(name))
            if unsafe:
                raise CheckpointError(
                    f"{path}: unsafe, it was made to run code ({printable(unsafe[0])}), which "
                    "was not run. Get the weights from their publisher"
                )
            file.seek(0)
            stand_ins: list[Any] = [(StandIn, name) for name in names] if objects else []
            with warnings.catch_warnings(), torch.serialization.safe_globals(stand_ins):
                warnings.simplefilter("ignore")  # "the encoding has no effect": it has
                # Python 2's numpy scalars are not UTF-8. Not mmap: it checks no record's size.
                content = torch.load(file, map_location="cpu", weights_only=True, encoding="latin1")
            if form == "older" and file.read(1):
                raise ValueError("some numbers belong to no tensor")
        return _plain(path, content)
    except CheckpointError:
        raise
    except pickle.UnpicklingError:  # its text advises to run the file's code
        what = "it contains objects that can only be built by running its code"
        remedy = "keypoint import-weights extracts the tensors"
        if objects:
            what = "its pickle does more than weights need, or is of protocol 3 or newer"
            remedy = "save only the state dict with torch.save and give that"
        raise CheckpointError(
            f"{path}: not a file of tensors, or unsafe: {what}; no code was run; {remedy}"
        ) from None
    except Exception as error:  # a damaged file can fail in any way
        line = str(error).partition("\n")[0].partition(". ")[0][:200]
        raise CheckpointError(
            f"{path}: truncated or corrupt ({printable(line) or type(error).__name__}); "
            "use another copy"
        ) from None


def _names_in_zip(path: Path, file: IO[bytes]) -> set[str]:
    """Check the records; return the classes and functions that the pickle names."""
    try:
        archive = zipfile.ZipFile(file)
    except zipfile.BadZipFile:
        raise ValueError("its zip end is missing or not at the end") from None
    pickles = [name for name in archive.namelist() if re.fullmatch(r"[^/]+/data\.pkl", name)]
    if len(pickles) != 1 or any(name.endswith("/constants.pkl") for name in archive.namelist()):
        raise CheckpointError(
            f"{path}: a zip file, but not of torch.save (a TorchScript module?); save the state "
            "dict with torch.save and give that"
        )
    names: set[str] = set()
    for entry in archive.infolist():
        name = entry.filename.lower()  # torch ignores the case
        if not {"", ".", ".."}.isdisjoint(name.split("/")):
            raise ValueError(f"record {name} has no plain name")
        if name in names:
            raise ValueError(f"record {name} is there twice, and readers differ in which they use")
        if entry.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"record {name} is compressed, which torch does not do")
        names.add(name)
    if sum(entry.file_size for entry in archive.infolist()) > path.stat().st_size:
        raise ValueError("its records are larger than the file")
    if min(entry.header_offset for entry in archive.infolist()) > 0 or archive.comment:
        # Two concatenated archives: readers differ in which they use.
        raise ValueError("it contains more than its records")
    damaged = archive.testzip()
    if damaged:  # torch itself reads past a flipped bit
        raise CheckpointError(
            f"{path}: corrupt, wrong checksum (CRC) of {damaged!r}; use another copy"
        )
    return _scan(io.BytesIO(archive.read(pickles[0])))[0]


def _names_in_older(path: Path, file: IO[bytes]) -> set[str]:
    """Return the names in the fourth of its pickles: magic, protocol, machine, content, keys."""
    parts = [_scan(file) for _ in range(4)]
    if "NEWFALSE" in parts[2][1]:  # {"little_endian": False}, which torch does not look at
        raise CheckpointError(
            f"{path}: numbers in another byte order than this machine's; load it on a machine with "
            "that order and save it as safetensors"
        )
    return parts[3][0]


def _scan(file: IO[bytes]) -> tuple[set[str], set[str]]:
    """Return the names and the opcodes of a pickle, and leave the file position after it.

    Raises:
        ValueError: A tuple expands without limit; as a key, torch would hash it while reading.
    """
    names, opcodes = set(), set()
    tuples = _Tuples()
    for opcode, value, _ in pickletools.genops(file):
        opcodes.add(opcode.name)
        tuples.follow(opcode, value)
        if opcode.name == "GLOBAL":  # by its name in Python 2, as in all pickles of protocol 2
            module, _, name = str(value).partition(" ")
            module, name = NAME_MAPPING.get((module, name), (module, name))
            names.add(f"{IMPORT_MAPPING.get(module, module)}.{name}")
    return names, opcodes


class _Tuples:
    """The stack of a pickle while reading, with the values and levels of each tuple on it."""

    OTHER = (1, 0)
    MARK = (0, 0)

    def __init__(self) -> None:
        self.stack: list[tuple[int, int]] = []
        self.memo: dict[int, tuple[int, int]] = {}
        self.shared = 0  # values of tuples that were taken from the memo

    def follow(self, opcode: pickletools.OpcodeInfo, argument: Any) -> None:
        """Do one step.

        Raises:
            ValueError: A tuple has too many values or levels.
        """
        before, after = list(opcode.stack_before), [self.OTHER] * len(opcode.stack_after)
        taken: list[tuple[int, int]] = []
        if pickletools.markobject in before:
            while (item := self.stack.pop()) is not self.MARK:
                taken.append(item)
            before = before[: before.index(pickletools.markobject)]
        if opcode.name.endswith("GET"):
            after = [self.memo[int(argument)]]
            self.shared += after[0][0]
        elif opcode.name.endswith("PUT"):
            self.memo[int(argument)] = self.stack[-1]
        elif opcode.name == "MARK":
            after = [self.MARK]
        taken += [self.stack.pop() for _ in before]
        if opcode.name.startswith("TUPLE"):
            after = [(1 + sum(n for n, _ in taken), 1 + max((d for _, d in taken), default=0))]
        self.stack += after
        if self.shared > MOST_VALUES or (after and after[-1][1] > DEEPEST):
            raise ValueError(f"a tuple {TOO_MUCH}")


def _plain(path: Path, content: Any) -> Any:
    """Copy dicts, lists and tensors, because a file can set their attributes (`items` to None).

    Raises:
        CheckpointError: There are too many values; the text names the part.
        ValueError: A tensor takes more memory than the file.
    """
    file_size, count, part = path.stat().st_size, 0, "content"

    def copy(value: Any, depth: int = 0) -> Any:
        nonlocal count, part
        count += 1
        if isinstance(value, str | bytes | bytearray):
            count += len(value) // LETTERS
        elif isinstance(value, int):
            count += value.bit_length() // BITS
        if count > MOST_VALUES or depth > DEEPEST:
            raise CheckpointError(f"{path}: its {part} {TOO_MUCH}; use another copy")
        if isinstance(value, Tensor):
            return _plain_tensor(value, file_size)
        if type(value) in (list, tuple, set, frozenset):
            return type(value)(copy(item, depth + 1) for item in value)
        if not isinstance(value, dict):
            return value
        pairs = []
        for key, entry in dict.items(value):
            if depth == 0:
                part = reprlib.repr(key) if isinstance(key, str | int) else "content"
            pairs.append((copy(key, depth + 1), copy(entry, depth + 1)))
        if type(value) is not OrderedDict or "_metadata" not in vars(value):
            return dict(pairs)
        part = "metadata" if depth == 0 else part
        state = OrderedDict(pairs)
        state._metadata = copy(vars(value)["_metadata"], depth + 1)  # type: ignore[attr-defined]
        return state

    return copy(content)


def _plain_tensor(value: Tensor, file_size: int) -> Any:
    tensor = Tensor.detach(value)
    is_dense = tensor.layout is torch.strided and not tensor.is_nested
    if not is_dense or tensor.device.type != "cpu" or tensor.dtype not in DTYPES:
        return StandIn()
    stored = tensor.untyped_storage().nbytes()
    if stored > file_size:
        raise ValueError(f"a tensor of {tuple(tensor.shape)} is larger than the file")
    if tensor.numel() > max(stored // tensor.itemsize, LARGEST_REPEATED):
        raise ValueError(f"a tensor of {tuple(tensor.shape)} repeats {stored} bytes")
    return tensor
