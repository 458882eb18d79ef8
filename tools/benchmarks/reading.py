"""`run.py read`: annotation files, ours and pycocotools.

Generated files in the form of COCO's `person_keypoints_*.json`: with outlines, which are most of
the bytes, the images' addresses, and one crowd in a hundred annotations. Ours parses, checks every
entry and returns arrays; `pycocotools.coco.COCO(file)` parses and returns dicts by id.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from timing import Seconds, add_number, count, cpu_seconds, interleave, median_ratio, table

from keypoint.data.annotations import read_annotations
from keypoint.pose.skeleton import Skeleton, load_skeleton
from keypoint.progress import progress

HELP, DESCRIPTION = "persons/s from annotation files", "Time the reading of annotation files."
SEED = 0
PERSONS_AN_IMAGE = 3.6  # of the images of val2017 with persons
SIDES = np.array([640, 480])
SKELETON = load_skeleton("coco17")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `read`."""
    parser.add_argument(
        "--persons",
        type=count,
        nargs="+",
        default=[21_860, 109_300],
        metavar="N",
        help="in a file (21860 109300)",
    )
    add_number(parser, "--rounds", 5, "measured rounds")


def measure(args: argparse.Namespace) -> str:
    """Measure time and memory for each size."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for persons in args.persons:
            file = Path(folder) / f"person_keypoints_{persons}.json"
            write_annotations(file, persons)
            rows += measure_file(file, persons, args.rounds)
    header = ["persons", "MB", "way", "s", "persons/s", "times pycocotools", "peak MB", "kept MB"]
    return (
        f"* generated files; CPU time of one thread, with freeing the result; {args.rounds} "
        f"round(s); memory as tracemalloc counts it, in a run of its own\n\n{table(header, rows)}\n"
    )


def measure_file(file: Path, persons: int, rounds: int) -> list[list[str]]:
    """The rows of a file."""
    ways: dict[str, Callable[[], Any]] = {
        "pycocotools": lambda: read_by_pycocotools(file),
        "json.load alone": lambda: json.loads(file.read_bytes()),
        "ours": lambda: read_annotations(file, Path(), SKELETON, scored=True),
    }
    timed = {name: lambda _, read=read: cpu_seconds(read) for name, read in ways.items()}
    with progress((rounds + 1) * len(ways), f"read {persons:,} persons", "file") as bar:
        seconds: dict[str, Seconds] = interleave(timed, rounds=rounds, warm_up=1, bar=bar)
    if not len(ways["ours"]()) == len(ways["pycocotools"]().anns) == persons:
        raise AssertionError(f"{file}: the two ways did not find {persons} persons")
    rows = []
    for name, read in ways.items():
        peak, kept = memory(read)
        middle = float(np.median(seconds[name]))
        ratio = median_ratio(seconds["pycocotools"], seconds[name])
        size = f"{file.stat().st_size / 1e6:.0f}"
        numbers = [f"{middle:.2f}", f"{persons / middle:,.0f}", f"{ratio:.2f}"]
        rows.append([f"{persons:,}", size, name, *numbers, f"{peak:.0f}", f"{kept:.1f}"])
    return rows


def read_by_pycocotools(file: Path) -> COCO:
    """Read as the data sets of SimpleBaseline, HRNet and mmpose do first."""
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(file))


def memory(read: Callable[[], Any]) -> tuple[float, float]:
    """MB at most while reading, and after it."""
    tracemalloc.start()
    try:
        result = read()
        kept, peak = tracemalloc.get_traced_memory()
        del result
    finally:
        tracemalloc.stop()
    return peak / 1e6, kept / 1e6


def write_annotations(file: Path, persons: int) -> None:
    """Write a file with this number of persons."""
    rng, skeleton = np.random.default_rng(SEED), SKELETON
    images = [image(number) for number in range(1, int(persons / PERSONS_AN_IMAGE) + 2)]
    content = {
        "info": {"description": "COCO's form", "url": "http://cocodataset.org", "year": 2017},
        "licenses": [{"url": "http://creativecommons.org/licenses/by/2.0/", "id": 1, "name": "BY"}],
        "images": images,
        "annotations": [
            person(number, images[rng.integers(len(images))]["id"], rng, skeleton)
            for number in range(1, persons + 1)
        ],
        "categories": [
            {
                "supercategory": "person",
                "id": 1,
                "name": "person",
                "keypoints": list(skeleton.keypoints),
                "skeleton": [[16, 14], [14, 12]],
            }
        ],
    }
    file.write_text(json.dumps(content), encoding="utf-8")


def image(number: int) -> dict[str, Any]:
    """An entry of `images`."""
    name = f"{number:012d}.jpg"
    return {
        "license": 1,
        "file_name": name,
        "coco_url": f"http://images.cocodataset.org/val2017/{name}",
        "height": int(SIDES[1]),
        "width": int(SIDES[0]),
        "date_captured": "2013-11-14 17:02:52",
        "flickr_url": f"http://farm7.staticflickr.com/6116/{number:010d}_8c6d0dd0a6_z.jpg",
        "id": number,
    }


def person(
    number: int, image_id: int, rng: np.random.Generator, skeleton: Skeleton
) -> dict[str, Any]:
    """An entry of `annotations`; one in a hundred is a crowd, half of the rest are unlabelled."""
    crowd = number % 100 == 0
    corner, sides = rng.uniform(0, SIDES / 2), rng.uniform(20, SIDES / 2)
    keypoints = np.zeros((len(skeleton.keypoints), 3), dtype=np.int64)
    if not crowd and number % 2:
        keypoints[:, 2] = rng.integers(0, 3, len(keypoints))
        keypoints[0, 2] = 2
        inside = rng.uniform(corner, corner + sides, (len(keypoints), 2)).astype(np.int64)
        keypoints[:, :2] = np.where(keypoints[:, 2:] > 0, inside, 0)
    outline = rng.uniform(corner, corner + sides, (rng.integers(10, 60), 2)).round(2)
    counts = rng.integers(1, 300, 200).tolist()
    return {
        "segmentation": {"counts": counts, "size": SIDES[::-1].tolist()}
        if crowd
        else [outline.ravel().tolist()],
        "num_keypoints": int((keypoints[:, 2] > 0).sum()),
        "area": round(float(sides.prod() / 2), 4),
        "iscrowd": int(crowd),
        "keypoints": keypoints.ravel().tolist(),
        "image_id": image_id,
        "bbox": [*corner.round(2).tolist(), *sides.round(2).tolist()],
        "category_id": 1,
        "id": 900_100_000_000 + number if crowd else 400_000 + number,
    }
