"""Everything that is wrong with a data set, in one run and before any training.

A fault stops training or testing; a note tells what is odd and used as it is. What the loaders
refuse is found by the loaders' own functions, here with all faults of all files at once, and every
image is decoded. The self-test that follows is in evaluation/self_test.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from keypoint.data.annotations import collect, read_dataset
from keypoint.data.audit.images import ImageFile, Look, look_at_images
from keypoint.data.audit.notes import Note, notes_on_boxes, notes_on_images, notes_on_persons
from keypoint.data.boxes import read_box_list, usable_boxes
from keypoint.data.coco import implausible_form, usable_persons
from keypoint.data.entries import (
    CheckedEntries,
    check_entries,
    find_category,
    is_whole_number,
    names_fault,
)
from keypoint.data.image_files import file_fault, header_fault
from keypoint.data.persons import Annotations, Persons
from keypoint.data.report import Fault
from keypoint.errors import DataError
from keypoint.pose.skeleton import Skeleton

PIXELS = "image pixels"


@dataclass
class FileCheck:
    """What was found in an annotation file with its images, or in a detector's file.

    Attributes:
        source: The file.
        faults: What stops training or testing.
        notes: What is odd and used.
        persons: The records of what is in order; None where the file cannot be read so far.
        looks: Of the files of `persons.images`.
        annotations: What is in order in an annotation file; None if it cannot be read.
        to_score: The same as evaluation would take it: checked for scoring, without the images
            with anything bad; None if it cannot be read.
        bad_images: How many images are bad.
        bad_annotations: How many annotations are bad.
    """

    source: Path
    faults: list[Fault] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    persons: Persons | None = None
    looks: list[Look] = field(default_factory=list)
    annotations: Annotations | None = None
    to_score: Annotations | None = None
    bad_images: int = 0
    bad_annotations: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `data_report.json`."""
        counts = self.persons.report.to_dict() if self.persons else {"source": str(self.source)}
        counts.pop("listed", None)
        return counts | {
            "faults": [fault.to_dict() for fault in self.faults],
            "notes": [note.to_dict() for note in self.notes],
        }


def check_annotation_file(
    annotations: Path,
    image_root: Path,
    skeleton: Skeleton,
    *,
    scored: bool,
    workers: int = 0,
    track: Callable[[int], Any] | None = None,
) -> FileCheck:
    """Look at everything in an annotation file, and decode all its images.

    Args:
        annotations: The file.
        image_root: Folder of the images.
        skeleton: What the keypoints should be.
        scored: AP is to be computed against it: what COCOeval needs is a fault too. Otherwise it
            is a note.
        workers: Processes that decode; 0 does it here.
        track: Given the number of images, a context manager with `update()`: a progress bar.
    """
    check = FileCheck(annotations)
    try:
        content = read_dataset(annotations)
        category = find_category(content, annotations)
    except DataError as error:
        check.faults.append(_file_fault(error))
        return check
    wrong_names = names_fault(category, skeleton)
    if wrong_names:
        check.faults.append(Fault("", f"{annotations}: {wrong_names}", "keypoint names"))
    to_score = check_entries(content, category, skeleton.num_keypoints, scored=True)
    checked = to_score
    if not scored:
        checked = check_entries(content, category, skeleton.num_keypoints, scored=False)
        check.notes += _only_for_scoring(to_score, checked)

    places = [place for place in range(len(content["images"])) if place not in checked.bad_images]
    entries = [content["images"][place] for place in places]
    files = [
        ImageFile(image_root / entry["file_name"], (entry["height"], entry["width"]))
        for entry in entries
    ]
    looks = []
    with track(len(files)) if track else nullcontext() as bar:
        for look in look_at_images(files, workers):
            looks.append(look)
            if bar is not None:
                bar.update()
    for place, entry, look in zip(places, entries, looks, strict=True):
        if look.fault:
            fault = file_fault(entry["id"], entry["file_name"], DataError(look.fault))
            if header_fault(entry, image_root) is None:  # only decoding finds it
                fault = replace(fault, reason=PIXELS)
            checked.bad_images[place] = to_score.bad_images[place] = [fault]
    check.looks = [look for look in looks if look.fault is None]
    check.faults += checked.faults()
    check.bad_images, check.bad_annotations = len(checked.bad_images), len(checked.bad_annotations)

    source = str(annotations)
    check.annotations = collect(content, checked, source, image_root, whole_images=False)
    check.to_score = collect(content, to_score, source, image_root, whole_images=True)
    check.persons = persons = usable_persons(check.annotations)
    implausible = implausible_form(check.annotations)
    if implausible:
        check.faults.append(Fault("", f"{annotations}: {implausible}", "form"))
    if len(persons) == 0:
        text = f"{persons.report}; there is no usable person to train or test on"
        check.faults.append(Fault("", text, "no person"))
    listed = [entry for entry in persons.report.listed if entry["reason"] in persons.report.skipped]
    for entry in listed:  # left out and no fault: a box without area
        check.notes.append(Note(f"{entry['name']} is left out: {entry['text']}"))
    check.notes += _other_categories(content, category["id"])
    check.notes += notes_on_images(persons.images, check.looks)
    check.notes += notes_on_persons(persons, skeleton)
    return check


def check_box_file(
    boxes: Path, truth: FileCheck, skeleton: Skeleton, score_threshold: float = 0.0
) -> FileCheck:
    """Look at every box of a detector's file.

    Args:
        boxes: The file.
        truth: Of the annotation file of the same images.
        skeleton: Its number of keypoints.
        score_threshold: Boxes below are left out.
    """
    check = FileCheck(boxes)
    try:
        entries = read_box_list(boxes)
    except DataError as error:
        check.faults.append(_file_fault(error))
        return check
    if truth.annotations is None or truth.persons is None:
        return check  # nothing to compare with, and that is reported already
    check.persons, faults = usable_boxes(boxes, entries, truth.annotations, score_threshold)
    check.faults += [Fault(f"{boxes}: {f.name}", f.text, f.reason) for f in faults]
    if len(check.persons) == 0:
        text = f"{check.persons.report}; there is no box to test on"
        check.faults.append(Fault("", text, "no box"))
    check.notes += notes_on_boxes(check.persons, truth.persons)
    return check


def stopping_faults(check: FileCheck, on_bad: str, max_bad: float) -> list[Fault]:
    """The faults that stop training or testing under a policy.

    Args:
        check: Of an annotation file or a detector's.
        on_bad: "error": all. "skip": those of a whole file, damaged pixels (the loader looks at the
            first and last bytes only), and all if there are too many.
        max_bad: Largest share that "skip" leaves out.
    """
    if on_bad == "error":
        return check.faults
    counts = check.persons.report if check.persons else None
    total_images = check.annotations.total_images if check.annotations else 0
    bad_entries = check.bad_annotations if check.annotations else len(check.faults)
    too_many = counts is not None and (
        bad_entries > max_bad * counts.total or check.bad_images > max_bad * total_images
    )
    whole = ("file", "keypoint names", "form", "no person", "no box", PIXELS)
    return [fault for fault in check.faults if too_many or fault.reason in whole]


def _file_fault(error: DataError) -> Fault:
    return Fault("", str(error), "file")


def _other_categories(content: dict[str, Any], category_id: int) -> list[Note]:
    names = {
        c.get("id"): c.get("name") for c in content["categories"] if is_whole_number(c.get("id"))
    }
    counts = Counter(
        entry["category_id"]
        for entry in content["annotations"]
        if is_whole_number(entry.get("category_id")) and entry["category_id"] != category_id
    )
    return [
        Note(f"category {names[key]!r} (id {key}): its {count} annotations are not used")
        for key, count in counts.items()
        if key in names
    ]


def _only_for_scoring(to_score: CheckedEntries, checked: CheckedEntries) -> list[Note]:
    """What COCOeval would refuse and training does not need."""
    more = to_score.bad_annotations.keys() - checked.bad_annotations.keys()
    if not more:
        return []
    text = f"{len(more)} annotations could be trained on and not scored against"
    examples = tuple(str(to_score.bad_annotations[place]) for place in sorted(more)[:10])
    return [Note(text, examples)]
