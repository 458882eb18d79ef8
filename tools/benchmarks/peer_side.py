"""One side of `run.py peers` in a separate process.

So allocator settings, patched modules and the search path of one side do not affect the other.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

Size = tuple[int, int]
Way = Callable[[int], float]  # number of a round -> seconds an item

# Names of works, filled with a size or a number. Variants of ours end in " (...)".
TRAINING, EVALUATION = "training data, {}", "evaluation data, {} an image"
STEP, PREDICT = "training step, {}", "persons from files"
AFTER, READ = "after the network", "reading annotations"
HELP, FIRST = "start: help", "start: first result"


@dataclass(frozen=True)
class PeerSetting:
    """Data and settings of both sides.

    Attributes:
        folder: For files of this run.
        annotations, images: COCO file and folder of the data paths and of prediction.
        sizes: (height, width) of crops; if only one is measured, the first.
        batch: Crops in a batch of the data paths.
        crops: Approximate number in a round of evaluation.
        step_batch: Crops in a training step.
        photos: Images to predict.
        boxes: After the network.
        file: Annotation file to read.
        threads: Of the training step and of prediction.
        code: Folder of the other side's code, if it has one.
    """

    folder: Path
    annotations: Path
    images: Path
    sizes: tuple[Size, ...]
    batch: int
    crops: int
    step_batch: int
    photos: int
    boxes: int
    file: Path
    threads: int
    code: Path | None = None


def words(size: Size) -> str:
    """256x192."""
    return f"{size[0]}x{size[1]}"


def of_theirs(work: str) -> str:
    """The other side's work that a variant of ours is compared with."""
    return work.partition(" (")[0]


class Side:
    """A process that does the works of a module.

    Args:
        module: Has `works(setting)`: functions by name of work, each gives a `Way`.
        setting: For it.
    """

    def __init__(self, module: str, setting: PeerSetting) -> None:
        spawn = multiprocessing.get_context("spawn")  # a forked one would have our settings
        self._pool = ProcessPoolExecutor(1, mp_context=spawn)
        self.names: list[str] = self._call(_begin, module, setting)

    def way(self, work: str) -> Way:
        """The work, for `interleave`."""
        return lambda number: float(self._call(_run, work, number))

    def drop(self) -> None:
        """Free the memory of the works so far."""
        self._call(_drop)

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return self._pool.submit(function, *arguments).result()

    def __enter__(self) -> Side:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._pool.shutdown()


# In the process of the side.
_works: dict[str, Callable[[], Way]] = {}
_built: dict[str, Way] = {}


def _begin(module: str, setting: PeerSetting) -> list[str]:
    _works.update(importlib.import_module(module).works(setting))
    return list(_works)


def _run(work: str, number: int) -> float:
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints what it does
        if work not in _built:
            _built[work] = _works[work]()
        return _built[work](number)


def _drop() -> None:
    _built.clear()
