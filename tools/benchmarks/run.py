#!/usr/bin/env python
"""Time what keypoint does: tools/benchmarks/run.py data|model|blocks|eval|export|predict."""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import tempfile
import time
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path

import cv2
import torch
from benchmark_blocks import HOWS, MATMUL, BlockSetting, floors, measure_blocks
from benchmark_data import DataPath, measure_rates
from benchmark_eval import BATCH, measure_eval
from benchmark_export import measure_export
from benchmark_model import DTYPES, MODES, Setting, measure_model
from benchmark_predict import PredictSetting, measure_predict
from benchmark_stages import measure_stages

from keypoint.blocks.build import BLOCKS
from keypoint.commands import cli
from keypoint.data.coco import load_persons
from keypoint.data.synthetic.demo_set import write_demo_set
from keypoint.distributed import choose_device
from keypoint.errors import ConfigError
from keypoint.export.card import PRECISIONS
from keypoint.models import create_model
from keypoint.models.simple_baseline import DECONV_CHANNELS
from keypoint.pose.codec import Codec
from keypoint.pose.skeleton import load_skeleton
from keypoint.progress import progress

DOCUMENT = Path(__file__).parents[1] / "docs" / "benchmarks.md"
GENERATED_SIZE = (480, 640)  # height, width: COCO's most common
PACKAGES = ("torch", "torchvision", "numpy", "opencv-python-headless", "albumentations")
count = cli.whole_number(1)  # a type of argument
EPILOG = """examples:
  tools/benchmarks/run.py data
      crops/s of one core on generated images: ours beside the straightforward way
  tools/benchmarks/run.py data --images /coco/val2017 --annotations
  /coco/annotations/person_keypoints_val2017.json
      on real ones
  tools/benchmarks/run.py model
      ms an image with and without blocks; --device cuda on a GPU
  tools/benchmarks/run.py blocks --blocks srl_fft a2 --how eager compiled
      each block alone, beside copying its map and beside the network
  tools/benchmarks/run.py eval
      everything after the network at val2017's size, beside the straightforward loops
  tools/benchmarks/run.py predict
      persons/s from image files to keypoints, beside one person after the other
  tools/benchmarks/run.py export
      crops to keypoints by torch and by onnxruntime
  tools/benchmarks/run.py data --write && tools/benchmarks/run.py model --write
      put the figures into docs/benchmarks.md

All ways run in turn, round after round; figures are medians over the rounds, ratios are taken
within a round. More rounds help on a machine that others use too.
"""


def main(argv: Sequence[str]) -> None:
    """Parse, build, call."""
    parser = cli.parser(
        "tools/benchmarks/run.py",
        "Time the data path, the network, the blocks or the evaluation.",
        EPILOG,
    )
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="data | model | blocks | eval | export | predict"
    )
    add_data(commands.add_parser("data", help="crops/s a core", description="Time the data path."))
    add_model(commands.add_parser("model", help="ms an image", description="Time the network."))
    add_blocks(commands.add_parser("blocks", help="ms a map", description="Time each block alone."))
    after = "Time everything after the network."
    add_eval(commands.add_parser("eval", help="s of a validation set", description=after))
    files = "Time exported networks."
    add_export(commands.add_parser("export", help="torch beside onnxruntime", description=files))
    whole = "Time prediction from image files to keypoints."
    add_predict(commands.add_parser("predict", help="persons/s", description=whole))
    for command in commands.choices.values():
        command.add_argument(
            "--write",
            nargs="?",
            type=Path,
            const=DOCUMENT,
            metavar="FILE",
            help="put the figures into their section of docs/benchmarks.md, or of FILE",
        )
    args = parser.parse_args(argv)
    cli.log_to()
    device = choose_device(getattr(args, "device", "cpu"))
    if args.write is not None:
        section_of(args.write, section_name(args, device))  # before any work
    commands_by_name = {
        "data": data, "model": model, "blocks": blocks, "eval": evaluation, "export": exported,
        "predict": prediction,
    }  # fmt: skip
    measure = commands_by_name[args.command]
    text = describe_run(argv, device) + measure(args)
    print(text)
    if args.write is not None:
        write_section(args.write, section_name(args, device), text)


def add_data(parser: argparse.ArgumentParser) -> None:
    """Arguments of `data`."""
    add = parser.add_argument
    add("--images", type=Path, metavar="DIR", help="folder of images; default: generated ones")
    add("--annotations", type=Path, metavar="FILE", help="their COCO annotations")
    add("--generate", type=count, default=64, metavar="N", help="images to generate (64)")
    add("--input-size", type=size, default=(384, 288), metavar="HxW", help="of the crops (384x288)")
    add("--batch", type=count, default=32, help="crops in a batch (32)")
    add("--boxes", type=count, nargs="+", default=[1, 5, 20], help="boxes an image (1 5 20)")
    add("--crops", type=count, default=80, help="in an evaluation round (80)")
    add("--rounds", type=count, default=15, help="measured rounds (15)")


def add_model(parser: argparse.ArgumentParser) -> None:
    """Arguments of `model`."""
    add = parser.add_argument
    add("--device", default="cpu", help="cpu, cuda or cuda:1 (cpu)")
    sizes, names = [(256, 192), (384, 288)], ["none", "srl_fft", "srl_lo", "nl"]
    add("--input-size", type=size, nargs="+", default=sizes, metavar="HxW", help="256x192 384x288")
    add("--blocks", nargs="+", default=names, help=f"after each deconvolution ({' '.join(names)})")
    add("--dtype", nargs="+", choices=list(DTYPES), default=["float32"], help="bf16 is autocast")
    add("--batch", type=count, default=4, help="images in a step (4)")
    add(
        "--threads",
        type=count,
        default=1,
        help="of the CPU: 1 (default), timed in CPU time; more in wall time",
    )
    layout = argparse.BooleanOptionalAction
    add("--channels-last", action=layout, default=True, help="memory format (on, as in training)")
    add("--eval-rounds", type=count, default=5, help="measured rounds (5)")
    add("--train-rounds", type=count, default=3, help="measured rounds (3)")


def add_blocks(parser: argparse.ArgumentParser) -> None:
    """Arguments of `blocks`."""
    add = parser.add_argument
    add("--device", default="cpu", help="cpu, cuda or cuda:1 (cpu)")
    sizes, names = [(256, 192), (384, 288)], [*BLOCKS, MATMUL]
    add("--input-size", type=size, nargs="+", default=sizes, metavar="HxW", help="256x192 384x288")
    add("--blocks", nargs="+", choices=names, default=names, help="default: all", metavar="NAME")
    add("--dtype", nargs="+", choices=list(DTYPES), default=["float32"], help="bf16 is autocast")
    add("--how", nargs="+", choices=HOWS, default=["eager"], help="eager (default), compiled")
    add("--batch", type=count, default=1, help="maps in a step (1)")
    add("--threads", type=count, default=1, help="of the CPU, as for `model` (1)")
    layout = argparse.BooleanOptionalAction
    add("--channels-last", action=layout, default=True, help="memory format (on, as in training)")
    add("--rounds", type=count, default=5, help="measured rounds (5)")


def add_eval(parser: argparse.ArgumentParser) -> None:
    """Arguments of `eval`."""
    add = parser.add_argument
    add("--images", type=count, default=5000, metavar="N", help="made up (5000, val2017's)")
    add("--persons", type=count, default=6352, metavar="N", help="of the truth (6352)")
    add("--boxes", type=count, default=104_125, metavar="N", help="of the detector (104125)")
    add("--input-size", type=size, default=(256, 192), metavar="HxW", help="of crops (256x192)")
    add("--threads", type=count, default=1, help="of the CPU (1)")
    add("--rounds", type=count, default=1, help="measured rounds (1)")


def add_export(parser: argparse.ArgumentParser) -> None:
    """Arguments of `export`."""
    add = parser.add_argument
    add("--device", default="cpu", help="cpu, cuda or cuda:1 (cpu); cuda needs onnxruntime-gpu")
    add("--input-size", type=size, default=(256, 192), metavar="HxW", help="of crops (256x192)")
    names = ["none", "srl_fft"]
    add("--blocks", nargs="+", default=names, help=f"after each deconvolution ({' '.join(names)})")
    add("--precision", nargs="+", choices=PRECISIONS, default=PRECISIONS, help="of files (all)")
    add("--batch", type=count, nargs="+", default=[1, 8], help="crops at a time (1 8)")
    add("--threads", type=count, default=1, help="of the CPU, as for `model` (1)")
    add("--rounds", type=count, default=9, help="measured rounds (9)")


def add_predict(parser: argparse.ArgumentParser) -> None:
    """Arguments of `predict`."""
    add = parser.add_argument
    add("--device", default="cpu", help="cpu, cuda or cuda:1 (cpu)")
    add("--generate", type=count, default=32, metavar="N", help="images to generate (32)")
    add("--input-size", type=size, default=(256, 192), metavar="HxW", help="of crops (256x192)")
    add("--batch", type=count, default=32, help="persons at a time (32)")
    add("--threads", type=count, default=2, help="of the CPU, and that decode images (2)")
    add("--compiled", action="store_true", help="measure --compile, too")
    add("--rounds", type=count, default=3, help="measured rounds (3)")


def size(text: str) -> tuple[int, int]:
    """Read "384x288" as (height, width)."""
    height, _, width = text.partition("x")
    if not (height.isdigit() and width.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} must be HEIGHTxWIDTH, as 384x288")
    return int(height), int(width)


def data(args: argparse.Namespace) -> str:
    """Measure the data path."""
    if (args.images is None) != (args.annotations is None):
        raise ConfigError("--images and --annotations belong together; give both or neither")
    skeleton = load_skeleton("coco17")
    with tempfile.TemporaryDirectory(prefix="keypoint-benchmark-") as folder:
        images, annotations = args.images, args.annotations
        if images is None:
            with progress(args.generate, "generate images", "image") as bar:
                write_demo_set(
                    folder,
                    train_images=args.generate,
                    val_images=0,
                    image_size=GENERATED_SIZE,
                    progress=bar.update,
                )
            images = Path(folder) / "train2017"
            annotations = Path(folder) / "annotations" / "person_keypoints_train2017.json"
        persons = load_persons(annotations, images, skeleton)
        path = DataPath(persons, skeleton, args.input_size, args.batch)
        rates = measure_rates(path, boxes=args.boxes, crops=args.crops, rounds=args.rounds)
        stages = measure_stages(path, args.rounds)
    source = args.images or f"generated, {GENERATED_SIZE[1]}x{GENERATED_SIZE[0]} (width x height)"
    return (
        f"* images: {source}; crops {args.input_size[0]}x{args.input_size[1]} (height x width)\n"
        f"* one process, one thread, CPU time; batch {args.batch}, {args.rounds} rounds\n\n"
        f"{rates}\n\n{stages}\n"
    )


def model(args: argparse.Namespace) -> str:
    """Measure the network."""
    torch.set_num_threads(args.threads)
    setting = Setting(
        device=choose_device(args.device),
        batch_size=args.batch,
        channels_last=args.channels_last,
        rounds=dict(zip(MODES, (args.eval_rounds, args.train_rounds), strict=True)),
    )
    result = measure_model(
        setting, input_sizes=args.input_size, dtypes=args.dtype, blocks=args.blocks
    )
    return (
        f"* ResNet-50, batch {args.batch}, {layout(args)}; {clock(args, setting.device)}; "
        f"{args.eval_rounds} rounds of eval, {args.train_rounds} of train\n\n{result}\n"
    )


def blocks(args: argparse.Namespace) -> str:
    """Measure the blocks."""
    torch.set_num_threads(args.threads)
    setting = BlockSetting(
        device=choose_device(args.device),
        batch_size=args.batch,
        channels_last=args.channels_last,
        rounds=args.rounds,
    )
    result = measure_blocks(
        setting,
        input_sizes=args.input_size,
        dtypes=args.dtype,
        hows=args.how,
        blocks=args.blocks,
    )
    return (
        f"* ResNet-50 and maps of {DECONV_CHANNELS} channels, batch {args.batch}, {layout(args)}; "
        f"{clock(args, setting.device)}; {args.rounds} rounds; figures an image\n"
        f"{floors(args.input_size)}\n\n{result}\n"
    )


def evaluation(args: argparse.Namespace) -> str:
    """Measure everything after the network."""
    if args.persons > args.boxes:
        raise ConfigError(f"--persons {args.persons} have a box each; --boxes must be no fewer")
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    result = measure_eval(
        Codec(args.input_size),
        load_skeleton("coco17"),
        images=args.images,
        persons=args.persons,
        boxes=args.boxes,
        rounds=args.rounds,
        clock=time.process_time if args.threads == 1 else time.perf_counter,
    )
    return (
        f"* heatmaps of {args.input_size[0]}x{args.input_size[1]} crops in batches of {BATCH}, "
        f"float32; {clock(args, torch.device('cpu'))}; {args.rounds} round(s)\n{result}\n"
    )


def exported(args: argparse.Namespace) -> str:
    """Measure exported networks."""
    torch.set_num_threads(args.threads)
    device = choose_device(args.device)
    result = measure_export(
        device,
        input_size=args.input_size,
        blocks=args.blocks,
        precisions=args.precision,
        batches=args.batch,
        threads=args.threads,
        rounds=args.rounds,
    )
    one_thread = device.type == "cpu" and args.threads == 1
    clock = "CPU time of one thread" if one_thread else f"wall time, {args.threads} threads"
    return (
        f"* ResNet-50, {args.input_size[0]}x{args.input_size[1]} crops (height x width), uint8 to "
        f"keypoints; torch in channels_last; onnxruntime {version('onnxruntime')}; {clock}; "
        f"{args.rounds} rounds; load {os.getloadavg()[0]:.1f} at the end\n\n{result}\n"
    )


def prediction(args: argparse.Namespace) -> str:
    """Measure prediction from files to keypoints."""
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(0)
    skeleton = load_skeleton("coco17")
    with tempfile.TemporaryDirectory(prefix="keypoint-benchmark-") as folder:
        write_demo_set(folder, train_images=args.generate, val_images=0, image_size=GENERATED_SIZE)
        images = Path(folder) / "train2017"
        annotations = Path(folder) / "annotations" / "person_keypoints_train2017.json"
        setting = PredictSetting(
            persons=load_persons(annotations, images, skeleton),
            skeleton=skeleton,
            model=create_model("resnet50", input_size=args.input_size)
            .to(choose_device(args.device))
            .eval(),
            batch_size=args.batch,
            threads=args.threads,
            compiled=args.compiled,
        )
        result = measure_predict(setting, rounds=args.rounds)
        persons = len(setting.persons)
    return (
        f"* ResNet-50, {args.input_size[0]}x{args.input_size[1]} crops (height x width) of "
        f"{persons} persons on {args.generate} generated images of "
        f"{GENERATED_SIZE[1]}x{GENERATED_SIZE[0]}; wall time, {args.threads} threads; "
        f"{args.rounds} rounds\n\n{result}\n"
    )


def layout(args: argparse.Namespace) -> str:
    """The memory format in words."""
    return "channels_last" if args.channels_last else "contiguous"


def clock(args: argparse.Namespace, device: torch.device) -> str:
    """What is measured, in words."""
    if device.type != "cpu":
        return "GPU time between events"
    return "CPU time of one thread" if args.threads == 1 else f"wall time, {args.threads} threads"


def describe_run(argv: Sequence[str], device: torch.device) -> str:
    """When, where and by which command: the head of a section."""
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
    """As Linux has it, or what the platform tells."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def section_name(args: argparse.Namespace, device: torch.device) -> str:
    """Of the section that holds this command's figures."""
    compiled = args.command == "blocks" and args.how == ["compiled"]
    return f"{args.command}{' compiled' if compiled else ''} {device.type}"


def markers(name: str) -> tuple[str, str]:
    """Around the section that --write replaces."""
    return f"<!-- begin {name} -->\n", f"<!-- end {name} -->"


def section_of(document: Path, name: str) -> tuple[str, str]:
    """What stands before and after a section.

    Raises:
        ConfigError: The document or its markers are not there.
    """
    begin, end = markers(name)
    content = document.read_text(encoding="utf-8") if document.is_file() else ""
    before, found, rest = content.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ConfigError(
            f"{document}: has no section between {begin.strip()!r} and {end!r}; add the two lines, "
            "or leave --write out"
        )
    return before, after


def write_section(document: Path, name: str, text: str) -> None:
    """Replace one section, leave the rest."""
    before, after = section_of(document, name)
    begin, end = markers(name)
    document.write_text(f"{before}{begin}{text}{end}{after}", encoding="utf-8")
    cli.logger.info("written: %s", document)


if __name__ == "__main__":
    raise SystemExit(cli.run(main))
