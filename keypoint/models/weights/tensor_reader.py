"""Tensors out of a torch file of anybody, without running, or even importing, what the file names.

Training checkpoints of other toolkits hold objects beside the weights (configs, histories, numpy
scalars). `inert_pickle` gives placeholders for them, and notes which bytes make a tensor; those are
read here, with their bounds checked.

Read are the zip form (torch 1.6 and newer) and the older one: five pickles, then raw numbers.
"""

from __future__ import annotations

import io
import math
import re
import struct
import sys
import zipfile
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from keypoint.errors import CheckpointError
from keypoint.models.weights.inert_pickle import Inert, OrderedPairs, Storage, Stored, unpickle

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # of the older form (torch.serialization)
SAVE_AGAIN = "load and save it on a machine of its kind, as safetensors"
# Numbers of a tensor that repeats some of its storage (`expand`): what is computed of it takes
# memory that the file does not. The largest layer of our networks has half as many.
LARGEST_REPEATED = 1 << 24
# The whole of a file such as mmengine's last_checkpoint.
POINTER = re.compile(rb"[\w./\\ -]{1,255}\.(pt|pth|tar|ckpt|safetensors)")


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
        raise CheckpointError(
            f"{path}: truncated, corrupt or no torch file ({type(error).__name__}: "
            f"{first_line(error)}); use another copy"
        ) from None


def first_line(error: Exception) -> str:
    """The beginning of another library's message, without what a damaged name brings into it."""
    line = (str(error).splitlines() or [type(error).__name__])[0][:200]
    return "".join(letter if letter.isprintable() else "?" for letter in line)


def check_file(path: Path) -> None:
    """Refuse what is not there, a folder, an empty file, a web page, and the name of another file.

    Raises:
        CheckpointError: Says which.
    """
    if not path.is_file():
        hint = "it is a folder, give a file in it" if path.is_dir() else "check the path"
        raise CheckpointError(f"{path}: no such file; {hint}")
    if path.stat().st_size == 0:
        raise CheckpointError(
            f"{path}: the file is empty; it was not saved completely, use another copy"
        )
    with path.open("rb") as file:
        text = file.read(300).strip()
    if text.startswith((b"<", b"version https://git-lfs")):
        what = "a web page (a saved error page?)" if text[:1] == b"<" else "a Git LFS pointer"
        raise CheckpointError(f"{path}: {what} and no weights; download the file again")
    if POINTER.fullmatch(text):
        raise CheckpointError(
            f"{path}: no weights, but a text that names {text.decode()!r}, which was not looked "
            "for; give the file itself"
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
        raise CheckpointError(
            f"{path}: numbers in another byte order than this machine's; {SAVE_AGAIN}"
        )
    # Whole, as its CRC is looked at once the last byte is read.
    data = archive.read(stored_plainly(archive, pickles[0]))
    content, _ = unpickle(io.BytesIO(data), path)

    def read(storage: Storage) -> bytes:
        entry = stored_plainly(archive, f"{folder}data/{storage.key}")
        if entry.file_size != storage.numel * storage.dtype.itemsize:
            raise ValueError(
                f"record {entry.filename} has {entry.file_size} bytes for {storage.numel} numbers"
            )
        return archive.read(entry)  # checks the CRC; torch itself does not

    return content, read


def stored_plainly(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    """A record's entry. Torch compresses nothing, and what is plain cannot grow out of its file.

    Raises:
        ValueError: It is compressed.
    """
    entry = archive.getinfo(name)
    if entry.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"record {name} is compressed")
    return entry


def _older_form(path: Path, file: IO[bytes]) -> tuple[Any, Any]:
    """As `_zip_form`: magic, protocol, system, object, keys, then per key a count and numbers."""
    if unpickle(file, path)[0] != MAGIC or unpickle(file, path)[0] != PROTOCOL:
        raise CheckpointError(
            f"{path}: not a file of torch.save; a bare pickle is unsafe and holds no tensors"
        )
    system, _ = unpickle(file, path)
    if not (isinstance(system, dict) and system.get("little_endian") is True):
        raise CheckpointError(
            f"{path}: numbers in another byte order than this machine's; {SAVE_AGAIN}"
        )
    content, storages = unpickle(file, path)
    places: dict[Any, int] = {}
    for key in unpickle(file, path)[0]:
        storage = storages[key]
        if not isinstance(storage.dtype, torch.dtype):  # nor is it known where the next one begins
            raise CheckpointError(
                f"{path}: holds numbers of a type that is not supported (quantised, or of 8 bits); "
                "save the state dict alone, in float32, and give that"
            )
        (numel,) = struct.unpack("<q", file.read(8))
        if numel != storage.numel:
            raise ValueError(f"storage {key} has {numel} numbers in place of {storage.numel}")
        places[key] = file.tell()
        file.seek(numel * storage.dtype.itemsize, 1)
    if file.tell() > path.stat().st_size:
        raise EOFError("the file ends before its numbers do")

    def read(storage: Storage) -> bytes:
        file.seek(places[storage.key])
        return file.read(storage.numel * storage.dtype.itemsize)

    return content, read


def _resolve(content: Any, read: Any) -> Any:
    """The object with the tensors of its top mapping, and of mappings in that, read."""
    flats: dict[tuple[Any, Any], Tensor] = {}

    def tensor(stored: Stored) -> Tensor | Inert:
        storage, offset, size, stride = stored
        if not isinstance(storage.dtype, torch.dtype):
            return Inert()
        whole = [storage.numel, storage.start, storage.size, offset, *size, *stride]
        if any(type(number) is not int or number < 0 for number in whole):
            raise ValueError("a tensor's size, stride or offset is no whole number")
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if 0 not in size and last >= storage.size or storage.start + storage.size > storage.numel:
            raise ValueError(
                f"a tensor of {tuple(size)}, strides {tuple(stride)}, is larger than its storage"
            )
        if math.prod(size) > max(storage.size, LARGEST_REPEATED):
            raise ValueError(f"a tensor of {tuple(size)} repeats {storage.size} numbers")
        place = (storage.key, storage.dtype)
        if place not in flats:
            data = bytearray(read(storage))
            flat = torch.frombuffer(data, dtype=storage.dtype) if data else torch.empty(0)
            flats[place] = flat.to(storage.dtype)
        return flats[place].as_strided(size, stride, storage.start + offset)

    def resolve(value: Any, depth: int) -> Any:
        if isinstance(value, Stored):
            return tensor(value)
        if isinstance(value, dict) and depth:
            pairs = ((key, resolve(item, depth - 1)) for key, item in value.items())
            resolved = OrderedPairs(pairs)
            resolved.metadata = getattr(value, "metadata", None)
            return resolved
        return value

    return resolve(content, 2)
