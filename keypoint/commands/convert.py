"""Convert a labelling tool's files to COCO keypoints: keypoint convert INPUT --to coco."""

from __future__ import annotations

import argparse
import re
import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keypoint.commands import cli
from keypoint.commands.options.convert import VAL_SHARE, parse
from keypoint.data.convert.boxes import box_files, has_only_boxes, one_box_class
from keypoint.data.convert.dataset import annotate, make_skeleton, split, write
from keypoint.data.convert.forms import read_labels
from keypoint.data.convert.images import Finder, Found, bring
from keypoint.data.convert.labels import Labels, incomplete, one_class
from keypoint.data.convert.spelling import misspelt
from keypoint.data.notes import in_number
from keypoint.errors import ConfigError, DataError
from keypoint.files import write_json
from keypoint.pose.skeleton import Skeleton
from keypoint.progress import progress

MOST_LISTED = 1000  # incomplete objects in the report


def main(argv: Sequence[str]) -> None:
    """Parse, build, call."""
    args = parse(argv)
    cli.log_to()
    output = prepare(args.output, args.overwrite)
    if args.images is not None and not args.images.is_dir():
        raise ConfigError(f"--images {args.images}: no such folder; give the folder of the images")
    form, labels = read_labels(args.input, args.form, output)
    cli.logger.info("%s: %s (--from %s)", args.input, labels.form, form)
    if has_only_boxes(labels):
        print(convert_boxes(args, labels))
        return
    names, edges = one_class(labels, args.category)
    labels.notes += misspelt(labels, names)
    name = args.category or next(iter(labels.keypoints))
    skeleton, guessed = make_skeleton(plain(name), names, edges, labels.pairs)
    share = VAL_SHARE if args.val_share is None else args.val_share
    images, how = split(images_of(args, labels), share)
    parts: dict[str, tuple[dict[str, Any], Counter[str]]] = {}
    first = 1
    for part, chosen in images.items():
        if parts and chosen is images["train"]:
            parts[part] = parts["train"]  # val is missing if there are too few images to split
            continue
        parts[part] = annotate(chosen, skeleton, labels, first)
        first += max(len(chosen), len(parts[part][0]["annotations"]))
    if not any(c["visible keypoints"] + c["occluded keypoints"] for _, c in parts.values()):
        raise nothing_labelled(labels)
    write(output, parts, skeleton, labels.form)
    counts = {part: numbers for part, (_, numbers) in parts.items()}
    lacking = incomplete(labels, names)
    report = {"from": labels.form, "split": how, "counts": counts, "skipped": labels.left_out}
    report |= {"incomplete": lacking[:MOST_LISTED], "notes": labels.notes}
    write_json(output / "convert_report.json", report)
    print(describe(output, counts, skeleton, guessed, labels, how, len(lacking)))


def images_of(args: argparse.Namespace, labels: Labels) -> list[Found]:
    """Find the images, or write them to OUTPUT/images."""
    roots = [args.images or (args.input if args.input.is_dir() else args.input.parent)]
    with progress(len(labels.pictures), "images", "image") as bar:
        return bring(labels, Finder(roots, args.output), args.output / "images", bar)


def nothing_labelled(labels: Labels) -> DataError:
    """Return the error of labels without an image that can be used."""
    faults = labels.left_out_lines() or ["no image"]
    return DataError.of_many(f"{labels.form}: no labelled image", faults)


def convert_boxes(args: argparse.Namespace, labels: Labels) -> str:
    """Write boxes without keypoints for keypoint predict; return what was done as text."""
    if args.val_share is not None:
        raise ConfigError(
            f"--val-share {args.val_share:g} has no effect: {labels.form} has boxes without "
            "keypoints here, which are not trained on; leave it out, or label keypoints"
        )
    output: Path = args.output
    category = one_box_class(labels, args.category)
    found, written = images_of(args, labels), output.absolute() / "images"
    content, boxes, folders = box_files(found, category, labels, written)
    if not boxes:
        raise nothing_labelled(labels)
    write_json(output / "ids.json", content)
    write_json(output / "boxes.json", boxes)
    counts = {"images": len(content["images"]), "boxes": len(boxes)}
    report = {"from": labels.form, "counts": counts, "skipped": labels.left_out}
    write_json(output / "convert_report.json", report | {"notes": labels.notes})
    with_box = len({box["image_id"] for box in boxes})
    here = Path.cwd()
    shown = [f.relative_to(here) if f.is_relative_to(here) else f for f in folders]
    files = ["--annotations", f"{output}/ids.json", "--boxes", f"{output}/boxes.json"]
    words = ["--checkpoint", "best.pt", "--output", "found", *files, *map(str, shown)]
    lines = [
        f"no keypoint is labelled: {output}/ids.json and {output}/boxes.json are for keypoint "
        "predict, and no data set is written",
        f"boxes  {counts['boxes']} of class {category}, on {with_box} of {counts['images']} images",
        *(f"note   {note}" for note in labels.notes),
        *(f"left out  {line}" for line in labels.left_out_lines()),
        f"details are in {output}/convert_report.json; next, with your checkpoint:",
        f"  keypoint predict {shlex.join(words)}",
    ]
    return "\n".join(lines)


def prepare(output: Path, overwrite: bool) -> Path:
    """Make the output folder.

    Raises:
        ConfigError: The folder contains files and --overwrite was not given.
    """
    if output.is_dir() and any(output.iterdir()) and not overwrite:
        raise ConfigError(
            f"--output {output} already contains files; give a new folder, or --overwrite to "
            "replace those of an earlier conversion"
        )
    cli.make_folder(output, "--output")
    return output


def plain(name: str) -> str:
    """Return the name of a class as the name of a skeleton."""
    return re.sub(r"[^\w-]+", "_", name).strip("_") or "object"


def describe(
    output: Path,
    parts: dict[str, Counter[str]],
    skeleton: Skeleton,
    guessed: bool,
    labels: Labels,
    how: str,
    lacking: int,
) -> str:
    """Return counts, pairs to confirm, what was left out, and the next steps as text."""
    lines = []
    for part, counts in parts.items():
        lines.append(
            f"{part:5}  images: {counts['images']}; objects: {counts['objects']}; keypoints: "
            f"{counts['visible keypoints']} visible, {counts['occluded keypoints']} occluded, "
            f"{counts['missing keypoints']} missing"
        )
    total = sum({id(counts): counts for counts in parts.values()}.values(), Counter[str]())
    lines.append(f"split  {how}")
    if total["boxes around the keypoints"]:
        lines.append(
            f"boxes  {total['boxes around the keypoints']} of {total['objects']} are not in the "
            "input: they are the extent of the labelled keypoints times 1.25, and area is the box's"
        )
    if lacking:
        lines.append(
            f"incomplete  {in_number(lacking, 'objects')} of {total['objects']} without a keypoint "
            "or more, listed in the report; nothing to do if those cannot be seen"
        )
    lines.append(f"keypoints  {', '.join(skeleton.keypoints)}")
    pairs = ", ".join(f"{left} and {right}" for left, right in skeleton.pairs) or "none"
    source = "guessed from the names" if guessed else "from the tool"
    lines.append(f"pairs  {pairs} ({source}): if wrong, change {output}/skeleton.yaml")
    if not skeleton.edges:
        lines.append(
            f"edges  none: pictures will show points without lines; add edges to "
            f"{output}/skeleton.yaml before training, as the checkpoint keeps the skeleton"
        )
    lines += [f"note   {note}" for note in labels.notes]
    lines += [f"left out  {line}" for line in labels.left_out_lines()]
    lines.append(f"details are in {output}/convert_report.json; next:")
    config = shlex.quote(f"{output}/config.yaml")
    lines += [f"  keypoint {step} --cfg {config}" for step in ("check-data", "train")]
    return "\n".join(lines)
