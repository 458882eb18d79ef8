"""Read every video of a config once: keypoint check-data --cfg my.yaml [key=value ...]."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import cv2

from keypoint.action.config import ActionConfig, load_action_config
from keypoint.action.data.augment import names_with_sides
from keypoint.action.data.check import (
    VideoCheck,
    check_videos,
    overlap_notes,
    rates,
    short_notes,
    sizes,
    spread,
)
from keypoint.action.data.lists.entries import Part
from keypoint.action.data.lists.usable import BAD_VIDEOS, named_broken
from keypoint.action.data.sheet import video_sheet
from keypoint.commands import cli
from keypoint.commands.options.action.check_data import parse
from keypoint.config.load import find_config
from keypoint.data.notes import find, in_number
from keypoint.data.report import Fault, fault_lines, update_report_file
from keypoint.drawing.sheets import stack
from keypoint.errors import DataError
from keypoint.progress import progress

SHOWN = 20  # kinds of faults of a split that are printed; data_report.json has all
MOST_NAMED = 3  # sizes and rates that are printed


def main(argv: Sequence[str]) -> None:
    """Parse, build, call."""
    args = parse(argv)
    config = load_action_config(find_config(args.cfg), args.overrides)
    assert config.output is not None  # loading fills it in
    output = Path(config.output)
    cli.log_to(output)
    cli.keep_log()
    train = check_part(config, "train", config.data.classes)
    classes = train.videos.classes if train.videos is not None else config.data.classes
    val = check_part(config, "val", classes)
    val.warnings += overlap_notes(train, val)
    checks = {"train": train, "val": val}

    policy = config.data.on_bad, config.data.max_bad
    stopping = {name: check.stopping_faults(*policy) for name, check in checks.items()}
    for name, check in checks.items():
        print(describe(name, check, stopping[name]))
    file = update_report_file(
        output, {"check": {n: check.to_dict() for n, check in checks.items()}}
    )
    sheets = [
        video_sheet(check.videos, check.looks, config.clips.frames, args.pictures, title=name)
        for name, check in checks.items()
        if args.pictures and check.videos is not None and check.is_readable
    ]
    if sheets:
        picture = output / "check_data.jpg"
        cv2.imwrite(str(picture), stack(sheets)[..., ::-1])
        print(f"see {picture}")
    bad = max(train.bad_share, val.bad_share)
    keys = "data.on_bad=skip"
    if bad > config.data.max_bad:
        keys += f" data.max_bad={rounded_up(bad):g}"
    write_broken(output, Path(config.data.root), [*train.broken, *val.broken], keys)

    if any(stopping.values()):
        count = in_number(sum(map(len, stopping.values())), "faults")
        skip = ""
        if config.data.on_bad == "skip" and bad > config.data.max_bad:
            skip = f"; more than data.max_bad={config.data.max_bad:g} of a split are bad: fix them,"
            skip += f" or give {keys}"
        raise DataError(f"{count} would stop training or testing; see {file}{skip}")
    print(f"no fault stops training or testing; the report is {file}")


def check_part(config: ActionConfig, part: Part, classes: Sequence[str] | str | None) -> VideoCheck:
    """Check one split."""
    data = config.data
    root = Path(data.root)
    check = check_videos(
        Path(data.train_list if part == "train" else data.val_list),
        root,
        part=part,
        classes=classes,
        left_out=named_broken(root) if data.on_bad == "skip" else frozenset(),
        workers=data.workers,
        track=partial(progress, text=f"{part} videos", unit="video"),
    )
    clips = config.clips
    if clips.sampling == "dense" and clips.fps is None:
        check.warnings += short_notes(check, clips.frames, clips.stride, clips.short)
    if check.videos is not None and part == "train" and config.augment.flip_probability:
        sides = set(names_with_sides(check.videos.classes))
        text = "classes have left or right in their name, and clips are mirrored: give "
        text += "augment.flip_probability=0"
        names = check.videos.classes
        check.warnings += find(text, [name in sides for name in names], names)
    return check


def rounded_up(share: float) -> float:
    """Return a share above 0 with two digits that is not smaller: 0.34 of 1/3."""
    digits = 2
    while share < 0.1 ** (digits - 1):
        digits += 1
    steps = 10.0**digits
    return min(1.0, math.ceil(round(share * steps, 6)) / steps)


def write_broken(output: Path, root: Path, broken: Sequence[Path], keys: str) -> None:
    """Write the file of broken videos, or remove an older one if there are none.

    Args:
        output: Folder of the file.
        root: Folder of the videos.
        broken: Files of the videos.
        keys: Keys of the config that leave them out.
    """
    file = output / BAD_VIDEOS
    if not broken:
        file.unlink(missing_ok=True)
        return
    names = [str(path.relative_to(root) if path.is_relative_to(root) else path) for path in broken]
    file.write_text("".join(f"{name}\n" for name in dict.fromkeys(names)))
    count = in_number(len(set(names)), "videos cannot be read")
    print(f"{count}; to leave them out, cp {file} {root}/ and use {keys}")


def describe(name: str, check: VideoCheck, stopping: Sequence[Fault]) -> str:
    """Return counts, faults and warnings of a split as text."""
    lines = [f"{name:5}  {check.videos.report if check.videos is not None else check.source}"]
    if check.videos is not None:
        counts = check.videos.counts()
        if counts:
            rarest, most = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
            span = f"{counts[rarest]} ({rarest}) to {counts[most]} ({most})"
            if counts[rarest] == counts[most]:
                span = f"{counts[most]} each"
            lines.append(f"  classes  {len(counts)}; videos: {span}")
        frames = spread([look.frames for look in check.looks if look.fault is None])
        if frames:
            lines.append(
                f"  frames   {frames['min']} to {frames['max']}, median {frames['median']}, "
                f"{frames['total']} in all"
            )
        for word, found in (("sizes", sizes(check.looks)), ("rates", rates(check.looks))):
            if found:
                lines.append(f"  {word}    {_frequent(found)}")
    lines += fault_lines(check.faults, stopping, SHOWN)
    lines += [f"  warning  {note}" for note in check.warnings]
    return "\n".join(lines)


def _frequent(counts: dict[str, int]) -> str:
    shown = ", ".join(f"{value} ({count})" for value, count in list(counts.items())[:MOST_NAMED])
    others = len(counts) - MOST_NAMED
    return shown + (f", and {others} more" if others > 0 else "")
