"""Tensors out of a safetensors file (timm's weights are published as such), without the package.

Source: the format's specification: a length (8 bytes, little endian), so many bytes of JSON
{name: {dtype, shape, data_offsets}}, then the numbers of all tensors, without gaps.
"""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path

import torch
from torch import Tensor

from keypoint.errors import CheckpointError
from keypoint.models.weights.tensor_reader import first_line

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def is_safetensors(path: Path) -> bool:
    """Whether a file begins as one, whatever its name."""
    with path.open("rb") as file:
        start = file.read(9)
    return len(start) == 9 and start[8:] == b"{"


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors by name.

    Raises:
        CheckpointError: Truncated, or a header that does not agree with the file.
    """
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            data_size = path.stat().st_size - 8 - length
            if data_size < 0:
                raise ValueError(f"a header of {length} bytes does not fit the file")
            header = json.loads(file.read(length))
            data = bytearray(file.read())
        header.pop("__metadata__", None)
        tensors, end = {}, 0
        for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
            dtype, shape = DTYPES[entry["dtype"]], entry["shape"]
            start, stop = entry["data_offsets"]
            if start != end or stop - start != math.prod(shape) * dtype.itemsize:
                raise ValueError(f"{name} does not lie where its shape and neighbours say")
            count, end = math.prod(shape), stop
            tensors[name] = (
                torch.frombuffer(data, dtype=dtype, count=count, offset=start).reshape(shape)
                if count
                else torch.empty(shape, dtype=dtype)
            )
        if end != data_size:
            raise ValueError(f"{data_size} bytes of numbers, the header knows {end}")
    except Exception as error:  # a damaged header can be anything that JSON can say
        raise CheckpointError(
            f"{path}: truncated or corrupt safetensors file ({first_line(error)}); use another copy"
        ) from None
    return tensors
