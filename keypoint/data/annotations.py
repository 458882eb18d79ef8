"""Read an annotation file: parsed and checked once, for training, evaluation and analysis.

All faults of a file are reported at once. `on_bad="error"` raises them; "skip" leaves out the bad
entries up to a maximum share, and counts and lists them. A fault of the whole file (no list of
annotations, another order of keypoints) is always an error. COCOeval does not report faulty input
(a NaN area matches everything and gives AP 1.000), so this module checks for it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from reprlib import repr as short
from typing import Any

import numpy as np

from keypoint.data.entries import (
    OTHER_SKELETON,
    CheckedEntries,
    check_entries,
    find_category,
    is_whole_number,
    names_fault,
)
from keypoint.data.entries.form import DatasetForm
from keypoint.data.images.files import find_bad_files
from keypoint.data.persons import Annotations, FileNames, Images
from keypoint.data.report import raise_faults, raise_too_many
from keypoint.data.synthetic.mark import is_generated
from keypoint.errors import DataError
from keypoint.files import read_json
from keypoint.files.json_text import no_collection
from keypoint.pose.skeleton import Skeleton

logger = logging.getLogger(__name__)

FORM = "give COCO's images, annotations and categories"
NO_ENTRIES = "has no entries; it needs at least one"


@no_collection()
def read_annotations(
    path: Path,
    image_root: Path,
    skeleton: Skeleton,
    *,
    scored: bool = False,
    images_only: bool = False,
    category: str | Sequence[str] | None = None,
    on_bad: str = "error",
    max_bad: float = 0.001,
    names_remedy: str = OTHER_SKELETON,
) -> Annotations:
    """Parse and check an annotation file.

    Args:
        path: COCO `person_keypoints_*.json` or any file of that form. COCO's
            `image_info_*.json`, without annotations, is enough for a detector's boxes.
        image_root: Folder that the `file_name`s are relative to.
        skeleton: Its names must be the category's, in the same order.
        scored: Predictions will be scored against them: check what COCOeval needs, and with "skip"
            leave out every image that has anything bad.
        images_only: Do not read the annotations. A file with a single category needs no
            keypoints then.
        category: Names of the persons' categories, "all" for all with keypoints, None for the only
            one. Several must have equal keypoints and count as one class.
        on_bad: "error", or "skip" to leave out bad annotations, and images whose entry or file is
            bad (the first and last bytes of every file are read, about 0.15 ms each).
        max_bad: Largest share of annotations, and of images, that "skip" leaves out.
        names_remedy: What to do if the category's keypoint names differ from the skeleton's.

    Raises:
        DataError: The file is unreadable or faulty (all faults are listed by id), or no person in
            it can be scored against.
    """
    if on_bad not in ("error", "skip"):
        raise ValueError(f"on_bad={on_bad!r}; choose 'error' or 'skip'")
    content, source = read_dataset(path, need_annotations=False), str(path)
    chosen = find_category(content, path, category, take_only=images_only)
    wrong_names = names_fault(chosen, skeleton, names_remedy)
    if wrong_names:
        raise DataError(f"{path}: {wrong_names}")
    if images_only:
        content.pop("annotations", None)
    checked = check_entries(content, chosen, skeleton.num_keypoints, scored=scored)
    if on_bad == "error":
        raise_faults(source, checked.faults())
    else:
        images, bad = checked.content["images"], checked.bad_images
        logger.info("%s: checking %d image files", source, len(images))
        bad |= find_bad_files(images, bad, image_root)
        raise_too_many(source, "images", checked.image_faults(), len(bad), len(images), max_bad)
        faults, total = list(checked.bad_annotations.values()), len(content.get("annotations", []))
        raise_too_many(source, "annotations", faults, len(faults), total, max_bad)
    annotations = collect(checked, source, image_root, whole_images=scored)
    log_notes(annotations)
    if scored and annotations.annotated:
        require_scorable(annotations)
    return annotations


def annotations_to_score(
    given: str | Path | dict[str, Any] | Annotations, num_keypoints: int | None = None
) -> Annotations:
    """Return annotations checked for scoring; image files and sizes are not needed.

    Args:
        given: A file, its content (not modified), or annotations that were checked already.
        num_keypoints: Expected K; None takes that of the annotations.

    Raises:
        DataError: They are unreadable or faulty, have another K, or no person to score against.
        ValueError: They were checked for training only.
    """
    annotations = given if isinstance(given, Annotations) else _check_to_score(given, num_keypoints)
    source = annotations.source
    if not annotations.scored:
        raise ValueError(f"{source}: read for training; read it with scored=True")
    if num_keypoints not in (None, annotations.num_keypoints):
        raise DataError(
            f"{source}: category {short(annotations.category_name)} has "
            f"{annotations.num_keypoints} keypoints, but oks_sigmas has {num_keypoints} numbers; "
            "give one for each keypoint"
        )
    require_scorable(annotations)
    return annotations


@no_collection()
def _check_to_score(given: str | Path | dict[str, Any], num_keypoints: int | None) -> Annotations:
    if isinstance(given, (str, Path)):
        content, source = read_dataset(Path(given)), str(given)
    else:
        content, source = given, "annotations"
        check_form(content, source)
    category = find_category(content, source)
    names = category.keypoints
    if isinstance(names, list) and names:
        num_keypoints = len(names)
    elif num_keypoints is None:  # by the first annotation with keypoints
        lists = (entry["keypoints"] for entry in content["annotations"] if entry.get("keypoints"))
        first = next((numbers for numbers in lists if isinstance(numbers, list)), [0] * 51)
        num_keypoints = max(1, len(first) // 3)
    checked = check_entries(content, category, num_keypoints, scored=True, with_files=False)
    raise_faults(source, checked.faults())
    annotations = collect(checked, source, whole_images=True)
    log_notes(annotations)
    return annotations


def log_notes(annotations: Annotations) -> None:
    """Log once per file which values were corrected while reading."""
    for note in annotations.notes:
        logger.warning("%s: %s", annotations.source, note)


def require_scorable(annotations: Annotations) -> None:
    """Raise if AP is not defined.

    Raises:
        DataError: No person can be scored against.
    """
    if not annotations.counted.any():
        left_out = annotations.not_counted()
        why = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
        raise DataError(
            f"{annotations.source}: no person to score against ({annotations.total} annotations: "
            f"{why or 'none'}), so AP is not defined; give annotations with labelled keypoints"
        )


def read_dataset(
    path: Path, need_annotations: bool = True, form: Any = DatasetForm
) -> dict[str, Any]:
    """Read the content of an annotation file: three lists, each of at least one object.

    Args:
        path: The file.
        need_annotations: Otherwise this list may be empty, or missing as in COCO's
            `image_info_*.json`.
        form: Type with the needed keys; Any for all.

    Raises:
        DataError: The file is unreadable, or a list is missing or empty.
    """
    content = read_json(path, "annotations", form)
    check_form(content, str(path), need_annotations)
    assert isinstance(content, dict)
    return content


def check_form(content: Any, source: str, need_annotations: bool = True) -> None:
    """Check that a file's content is three lists, each of at least one object.

    Raises:
        DataError: It is not.
    """
    if not isinstance(content, dict):
        kind = type(content).__name__
        raise DataError(f"{source}: contains a {kind}; an annotation file is a JSON object")
    problems = []
    for key in ("images", "annotations", "categories"):
        entries = content.get(key)
        if key == "annotations" and content.get(key, []) == [] and not need_annotations:
            continue
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            given = "is missing" if key not in content else "is not a list of objects"
            problems.append(f"key {key!r} {given}; {FORM}")
        elif not entries:
            problems.append(f"{key!r} {NO_ENTRIES}")
    if problems:
        raise DataError(f"{source}: {'; '.join(problems)}")


def collect(
    checked: CheckedEntries,
    source: str,
    image_root: Path | None = None,
    *,
    whole_images: bool,
) -> Annotations:
    """Return the arrays of the valid entries.

    Args:
        checked: The outcome of `check_entries`, with the bad image files added.
        source: The file.
        image_root: Folder of the images; None if their files were not checked.
        whole_images: Leave out an image with a bad annotation. Evaluation needs this: without that
            person a correct prediction would count as a false positive.
    """
    bad, content = checked.bad_images, checked.content
    concerned = checked.faults() if whole_images else checked.image_faults()
    ids_of_file = {e["id"] for e in content["images"] if is_whole_number(e.get("id"))}
    left_out = frozenset(ids_of_file & {fault.image_id for fault in concerned})
    kept = [n for n, e in enumerate(content["images"]) if n not in bad and e["id"] not in left_out]
    images = [content["images"][n] for n in kept]
    row_of_id = {entry["id"]: row for row, entry in enumerate(images)}
    skipped_images = Counter(f"faulty ({faults[0].reason})" for faults in bad.values())
    with_faulty = len(content["images"]) - len(bad) - len(images)
    skipped_images["left out with a faulty annotation"] = with_faulty

    entries, persons = content.get("annotations", []), checked.persons
    ids, of_images = (
        np.array([entries[place][key] for place in persons.places.tolist()], dtype=np.int64)
        for key in ("id", "image_id")
    )
    rows = np.array([row_of_id.get(key, -1) for key in of_images.tolist()], dtype=np.int64)
    used = rows >= 0
    others = set(range(len(entries))) - set(persons.places[used].tolist())
    reasons = [_why_skipped(checked, n, entries[n], row_of_id) for n in sorted(others)]
    none = image_root is None
    sizes = [(0, 0) if none else (entry["height"], entry["width"]) for entry in images]
    return Annotations(
        source=source,
        category_ids=checked.category.ids,
        category_name=checked.category.name,
        scored=checked.scored,
        annotated="annotations" in content,
        images=Images(
            root=image_root or Path(),
            ids=np.array([entry["id"] for entry in images], dtype=np.int64),
            file_names=FileNames.of(["" if none else e["file_name"] for e in images]),
            image_size=np.array(sizes, dtype=np.int64).reshape(-1, 2),
        ),
        ids=ids[used],
        image_index=rows[used],
        keypoints=persons.keypoints[used].reshape(-1, checked.num_keypoints, 3),
        bbox_xywh=persons.bbox_xywh[used],
        area=persons.area[used],
        crowd=persons.crowd[used],
        skipped=dict(Counter(reasons)),
        skipped_images=dict(+skipped_images),
        faults=tuple(checked.faults()),
        left_out_images=left_out,
        notes=tuple(checked.notes(used)),
        generated=is_generated(content),
    )


def _why_skipped(
    checked: CheckedEntries, place: int, entry: dict[str, Any], images: Collection[int]
) -> str:
    """Return why an annotation is left out; `images` are the ids of the images used."""
    if place in checked.bad_annotations:
        return f"faulty ({checked.bad_annotations[place].reason})"
    if entry["image_id"] not in images:
        return "on an image left out as faulty"
    return "of another category"
