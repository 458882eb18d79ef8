"""`run.py peers`: compare the whole path with other code, or with straightforward code.

Both sides run in separate processes, one at a time, on the same persons, files and heatmaps. Data
path, the work after the network, reading and starts: CPU time of one thread. Other code is imported
from its folder.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import tempfile
from importlib.metadata import version
from pathlib import Path

import reading
import start
import torch
from data_path import GENERATED_SIZE, generate
from peer_side import (
    AFTER,
    EVALUATION,
    FIRST,
    PREDICT,
    READ,
    STEP,
    TRAINING,
    PeerSetting,
    Side,
    of_theirs,
)
from peer_side import (
    HELP as START_HELP,
)
from timing import Seconds, add_number, clock, interleave, median_ratio, size, table

from keypoint.errors import ConfigError
from keypoint.pose.skeleton import load_skeleton
from keypoint.progress import progress

HELP, DESCRIPTION = "ours and others' code", "Time ours next to HRNet's code, mmpose or loops."
CPU = torch.device("cpu")
WARM_UP = 1  # rounds
KINDS = {  # what --only takes: the works' names begin with
    "data": (TRAINING.partition(",")[0], EVALUATION.partition(",")[0]),
    "step": (STEP.partition(",")[0],),
    "predict": (PREDICT,),
    "after": (AFTER,),
    "read": (READ,),
    "start": (START_HELP, FIRST),
}
UNITS = {"data": "ms a crop", "step": "ms a crop", "predict": "ms a person", "after": "ms a box"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `peers`."""
    add = parser.add_argument
    add("--hrnet", type=Path, metavar="DIR", help="a clone of the HRNet repository, compared with")
    add("--mmpose", action="store_true", help="compare with mmpose 1.x, if it is installed")
    add("--images", type=Path, metavar="DIR", help="folder of images; default: generated ones")
    add("--annotations", type=Path, metavar="FILE", help="their COCO annotations")
    add("--only", nargs="+", choices=list(KINDS), default=list(KINDS), help="default: all")
    sizes = [(256, 192), (384, 288)]
    add("--input-size", type=size, nargs="+", default=sizes, metavar="HxW", help="256x192 384x288")
    add_number(parser, "--generate", 32, "images to generate")
    add_number(parser, "--batch", 32, "crops in a batch")
    add_number(parser, "--crops", 60, "in a round of evaluation")
    add_number(parser, "--step-batch", 8, "crops in a training step")
    add_number(parser, "--photos", 12, "images to predict")
    add_number(parser, "--boxes", 2000, "after the network")
    add_number(parser, "--persons", 21_860, "in the annotation file to read")
    add_number(parser, "--threads", 2, "of step and prediction: one is timed in CPU time")
    add_number(
        parser, "--rounds", 7, "measured rounds; starts, steps and reading take half of them"
    )


def measure(args: argparse.Namespace) -> str:
    """Measure all works next to each other side."""
    if (args.images is None) != (args.annotations is None):
        raise ConfigError("--images and --annotations belong together; give both or neither")
    sides = others(args)
    with tempfile.TemporaryDirectory(prefix="keypoint-benchmark-") as name:
        setting = prepare(args, Path(name))
        tables = [measure_side(args, setting, *side) for side in sides]
    source = args.images or f"generated, {GENERATED_SIZE[1]}x{GENERATED_SIZE[0]} (width x height)"
    header = ["work", "against", "unit", "theirs", "ours", "times", "lowest", "highest"]
    rows = [row for rows in tables for row in rows]
    return (
        f"* images: {source}; step and prediction: ResNet-50, {clock(CPU, args.threads)}; others: "
        f"CPU time of one thread; {args.rounds} rounds; load {os.getloadavg()[0]:.1f} at the end"
        "\n\n"
        f"{table(header, rows)}\n"
    )


def others(args: argparse.Namespace) -> list[tuple[str, str, Path | None]]:
    """Names, modules and folders of the sides to compare with.

    Raises:
        ConfigError: A requested one is not available.
    """
    sides: list[tuple[str, str, Path | None]] = []
    if args.hrnet is not None:
        if not (args.hrnet / "lib" / "core" / "function.py").is_file():
            raise ConfigError(
                f"--hrnet {args.hrnet}: is not a clone of "
                "github.com/leoxiaobin/deep-high-resolution-net.pytorch; give its folder"
            )
        missing = [name for name in ("yacs", "json_tricks") if not importable(name)]
        if missing:
            raise ConfigError(f"--hrnet: its code needs {missing}; pip install yacs json_tricks")
        sides.append(("HRNet's code", "peer_hrnet", args.hrnet.resolve()))
    if args.mmpose:
        missing = [name for name in ("mmpose", "mmcv", "mmengine") if not importable(name)]
        if missing:
            raise ConfigError(f"--mmpose: {missing} not installed; see docs/benchmarks/others.md")
        sides.append((f"mmpose {version('mmpose')}", "peer_mmpose", None))
    return sides or [("straightforward", "peer_straightforward", None)]


def importable(name: str) -> bool:
    """Whether a package is installed."""
    return importlib.util.find_spec(name) is not None


def prepare(args: argparse.Namespace, folder: Path) -> PeerSetting:
    """Write the files that the works need."""
    images, annotations = args.images, args.annotations
    if images is None:
        generate(folder, args.generate, load_skeleton("coco17"))
        images = folder / "train2017"
        annotations = folder / "annotations" / "person_keypoints_train2017.json"
    file = folder / "many.json"
    if "read" in args.only:
        reading.write_annotations(file, args.persons)
    if {"predict", "start"} & set(args.only):
        start.write_files(folder, args.input_size[0])
    return PeerSetting(
        folder=folder,
        annotations=annotations.resolve(),
        images=images.resolve(),
        sizes=tuple(args.input_size),
        batch=args.batch,
        crops=args.crops,
        step_batch=args.step_batch,
        photos=args.photos,
        boxes=args.boxes,
        file=file,
        threads=args.threads,
    )


def measure_side(
    args: argparse.Namespace, setting: PeerSetting, name: str, module: str, code: Path | None
) -> list[list[str]]:
    """The rows of one other side."""
    setting = PeerSetting(**(vars(setting) | {"code": code}))
    with contextlib.ExitStack() as stack:
        ours = stack.enter_context(Side("peer_ours", setting))
        theirs = stack.enter_context(Side(module, setting))
        groups: dict[str, list[str]] = {}
        for work in ours.names:
            if kind_of(work) in args.only and of_theirs(work) in theirs.names:
                groups.setdefault(of_theirs(work), []).append(work)
        rows, steps = [], sum(1 + len(works) for works in groups.values())
        total = sum(
            (WARM_UP + rounds_of(kind_of(work), args.rounds)) * (1 + len(works))
            for work, works in groups.items()
        )
        with progress(total, f"{steps} ways, {name}", "round") as bar:
            for work, works in groups.items():
                ways = {"theirs": theirs.way(work), **{own: ours.way(own) for own in works}}
                rounds = rounds_of(kind_of(work), args.rounds)
                taken = interleave(ways, rounds=rounds, warm_up=WARM_UP, bar=bar)
                rows += [row(own, name, taken["theirs"], taken[own]) for own in works]
                ours.drop()
                theirs.drop()
    return rows


def kind_of(work: str) -> str:
    """Return the name of a work for --only."""
    return next(kind for kind, names in KINDS.items() if work.startswith(names))


def rounds_of(kind: str, rounds: int) -> int:
    """Return the number of measured rounds; half as many for works that take seconds."""
    return rounds if kind in ("data", "predict", "after") else -(-rounds // 2)


def row(work: str, name: str, theirs: Seconds, ours: Seconds) -> list[str]:
    """Return the figures of a work; the ratio, above 1 if ours is faster, as median and range."""
    unit = UNITS.get(kind_of(work), "s")
    scale = 1000 if unit.startswith("ms") else 1
    ratios = theirs / ours
    return [
        work,
        name,
        unit,
        *(f"{scale * sorted(taken)[len(taken) // 2]:.4g}" for taken in (theirs, ours)),
        *(f"{r:.2f}" for r in (median_ratio(theirs, ours), ratios.min(), ratios.max())),
    ]
