"""Report all faults of a data set: keypoint check-data --cfg my.yaml [key=value ...]."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import cv2

from keypoint.commands import cli
from keypoint.commands.options.check_data import parse
from keypoint.config.load import (
    Config,
    config_from_dict,
    find_config,
    load_config,
    override_config,
)
from keypoint.data.audit.check import FileCheck, check_annotation_file, check_box_file
from keypoint.data.audit.findings import overlap_findings
from keypoint.data.audit.skeletons import skeleton_findings
from keypoint.data.coco import find_split
from keypoint.data.notes import in_number
from keypoint.data.report import Fault, fault_lines, update_report_file
from keypoint.drawing.sheets import stack, truth_sheet
from keypoint.errors import ConfigError, DataError
from keypoint.evaluation.self_test import SelfTest, truth_as_prediction
from keypoint.pose.skeleton import Skeleton, load_skeleton, skeleton_from_here
from keypoint.progress import progress

SHOWN = 20  # kinds of faults of a file that are printed; data_report.json has all


def main(argv: Sequence[str]) -> None:
    """Parse, build, call."""
    args = parse(argv)
    config, splits = read_config(args)
    output = Path(config.output or "output/check_data")
    cli.log_to(output)
    skeleton = load_skeleton(config.data.skeleton, config.data.root)
    mirrored = config.augment.flip_probability > 0 or config.test.flip
    if mirrored:
        skeleton.require_pairs()
    cli.keep_log()
    checks = {split: check_split(config, skeleton, split) for split in splits}
    train, val = checks.get("train"), checks["val"]
    val.warnings += skeleton_findings(skeleton, mirrored=mirrored)
    if train and train.persons and val.persons:
        val.warnings += overlap_findings(train.looks, val.looks, val.persons.images)
    if config.test.boxes is not None:
        threshold = config.test.box_score_threshold
        boxes = Path(config.test.boxes)
        checks["boxes"] = check_box_file(boxes, checks["val"], threshold)
    tests = {name: self_test(checks, name, skeleton, config) for name in checks}

    policy = config.data.on_bad, config.data.max_bad
    stopping = {name: check.stopping_faults(*policy) for name, check in checks.items()}
    for name, check in checks.items():
        print(describe(name, check, stopping[name], tests[name]))
    report = {
        name: check.to_dict() | {"self_test": test.to_dict() if (test := tests[name]) else None}
        for name, check in checks.items()
    }
    file = update_report_file(output, {"check": report})
    sheets = [
        truth_sheet(persons, skeleton, args.pictures, title=f"{split}, as annotated")
        for split in splits
        if args.pictures and (persons := checks[split].persons)
    ]
    if sheets:
        picture = output / "check_data.jpg"
        cv2.imwrite(str(picture), stack(sheets)[..., ::-1])
        print(f"see {picture}")

    if any(stopping.values()):
        count = in_number(sum(map(len, stopping.values())), "faults")
        raise DataError(f"{count} would stop training or testing; see {file}")
    print(f"no fault stops training or testing; the report is {file}")


def read_config(args: Namespace) -> tuple[Config, list[str]]:
    """Return the config that names the data, and the splits to check.

    Raises:
        ConfigError: Neither or both of --cfg and --annotations with --images are given.
        DataError: --annotations or --images does not exist.
    """
    direct = {"--annotations": args.annotations, "--images": args.images}
    given = [key for key, value in direct.items() if value is not None]
    alone = [key for key in ("--skeleton", "--boxes") if getattr(args, key[2:]) is not None]
    if args.cfg is not None and not given + alone:
        return load_config(find_config(args.cfg), args.overrides), ["train", "val"]
    if args.cfg is not None or len(given) != 2:
        raise ConfigError(
            f"given {', '.join(given + alone + ['--cfg'] * (args.cfg is not None)) or 'nothing'}; "
            "give --cfg FILE, or --annotations FILE and --images FOLDER"
        )
    if not args.annotations.is_file():
        raise DataError(f"--annotations {args.annotations}: no such file; check the path")
    if not args.images.is_dir():
        raise DataError(f"--images {args.images}: no such folder; give the folder of the images")
    data = {
        "val_annotations": str(args.annotations.absolute()),
        "val_images": str(args.images.absolute()),
        "skeleton": skeleton_from_here(args.skeleton or "coco17"),
    }
    test = {"boxes": str(args.boxes)} if args.boxes else {}
    config = config_from_dict({"data": data, "test": test}, "command line")
    return override_config(config, args.overrides), ["val"]


def check_split(config: Config, skeleton: Skeleton, split: str) -> FileCheck:
    """Check one annotation file with its images."""
    data = config.data
    names = (data.train_annotations, data.train_images)
    if split == "val":
        names = (data.val_annotations, data.val_images)
    try:
        files = find_split(Path(data.root), *names, f"{split}2017")
    except DataError as error:
        return FileCheck(Path(data.root) / names[0], faults=[Fault("", str(error), "file")])
    track = partial(progress, text=f"{split} images", unit="image")
    return check_annotation_file(
        *files,
        skeleton,
        scored=split == "val",
        category=data.category,
        workers=data.workers,
        track=track,
    )


def self_test(
    checks: dict[str, FileCheck], name: str, skeleton: Skeleton, config: Config
) -> SelfTest | None:
    """Score the annotations as predictions, or the best the boxes allow; a failure is a fault."""
    truth = checks["val" if name == "boxes" else name]
    check = checks[name]
    if not check.persons or not truth.persons or truth.to_score is None:
        return None
    try:
        test = truth_as_prediction(
            truth.to_score,
            truth.persons,
            skeleton,
            boxes=check.persons if name == "boxes" else None,
            input_size=config.model.input_size,
            udp=config.model.codec == "udp",
            nms=config.test.oks_nms,
            nms_threshold=config.test.oks_nms_threshold,
        )
    except DataError as error:
        if name == "val" and not check.faults:
            check.faults += [Fault("", text, "form") for text in error.faults or [str(error)]]
        return None
    if not test.is_explained:
        text = f"{truth.source}: {test} instead of 1; check labels and areas"
        check.faults.append(Fault("", text, "form"))
    return test


def describe(name: str, check: FileCheck, stopping: Sequence[Fault], test: SelfTest | None) -> str:
    """Return counts, faults, warnings and self-test of a file as text."""
    lines = [f"{name:5}  {check.persons.report if check.persons else check.source}"]
    if check.labels and check.persons:
        totals = {key: sum(flags.values()) for key, flags in check.labels.items()}
        rarest, most = min(totals, key=totals.__getitem__), max(totals, key=totals.__getitem__)
        occluded = sum(flags["occluded"] for flags in check.labels.values())
        lines.append(
            f"  labels   {totals[rarest]} ({rarest}) to {totals[most]} ({most}) of a keypoint, "
            f"{occluded / max(sum(totals.values()), 1):.0%} of them occluded"
        )
    lines += fault_lines(check.faults, stopping, SHOWN)
    lines += [f"  warning  {finding}" for finding in check.warnings]
    if test:
        best = "best possible AP with these boxes; " if name == "boxes" else ""
        lines.append(f"  test     {best}{test}")
    return "\n".join(lines)
