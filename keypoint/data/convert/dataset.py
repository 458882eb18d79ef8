"""Write labels as a COCO data set: annotations of each split, skeleton and a config to start from.

Boxes: the tool's, clipped to the image; without one, the enlarged extent of the labelled keypoints.
`area` is the area of the box. A keypoint that is not labelled is 0, 0, 0.
"""

from __future__ import annotations

import json
import os
import random
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from keypoint.data.annotations import read_annotations
from keypoint.data.coco import usable_persons
from keypoint.data.convert.first_config import first_config
from keypoint.data.convert.images import Found
from keypoint.data.convert.labels import Bbox, Labels, Person
from keypoint.data.entries.person import EXTENT_FACTOR
from keypoint.errors import ConfigError
from keypoint.pose.sides import guess_pairs
from keypoint.pose.skeleton import UNIFORM, Skeleton, skeleton_from_dict
from keypoint.strict_yaml import dump_yaml

LEAST_SHARE = 0.1  # of the image's longer side: minimum side of a box made from keypoints
SEED = 0


def make_skeleton(
    name: str, names: list[str], edges: list[tuple[str, str]], given: list[tuple[str, str]] | None
) -> tuple[Skeleton, bool]:
    """Return the skeleton, and whether its pairs are guessed from the names.

    Args:
        name: Name of the skeleton.
        names: Keypoints in order.
        edges: Limbs.
        given: Pairs of the tool, in any order of the two sides.
    """
    guessed = guess_pairs(names)
    pairs = guessed
    if given is not None:
        pairs = [(b, a) if (b, a) in guessed else (a, b) for a, b in given]
    content = {
        "name": name,
        "keypoints": names,
        "pairs": pairs,
        "edges": list(dict.fromkeys(edges)),
        "oks_sigmas": UNIFORM,
    }
    return skeleton_from_dict(content, "the tool's keypoints"), given is None


def split(found: list[Found], share: float) -> tuple[dict[str, list[Found]], str]:
    """Return the images of each split, and how they were chosen.

    The tool's own split is kept. Otherwise whole videos and folders, drawn with a fixed seed, are
    used for validation; from a single folder, random images; from a single video, its last part.

    Args:
        found: Images with their labels.
        share: Of the labelled images, for validation.
    """
    test = {"test": t} if (t := [i for i in found if i.picture.split == "test"]) else {}
    own = [image for image in found if image.picture.split == "val"]
    rest = [image for image in found if image.picture.split not in ("val", "test")]
    if own and rest:
        return {"train": rest, "val": own} | test, "the tool's own split"
    parts, how = draw(own or rest, share)
    return parts | test, how


def draw(found: list[Found], share: float) -> tuple[dict[str, list[Found]], str]:
    """Split images for which the tool has no split."""
    labelled = [image for image in found if any(p.points for p in image.picture.persons)]
    groups: dict[str, list[Found]] = {}
    for image in labelled:
        groups.setdefault(image.picture.group, []).append(image)
    wanted = round(share * len(labelled)) or (1 if share > 0 else 0)
    if len(labelled) < 2 or wanted == 0:
        return {"train": found, "val": found}, "val has the training images: AP is too high"
    val: set[int] = set()
    chance = random.Random(SEED)  # noqa: S311 (a draw, not a secret)
    if len(groups) > 1:
        names = sorted(groups)
        chance.shuffle(names)
        chosen: list[str] = []
        for name in names:
            if len(val) + len(groups[name]) <= wanted:
                chosen.append(name)
                val |= {id(image) for image in groups[name]}
        if not chosen:
            chosen = [min(names, key=lambda name: len(groups[name]))]
            val = {id(image) for image in groups[chosen[0]]}
        how = (
            f"whole folders or videos: {', '.join(sorted(Path(name).name for name in chosen)[:3])}"
        )
    elif labelled[0].picture.is_frame:
        val = {id(image) for image in labelled[-wanted:]}
        how = "the last frames of the only video, which are similar to the others"
    else:
        drawn = chance.sample(labelled, min(wanted, len(labelled) - 1))
        val = {id(image) for image in drawn}
        how = f"drawn with seed {SEED} from the only folder"
    aside = {name for name in groups if all(id(image) in val for image in groups[name])}
    keep = [i for i in found if id(i) not in val and i.picture.group not in aside]
    rest = [i for i in found if id(i) in val or i.picture.group in aside]
    return {"train": keep, "val": rest}, how


def annotate(
    found: list[Found], skeleton: Skeleton, labels: Labels, first: int = 1
) -> tuple[dict[str, Any], Counter[str]]:
    """Return the content of one annotation file, and counts of its entries.

    Args:
        found: Its images.
        skeleton: Of all objects.
        labels: Takes what is left out.
        first: Id of its first image and of its first annotation; ids are unique in all files.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    counts: Counter[str] = Counter()
    for key, image in enumerate(found, first):
        height, width = image.image_size
        images.append({"id": key, "file_name": str(image.file), "height": height, "width": width})
        for person in image.picture.persons:
            entry = _annotation(person, image, skeleton, counts)
            if entry is None:
                labels.leave_out(
                    "objects without a keypoint and a box in the image", image.picture.name
                )
            else:
                ids = {"id": first + len(annotations), "image_id": key, "category_id": 1}
                annotations.append(ids | entry)
    category = {
        "id": 1,
        "name": skeleton.name,
        "keypoints": list(skeleton.keypoints),
        "skeleton": [[a + 1, b + 1] for a, b in skeleton.edge_indices],
    }
    counts["images"] = len(images)
    counts["objects"] = len(annotations)
    return {"images": images, "annotations": annotations, "categories": [category]}, counts


def _annotation(
    person: Person, image: Found, skeleton: Skeleton, counts: Counter[str]
) -> dict[str, Any] | None:
    height, width = image.image_size
    scale = (width, height) if image.picture.relative else (1, 1)
    points = {n: (x * scale[0], y * scale[1], v) for n, (x, y, v) in person.points.items()}
    bbox = bbox_in_image(person, image)
    if person.bbox_xywh is not None:
        counts["boxes without an area in the image"] += bbox is None
    drawn = bbox is not None
    if not drawn and points:
        bbox = _extent([(x, y) for x, y, _ in points.values()], image.image_size)
    if bbox is None:
        return None
    counts["boxes around the keypoints"] += not drawn
    keypoints = []
    for name in skeleton.keypoints:
        x, y, flag = points.get(name, (0, 0, 0))
        keypoints += [round(x, 3), round(y, 3), flag]
        counts[("missing keypoints", "occluded keypoints", "visible keypoints")[flag]] += 1
    bbox = tuple(round(side, 3) for side in bbox)  # type: ignore[assignment]
    entry = {
        "keypoints": keypoints,
        "num_keypoints": len(points),
        "bbox": list(bbox),
        "area": round(bbox[2] * bbox[3], 3),
        "iscrowd": 0,
    }
    named = {"track_id": person.track, "class": person.category}
    return entry | {key: value for key, value in named.items() if value is not None}


def bbox_in_image(person: Person, image: Found) -> Bbox | None:
    """Return the part of a labelled box inside its image, in pixels; None if there is none."""
    if person.bbox_xywh is None:
        return None
    x, y, w, h = person.bbox_xywh
    height, width = image.image_size if image.picture.relative else (1, 1)
    return _clip((x * width, y * height, w * width, h * height), image.image_size)


def _clip(bbox: Bbox, image_size: tuple[int, int]) -> Bbox | None:
    """Return the part of a box inside the image; None if it has no area."""
    height, width = image_size
    x1, y1 = max(0.0, bbox[0]), max(0.0, bbox[1])
    x2, y2 = min(float(width), bbox[0] + bbox[2]), min(float(height), bbox[1] + bbox[3])
    return (x1, y1, x2 - x1, y2 - y1) if x2 - x1 > 1e-3 and y2 - y1 > 1e-3 else None


def _extent(points: list[tuple[float, float]], image_size: tuple[int, int]) -> Bbox | None:
    """Return the extent of points, enlarged about its centre, inside the image."""
    sides = []
    for values in zip(*points, strict=True):
        low, high = min(values), max(values)
        side = max(EXTENT_FACTOR * (high - low), LEAST_SHARE * max(image_size))
        sides.append(((low + high - side) / 2, side))
    (x, width), (y, height) = sides
    return _clip((x, y, width, height), image_size)


def write(
    output: Path,
    parts: dict[str, tuple[dict[str, Any], Counter[str]]],
    skeleton: Skeleton,
    form: str,
) -> list[Path]:
    """Write all files, after checking the annotations by the rules of training.

    Args:
        output: The folder.
        parts: Content of each split, with absolute file names, which are made relative here.
        skeleton: The skeleton.
        form: The tool's name, for the comments.

    Returns:
        The files.

    Raises:
        DataError: The labels have faults that training would refuse; no file is written.
        ConfigError: A file cannot be written.
    """
    files = [Path(e["file_name"]) for content, _ in parts.values() for e in content["images"]]
    root = Path(os.path.commonpath([file.parent for file in files]))
    try:
        with tempfile.TemporaryDirectory(dir=output, prefix=".") as folder:
            written = []
            for name, (content, _) in parts.items():
                images = [
                    e | {"file_name": Path(e["file_name"]).relative_to(root).as_posix()}
                    for e in content["images"]
                ]
                text = _one_a_line(content | {"images": images})
                written.append(_write(Path(folder) / f"{name}.json", text))
                if content["annotations"]:
                    checked = read_annotations(written[-1], root, skeleton, scored=False)
                    bad = usable_persons(checked).report.skipped.get(
                        "with a bbox without area inside its image"
                    )
                    assert not bad, f"{bad} boxes outside"
            content = skeleton.to_dict()
            head = f"# Keypoints of labels from {form}. Check the pairs: left first.\n"
            written.append(_write(Path(folder) / "skeleton.yaml", head + dump_yaml(content)))
            boxes = [e["bbox"] for c, _ in parts.values() for e in c["annotations"]]
            config = first_config(output.absolute(), root, boxes, skeleton, form)
            written.append(_write(Path(folder) / "config.yaml", config))
            return [file.replace(output / file.name) for file in written]
    except OSError as error:
        raise ConfigError(f"--output {output}: cannot be written ({error.strerror})") from None


def _one_a_line(content: dict[str, list[Any]]) -> str:
    lists = [
        f"{json.dumps(key)}: [\n"
        + ",\n".join(json.dumps(entry, allow_nan=False, ensure_ascii=False) for entry in entries)
        + "\n]"
        for key, entries in content.items()
    ]
    return "{\n" + ",\n".join(lists) + "\n}\n"


def _write(file: Path, text: str) -> Path:
    file.write_text(text, encoding="utf-8")
    return file
