#!/usr/bin/env python
"""Measure keypoint: tools/benchmarks/run.py --help lists what can be measured."""

from __future__ import annotations

import argparse
import os
import platform
import shlex
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path

import blocks
import clip_model
import clips
import data
import evaluation
import export
import model
import peers
import predict
import reading
import start
import torch
import tracking

from keypoint.commands import cli
from keypoint.distributed import choose_device
from keypoint.errors import ConfigError

MEASURED = {
    "read": reading,
    "data": data,
    "model": model,
    "blocks": blocks,
    "eval": evaluation,
    "export": export,
    "predict": predict,
    "tracking": tracking,
    "clips": clips,
    "clip-model": clip_model,
    "start": start,
    "peers": peers,
}
DOCUMENTS = Path(__file__).parents[2] / "docs" / "benchmarks"
PACKAGES = ("torch", "torchvision", "numpy", "opencv-python-headless", "albumentations")
EPILOG = """examples:
  tools/benchmarks/run.py read
      persons/s from annotation files: ours and pycocotools
  tools/benchmarks/run.py data
      crops/s of one core on generated images: ours and the straightforward way
  tools/benchmarks/run.py data --images /coco/val2017 --annotations
  /coco/annotations/person_keypoints_val2017.json
      on real ones
  tools/benchmarks/run.py model
      ms an image with and without blocks; --device cuda on a GPU
  tools/benchmarks/run.py blocks --blocks srl_fft a2 --how eager compiled
      each block alone, compared with copying its map and with the network
  tools/benchmarks/run.py eval
      everything after the network at val2017's size, ours and straightforward loops
  tools/benchmarks/run.py predict
      persons/s from image files to keypoints, and by one person after the other
  tools/benchmarks/run.py export
      crops to keypoints by torch and by onnxruntime
  tools/benchmarks/run.py tracking
      identity switches of our tracker, and of those of `trackers` if it is installed
  tools/benchmarks/run.py clips
      clips/s of one core from videos: ours, the straightforward way, and other libraries
  tools/benchmarks/run.py clips --videos /kinetics/some
      on real ones, in a folder for each class
  tools/benchmarks/run.py clip-model
      ms a clip of the network for videos, with and without blocks
  tools/benchmarks/run.py start
      seconds from a command to its help and to its first result
  tools/benchmarks/run.py peers --hrnet ../deep-high-resolution-net.pytorch
      all of it compared with the HRNet repository's code
  tools/benchmarks/run.py data --write && tools/benchmarks/run.py model --write
      put the figures into the pages of docs/benchmarks

All ways run in turn, round after round; figures are medians over the rounds, ratios are taken
within a round. More rounds help on a shared machine.
"""


def main(argv: Sequence[str]) -> None:
    """Parse, build, call."""
    args = build_parser().parse_args(argv)
    cli.log_to()
    device = choose_device(getattr(args, "device", "cpu"))
    if "tf32" in getattr(args, "dtype", ()) and device.type != "cuda":
        raise ConfigError(f"--dtype tf32 has no effect on {device.type}; add --device cuda")
    if args.write is not None:
        find_section(args.write, section_name(args, device))  # before any work
    text = describe_run(argv, device) + MEASURED[args.command].measure(args)
    print(text)
    if args.write is not None:
        write_section(args.write, section_name(args, device), text)


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = cli.parser(
        "tools/benchmarks/run.py",
        "Time reading, data paths, networks, blocks, evaluation, export, prediction, tracking or "
        "the start.",
        EPILOG,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar=" | ".join(MEASURED))
    for name, module in MEASURED.items():
        command = commands.add_parser(name, help=module.HELP, description=module.DESCRIPTION)
        module.add_arguments(command)
        command.add_argument(
            "--write",
            nargs="?",
            type=Path,
            const=DOCUMENTS,
            metavar="PATH",
            help="put the figures into their section of a page in docs/benchmarks, or in PATH, a "
            "page or a folder of pages",
        )
    return parser


def describe_run(argv: Sequence[str], device: torch.device) -> str:
    """Command, date, machine and versions: the head of a section."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    place = f"{cpu_name()}, {os.cpu_count()} cores, {memory:.0f} GiB"
    if device.type == "cuda":
        place += f"; {torch.cuda.get_device_name(device)}"
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"* command: `tools/benchmarks/run.py {shlex.join(argv)}`, {date.today().isoformat()}\n"
        f"* machine: {place}; load {os.getloadavg()[0]:.1f} at the start\n"
        f"* versions: Python {platform.python_version()}, {versions}\n"
    )


def cpu_name() -> str:
    """Name of the CPU from Linux, or from the platform."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def section_name(args: argparse.Namespace, device: torch.device) -> str:
    """Name of the section with this command's figures."""
    compiled = args.command == "blocks" and args.how == ["compiled"]
    return f"{args.command}{' compiled' if compiled else ''} {device.type}"


def markers(name: str) -> tuple[str, str]:
    """Lines around the section that --write replaces."""
    return f"<!-- begin {name} -->\n", f"<!-- end {name} -->"


def find_section(path: Path, name: str) -> tuple[Path, str, str]:
    """Find a section in a page, or in the pages of a folder.

    Returns:
        The page, and its text before and after the section.

    Raises:
        ConfigError: No page has the section's two markers.
    """
    begin, end = markers(name)
    pages = [path] if path.is_file() else sorted(path.glob("*.md"))
    for page in pages:
        before, found, rest = page.read_text(encoding="utf-8").partition(begin)
        _, closed, after = rest.partition(end)
        if found and closed:
            return page, before, after
    raise ConfigError(
        f"{path}: has no section between {begin.strip()!r} and {end!r}; add the two lines, "
        "or remove --write"
    )


def write_section(path: Path, name: str, text: str) -> None:
    """Replace one section, leave the rest."""
    page, before, after = find_section(path, name)
    begin, end = markers(name)
    page.write_text(f"{before}{begin}{text}{end}{after}", encoding="utf-8")
    cli.logger.info("written: %s", page)


if __name__ == "__main__":
    raise SystemExit(cli.run(main))
