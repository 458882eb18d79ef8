"""Tell all that is wrong with a data set: keypoint check-data --cfg my.yaml [key=value ...]."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2

from keypoint.commands import cli
from keypoint.config.load import (
    Config,
    config_from_dict,
    find_config,
    load_config,
    override_config,
)
from keypoint.data.audit.check import (
    FileCheck,
    check_annotation_file,
    check_box_file,
    stopping_faults,
)
from keypoint.data.audit.notes import note_on_overlap
from keypoint.data.coco import find_split
from keypoint.data.report import Fault
from keypoint.drawing.sheets import stack, truth_sheet
from keypoint.errors import ConfigError, DataError
from keypoint.evaluation.self_test import truth_as_prediction
from keypoint.files import read_json, write_json
from keypoint.pose.skeleton import Skeleton, load_skeleton, skeleton_from_here
from keypoint.progress import progress

SHOWN = 20  # faults and notes of a file that are printed; data_report.json has all

EPILOG = """examples:
  keypoint check-data --cfg res50_256x192.yaml data.root=/data/coco
      both splits of a config, and the boxes of test.boxes
  keypoint check-data --annotations my.json --images pictures --skeleton my_skeleton.yaml
      one annotation file
  keypoint check-data --cfg my.yaml data.on_bad=skip data.max_bad=0.01
      the same, as training with these keys would see it

All files are read, all images decoded, and all faults told at once. Every fault by id and file is
in OUTPUT/data_report.json, random persons with their labels in OUTPUT/check_data.jpg; look at it.
Exit status 0, or 3 if something would stop training or testing.
"""


def main(argv: Sequence[str]) -> None:
    """Parse, build, call."""
    parser = cli.parser(
        "keypoint check-data", "Tell everything that is wrong with a data set.", EPILOG
    )
    parser.add_argument("--cfg", help="a YAML file, or the bare name of one under configs/")
    parser.add_argument("--annotations", type=Path, help="without --cfg: COCO keypoints JSON")
    parser.add_argument("--images", type=Path, help="without --cfg: the folder of its images")
    parser.add_argument("--skeleton", help="without --cfg: built-in name or YAML file; coco17")
    parser.add_argument("--boxes", type=Path, help="without --cfg: a detector's JSON, if any")
    parser.add_argument(
        "--pictures",
        type=cli.whole_number(0),
        default=24,
        metavar="N",
        help="persons; default 24",
    )
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="change a key of the config"
    )
    args = parser.parse_intermixed_args(argv)

    config, splits = read_config(args)
    output = Path(config.output or "output/check_data")
    cli.log_to(output)
    skeleton = load_skeleton(config.data.skeleton, config.data.root)
    checks = {split: check_split(config, skeleton, split) for split in splits}
    if len(splits) == 2:
        add_overlap(checks["train"], checks["val"])
    if config.test.boxes is not None:
        threshold = config.test.box_score_threshold
        checks["boxes"] = check_box_file(
            Path(config.test.boxes), checks["val"], skeleton, threshold
        )
    tests = {name: self_test(checks, name, skeleton, config) for name in checks}

    for name, check in checks.items():
        print(describe(name, check, tests[name]))
    file = output / "data_report.json"
    before = read_json(file, "data report") if file.is_file() else {}
    report: dict[str, Any] = {name: check.to_dict() for name, check in checks.items()}
    for name, test in tests.items():
        report[name]["self_test"] = test.to_dict() if test else None
    write_json(file, before | {"check": report})
    sheets = [
        truth_sheet(checks[split].persons, skeleton, args.pictures, title=f"{split}, as annotated")
        for split in splits
        if args.pictures and checks[split].persons
    ]
    if sheets:
        picture = output / "check_data.jpg"
        cv2.imwrite(str(picture), stack(sheets)[..., ::-1])
        print(f"look at {picture}")

    policy = config.data.on_bad, config.data.max_bad
    stopping = [fault for check in checks.values() for fault in stopping_faults(check, *policy)]
    if stopping:
        raise DataError(f"{len(stopping)} faults would stop training or testing; all are in {file}")
    print(f"nothing stops training or testing; the report is {file}")


def read_config(args: Any) -> tuple[Config, list[str]]:
    """The config that says where the data are, and which splits to look at.

    Raises:
        ConfigError: Neither or both of --cfg and --annotations with --images.
        DataError: --annotations or --images is not there.
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
        raise DataError(f"--images {args.images}: no such folder; its images are looked for there")
    data = {
        "val_annotations": str(args.annotations.absolute()),
        "val_images": str(args.images.absolute()),
        "skeleton": skeleton_from_here(args.skeleton or "coco17"),
    }
    test = {"boxes": str(args.boxes)} if args.boxes else {}
    config = config_from_dict({"data": data, "test": test}, "command line")
    return override_config(config, args.overrides), ["val"]


def check_split(config: Config, skeleton: Skeleton, split: str) -> FileCheck:
    """One annotation file with its images."""
    names = {
        "train": (config.data.train_annotations, config.data.train_images),
        "val": (config.data.val_annotations, config.data.val_images),
    }
    try:
        files = find_split(Path(config.data.root), *names[split], f"{split}2017")
    except DataError as error:
        source = Path(config.data.root) / names[split][0]
        return FileCheck(source, faults=[Fault("", str(error), "file")])
    track = partial(progress, text=f"{split} images", unit="image")
    return check_annotation_file(
        *files, skeleton, scored=split == "val", workers=config.data.workers, track=track
    )


def add_overlap(train: FileCheck, val: FileCheck) -> None:
    """Note what is in both splits."""
    if train.persons and val.persons:
        val.notes += note_on_overlap(
            train.persons.images, train.looks, val.persons.images, val.looks
        )


def self_test(
    checks: dict[str, FileCheck], name: str, skeleton: Skeleton, config: Config
) -> Any | None:
    """Truth as prediction on a split, or the best that boxes allow; a failure is a fault."""
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
            nms=config.test.oks_nms,
            nms_threshold=config.test.oks_nms_threshold,
        )
    except DataError as error:
        if name == "val" and not check.faults:
            check.faults += [Fault("", text, "form") for text in error.faults or [str(error)]]
        return None
    if not test.is_explained:
        text = f"{truth.source}: {test}; nothing explains why it is not 1: labels or areas are odd"
        check.faults.append(Fault("", text, "form"))
    return test


def describe(name: str, check: FileCheck, test: Any | None) -> str:
    """What was found, as text."""
    counts = str(check.persons.report) if check.persons else str(check.source)
    lines = [f"{name:5}  {counts}"]
    lines += [f"  FAULT  {fault}" for fault in check.faults[:SHOWN]]
    if len(check.faults) > SHOWN:
        lines.append(f"  and {len(check.faults) - SHOWN} more faults")
    lines += [f"  note   {note}" for note in check.notes[:SHOWN]]
    if len(check.notes) > SHOWN:
        lines.append(f"  and {len(check.notes) - SHOWN} more notes")
    if test:
        best = "best possible AP with these boxes; " if name == "boxes" else ""
        lines.append(f"  test   {best}{test}")
    return "\n".join(lines)
