"""Convert a labelling tool's files to COCO keypoints: keypoint convert INPUT --to coco."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from keypoint.commands import cli
from keypoint.data.convert.dataset import annotate, make_skeleton, no_images, split, write
from keypoint.data.convert.forms import READERS, read_labels
from keypoint.data.convert.images import Finder, bring
from keypoint.data.convert.labels import Labels, one_class
from keypoint.errors import ConfigError
from keypoint.files import write_json
from keypoint.pose.skeleton import Skeleton
from keypoint.progress import progress

EPILOG = """examples:
  keypoint convert photos --to coco --output pets
      a folder of labelme's JSON files and their images
  keypoint convert annotations.xml --to coco --output pets --images photos
      CVAT's XML, the images or videos in a folder of their own
  keypoint convert project --to coco --output mice --val-share 0.2
      a DeepLabCut project; a fifth of its images, whole videos, for validation
  keypoint convert labels.slp --to coco --output flies
      SLEAP; needs pip install "keypoint[convert]"

INPUT is the export as the tool wrote it, unpacked. Read are labelme, CVAT (XML 1.1 for images and
for video, COCO keypoints), COCO Annotator, Ultralytics pose, DeepLabCut, SLEAP and Label Studio.
Which it is is recognised by its content.

Written are OUTPUT/train.json and val.json (COCO keypoints), skeleton.yaml, config.yaml to start
from, and convert_report.json with all that was left out and why. Images stay where they are; frames
of videos and images inside label files are written to OUTPUT/images. Then:
  keypoint check-data --cfg OUTPUT/config.yaml
  keypoint train --cfg OUTPUT/config.yaml
"""


def main(argv: Sequence[str]) -> None:
    """Parse, build, call."""
    parser = cli.parser(
        "keypoint convert", "Convert a labelling tool's files to COCO keypoints.", EPILOG
    )
    parser.add_argument("input", type=Path, metavar="INPUT", help="the tool's file or folder")
    parser.add_argument("--to", required=True, choices=["coco"], help="the form to write")
    cli.add_output_folder(parser, "for the data set; new or empty")
    cli.add_overwrite(parser, "replace the files of an earlier conversion")
    parser.add_argument(
        "--from", dest="form", choices=list(READERS), help="the tool; default: by the content"
    )
    parser.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="folder of the images or videos; default: INPUT's",
    )
    parser.add_argument(
        "--category", metavar="NAME", help="the class to convert, if their keypoints differ"
    )
    parser.add_argument(
        "--val-share",
        type=cli.share,
        default=0.1,
        metavar="SHARE",
        help="of the images for validation, if the tool has no split; default: 0.1",
    )
    args = parser.parse_args(argv)

    cli.log_to()
    output = prepare(args.output, args.overwrite)
    if args.images is not None and not args.images.is_dir():
        raise ConfigError(f"--images {args.images}: no such folder; give the folder of the images")
    form, labels = read_labels(args.input, args.form, output)
    cli.logger.info("%s: %s (--from %s)", args.input, labels.form, form)
    names, edges = one_class(labels, args.category)
    name = args.category or next(iter(labels.keypoints))
    skeleton, guessed = make_skeleton(plain(name), names, edges, labels.pairs)
    roots = [args.images or (args.input if args.input.is_dir() else args.input.parent)]
    with progress(len(labels.pictures), "images", "image") as bar:
        found = bring(labels, Finder(roots), output / "images", bar)
    if not any(person.points for image in found for person in image.picture.persons):
        raise no_images(labels)
    images, how = split(found, args.val_share)
    parts, first = {}, 1
    for part, chosen in images.items():
        parts[part] = annotate(chosen, skeleton, labels, first)
        first += max(len(chosen), len(parts[part][0]["annotations"]))
    write(output, parts, skeleton, labels.form)
    counts = {part: numbers for part, (_, numbers) in parts.items()}
    report = {"from": labels.form, "split": how, "counts": counts, "left_out": labels.left_out}
    write_json(output / "convert_report.json", report | {"notes": labels.notes})
    print(describe(output, counts, skeleton, guessed, labels, how))


def prepare(output: Path, overwrite: bool) -> Path:
    """Make the output folder.

    Raises:
        ConfigError: It has files and may not be overwritten.
    """
    if output.is_dir() and any(output.iterdir()) and not overwrite:
        raise ConfigError(
            f"--output {output} has files already; give a new folder, or --overwrite to replace "
            "those of an earlier conversion"
        )
    cli.make_folder(output, "--output")
    return output


def plain(name: str) -> str:
    """A class as the name of a skeleton."""
    return re.sub(r"[^\w-]+", "_", name).strip("_") or "object"


def describe(
    output: Path,
    parts: dict[str, Counter[str]],
    skeleton: Skeleton,
    guessed: bool,
    labels: Labels,
    how: str,
) -> str:
    """Counts, pairs to confirm, what was left out, and what to do next, as text."""
    lines = []
    for part, counts in parts.items():
        lines.append(
            f"{part:5}  images: {counts['images']}; objects: {counts['objects']}; keypoints: "
            f"{counts['visible keypoints']} visible, {counts['occluded keypoints']} occluded, "
            f"{counts['missing keypoints']} missing"
        )
    total = sum(parts.values(), Counter[str]())
    lines.append(f"split  {how}")
    if total["boxes around the keypoints"]:
        lines.append(
            f"boxes  {total['boxes around the keypoints']} of {total['objects']} are the extent of "
            "the labelled keypoints times 1.25, the tool has none; area is the box's"
        )
    lines.append(f"keypoints  {', '.join(skeleton.keypoints)}")
    pairs = ", ".join(f"{left} and {right}" for left, right in skeleton.pairs) or "none"
    source = "guessed by the names" if guessed else "of the tool"
    lines.append(f"pairs  {pairs} ({source}): change {output}/skeleton.yaml if that is wrong")
    lines += [f"note   {note}" for note in labels.notes]
    for reason, places in labels.left_out.items():
        lines.append(f"left out  {reason}: {len(places)} (for example {places[0]})")
    lines.append(f"all of it is in {output}/convert_report.json; next:")
    lines.append(f"  keypoint check-data --cfg {output}/config.yaml")
    return "\n".join(lines)
