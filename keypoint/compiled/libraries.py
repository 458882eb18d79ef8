"""Small optional C++ libraries for CPUs: faster versions of functions of this package.

`setup.py` builds `cpp/` once for each width of vector registers, and continues without a library
that fails to build. Then, on other processors, and with KEYPOINT_COMPILED=0, PyTorch computes
everything. The libraries are called by ctypes; they depend on neither Python nor torch and keep no
state.

A caller asks `libraries` at each call, and uses PyTorch if the list is empty.
"""

from __future__ import annotations

import ctypes
import functools
import os
from pathlib import Path

import torch

SWITCH = "KEYPOINT_COMPILED"
# The files for each CPU capability that PyTorch reports, the fastest first.
FILES = {"AVX512": ("avx512.so", "avx2.so"), "AVX2": ("avx2.so",)}
OTHERS = ("generic.so",)
PROCESS = os.getpid()


@functools.cache
def libraries() -> tuple[ctypes.CDLL, ...]:
    """Return the libraries that this machine can use, the fastest first."""
    if os.environ.get(SWITCH) == "0":
        return ()
    found = []
    for name in FILES.get(torch.backends.cpu.get_cpu_capability(), OTHERS):
        try:
            found.append(ctypes.CDLL(str(Path(__file__).with_name(name))))
        except OSError:  # not built, or for another system
            continue
    return tuple(found)


def state() -> str:
    """Return a sentence about whether compiled code is used."""
    if os.environ.get(SWITCH) == "0":
        return f"off, because of {SWITCH}=0"
    if libraries():
        return f"on, {Path(libraries()[0]._name).stem}"
    return "off: not built for this processor; install g++ or clang, then keypoint again"


def threads() -> int:
    """Return PyTorch's number of threads; 1 in a forked process, which has no OpenMP threads."""
    return torch.get_num_threads() if os.getpid() == PROCESS else 1
