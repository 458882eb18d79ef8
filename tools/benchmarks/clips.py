"""`run.py clips`: clips per second of one core, from video files, in training and in testing.

One process, one thread of each library, CPU time. First it is checked on generated videos that each
way returns the same part of the same frames. "All on this core" includes the normalisation that our
path leaves to the device, because the straightforward way does it too.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import clip_frames
import clip_readers
import clip_videos
import cv2
import numpy as np
import straightforward_clips
import torch
from clip_readers import MMACTION, READERS
from clip_work import View, Work, test_work, train_work
from timing import add_crop_size, add_number, cpu_seconds, interleave, median_ratio, table
from torch import Tensor

from keypoint.action.data.frames import open_frames
from keypoint.action.data.videos import Videos, load_videos
from keypoint.action.networks.c2d import C2D
from keypoint.progress import progress

HELP, DESCRIPTION = "clips/s a core", "Time the data path of videos, in training and in testing."
WARM_UP = 1  # rounds
SLOW, SLOW_CLIP = clip_frames.SEEKS
HEADLINE, UINT8 = "ours, all on this core", "ours, uint8 to the device"
FLOOR = "decoding alone, by OpenCV's grab"
HOW = {"torchvision": "read_video", MMACTION: "its own pipeline, by decord"}
# Largest mean difference of normalised clips that are resized before or after the crop, and of the
# colors of two decoders, of 255. The next frame of generated videos differs by 0.1 and more; in
# videos with sharper detail, resizing alone may.
RESIZED, DECODED = 0.08, 2.0
Way = Callable[[int], Callable[[], object]]  # of a round's number, its work; drawing is done before


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `clips`."""
    text = "a folder with a folder of videos for each class; default: generated ones"
    parser.add_argument("--videos", type=Path, metavar="DIR", help=text)
    add_number(parser, "--generate", 2, "videos to generate with each codec")
    add_crop_size(parser, (224, 224))
    add_number(parser, "--batch", 4, "clips in a training batch")
    add_number(parser, "--clips", 25, "random clips of a video in testing; also 10 x 3 crops")
    add_number(parser, "--rounds", 5, "measured rounds")


def measure(args: argparse.Namespace) -> str:
    """Measure the data path of videos."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    head, rows = [], []
    with tempfile.TemporaryDirectory(prefix="keypoint-benchmark-") as folder:
        for name, videos in load(args, Path(folder)).items():
            path = videos.path(0)
            faults = {other: clip_readers.why_not(other, path) for other in (*READERS, MMACTION)}
            usable = [other for other, why in faults.items() if not why]
            if args.videos is None:
                check_numbers(path, usable)
            works = [
                train_work(videos, args.input_size, args.batch),
                test_work(videos, args.input_size, args.clips, 1),
                test_work(videos, args.input_size, 10, 3),
            ]
            steps = len(works) * (5 + len(usable)) * (args.rounds + WARM_UP)
            with progress(steps, f"clips, {name}", "timing") as bar:
                for work in works:
                    if args.videos is None:
                        check_clips(work, usable)
                    ways = ways_of(work, usable)
                    cells = rate_rows(work, ways, args.rounds, bar)
                    rows += [[name, work.name, *row] for row in cells]
            rows += [
                [name, "all", title(other), why, "", ""] for other, why in faults.items() if why
            ]
            head.append(describe(name, videos))
        misleading = ""
        if args.videos is None and "av" in usable:
            misleading = f"\n{clip_frames.misleading_table(Path(folder), usable)}\n"
    header = ["videos", "path", "way", "ms a clip", "clips/s a core", "times straightforward"]
    size = f"{args.input_size[0]}x{args.input_size[1]}"
    return (
        "\n".join(head) + f"\n* clips of 8 frames, every 8th, of {size} (height x width), "
        "with 3 crops of the whole short side; one process, one thread, CPU time; "
        f"{args.rounds} rounds\n\n{table(header, rows)}\n{misleading}"
    )


def load(args: argparse.Namespace, folder: Path) -> dict[str, Videos]:
    """The given videos, or generated ones by codec."""
    if args.videos is not None:
        return {"given": load_videos(args.videos, args.videos, part="train")}
    return {
        codec: clip_videos.generate(folder / codec, args.generate, codec)
        for codec in clip_videos.codecs()
    }


def describe(name: str, videos: Videos) -> str:
    """Describe the first video."""
    path = videos.path(0)
    with open_frames(path) as video:
        _, frame = next(video.frames_at([0]))
        return (
            f"* videos, {name}: {len(videos)}, the first of {video.claimed} frames of "
            f"{frame.shape[1]}x{frame.shape[0]} (width x height), "
            f"{path.stat().st_size / 1e6:.2f} MB"
        )


def title(other: str) -> str:
    """The name of a library's row."""
    return f"{other}: {HOW.get(other, 'its frames, our crops')}"


def ways_of(work: Work, usable: list[str]) -> dict[str, Way]:
    """All ways to the clips of a work, by the names of their rows."""
    normalize = C2D("resnet18", num_classes=2).normalize

    def by_views(each: Callable[[View], Tensor]) -> Way:
        def prepare(number: int) -> Callable[[], object]:
            views = work.views(number)
            return lambda: torch.cat([each(view) for view in views])

        return prepare

    def by_reader(name: str) -> Way:
        return by_views(lambda view: view.read_by(READERS[name]))

    def grab(number: int) -> Callable[[], object]:
        views = work.views(number)
        return lambda: [view.grabbed() for view in views]

    ways: dict[str, Way] = {
        SLOW: by_views(lambda view: view.slow("frame")),
        SLOW_CLIP: by_views(lambda view: view.slow("clip")),
        HEADLINE: lambda number: lambda: normalize(work.ours(number)),
        UINT8: lambda number: lambda: work.ours(number),
        FLOOR: grab,
    }
    for name in usable:
        way = by_views(lambda view: work.mmaction2(view.path)) if name == MMACTION else None
        ways[title(name).replace(":", f" {version(name)}:", 1)] = way or by_reader(name)
    return ways


def check_numbers(path: Path, usable: list[str]) -> None:
    """Check that each reader returns the generated frames with the requested numbers."""
    found, all_right = clip_frames.right_frames(path, usable)
    assert all_right, f"frames that have the painted number: {found}"


def check_clips(work: Work, usable: list[str]) -> None:
    """Check that the straightforward clips and those of the readers equal ours up to rounding."""
    views, ours = work.views(0), work.ours(0)
    normal = C2D("resnet18", num_classes=2).normalize(ours)

    def check(name: str, difference: Tensor, allowed: float) -> None:
        mean = float(difference.abs().mean())
        assert mean < allowed, f"{work.name}: {name} differs from ours by {mean:.3f} on average"

    seeks: list[straightforward_clips.Seek] = ["frame", "clip"]
    for seek in seeks:
        slow = torch.cat([view.slow(seek) for view in views])
        check(f"seeking each {seek}", slow - normal, RESIZED)
    for name in usable:
        if name in READERS:
            theirs = torch.cat([view.read_by(READERS[name]) for view in views])
            check(name, theirs.float() - ours.float(), DECODED)
        else:
            theirs = torch.cat([work.mmaction2(view.path) for view in views])
            assert theirs.shape == normal.shape, f"{name}: {theirs.shape}"


def rate_rows(work: Work, ways: Mapping[str, Way], rounds: int, bar: Any) -> list[list[str]]:
    """One row for each way; the ratio is the median of the rounds' ratios."""
    clips = sum(map(len, work.views(0)))
    timed = {name: (lambda number, way=way: cpu_seconds(way(number))) for name, way in ways.items()}
    seconds = interleave(timed, rounds=rounds, warm_up=WARM_UP, bar=bar)
    rows = []
    for name, taken in seconds.items():
        each = float(np.median(taken)) / clips
        ratio = median_ratio(seconds[SLOW], taken)
        rows.append([name, f"{1000 * each:.2f}", f"{1 / each:.1f}", f"{ratio:.2f}"])
    return rows
