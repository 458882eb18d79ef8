"""Small libraries of C++ for CPUs, where they were built: the same functions as ours, faster.

`setup.py` builds `cpp/` once for each width of vector registers, and goes on without where that
fails. Then, on other processors, and with KEYPOINT_COMPILED=0, PyTorch computes everything. The
libraries are called by ctypes: they use nothing of Python or of torch, and keep nothing.

What can use one asks `libraries` at each call, and does its work with PyTorch if there is none.
"""

from __future__ import annotations

import ctypes
import functools
import os
from pathlib import Path

import torch

SWITCH = "KEYPOINT_COMPILED"
# The files that run on a processor, by what PyTorch says of it; the quickest first.
FILES = {"AVX512": ("avx512.so", "avx2.so"), "AVX2": ("avx2.so",)}
OTHERS = ("generic.so",)
PROCESS = os.getpid()


@functools.cache
def libraries() -> tuple[ctypes.CDLL, ...]:
    """The libraries that this machine can use, the quickest first."""
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
    """Whether compiled code is used, in words."""
    if os.environ.get(SWITCH) == "0":
        return f"off, by {SWITCH}=0"
    if libraries():
        return f"on, {Path(libraries()[0]._name).stem}"
    return "off: not built for this processor; to install keypoint with it takes g++ or clang"


def threads() -> int:
    """As many as PyTorch uses; one in a forked process, which has lost OpenMP's threads."""
    return torch.get_num_threads() if os.getpid() == PROCESS else 1
