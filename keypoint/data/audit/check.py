"""Find all faults of a data set in one run, before training.

A fault stops training or testing; a finding is probably wrong but used as it is. The functions of
the loaders find the faults, here in all files, and every image is decoded. The self-test that
follows is in evaluation/self_test.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from keypoint.data.annotations import collect, read_dataset
from keypoint.data.audit.findings import (
    box_findings,
    image_findings,
    label_counts,
    person_findings,
)
from keypoint.data.audit.images import Look, look_at_images
from keypoint.data.boxes import read_box_list, usable_boxes
from keypoint.data.coco import usable_persons
from keypoint.data.entries import CheckedEntries, check_entries, find_category, names_fault
from keypoint.data.images.files import file_fault, header_fault, name_forms_once
from keypoint.data.notes import Note, find
from keypoint.data.persons import Annotations, Persons
from keypoint.data.plausible.detected import box_doubts
from keypoint.data.plausible.file import annotation_doubts
from keypoint.data.plausible.labels import area_doubts
from keypoint.data.report import Fault
from keypoint.errors import DataError
from keypoint.pose.skeleton import Skeleton

PIXELS = "image pixels"
# Reasons of faults that data.on_bad=skip does not leave out. The loader reads only the first and
# last bytes of images, so training stops at damaged pixels.
NOT_SKIPPED = ("file", "keypoint names", "form", "no person", "no box", PIXELS)


@dataclass
class FileCheck:
    """State of an annotation file with its images, or of a detector's file.

    Attributes:
        source: The file.
        faults: Everything that stops training or testing.
        warnings: Everything that is probably wrong.
        persons: The valid records; None if the file cannot be read.
        labels: How often each keypoint is labelled, by visibility.
        looks: Results of decoding the files of `persons.images`.
        annotations: The valid part of an annotation file; None if it cannot be read.
        to_score: The same for evaluation: checked for scoring, without images that have anything
            bad; None if it cannot be read.
        bad_shares: (bad, all) annotations and images, or boxes.
    """

    source: Path
    faults: list[Fault] = field(default_factory=list)
    warnings: list[Note] = field(default_factory=list)
    persons: Persons | None = None
    labels: dict[str, dict[str, int]] = field(default_factory=dict)
    looks: list[Look] = field(default_factory=list)
    annotations: Annotations | None = None
    to_score: Annotations | None = None
    bad_shares: list[tuple[int, int]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `data_report.json`."""
        counts: dict[str, Any] = {"source": str(self.source)}
        if self.persons:
            counts = self.persons.report.to_dict()
        listed = counts.pop("listed", [])  # faults, and entries left out for other reasons
        return counts | {
            "skipped_entries": [entry for entry in listed if entry["reason"] in counts["skipped"]],
            "labels": self.labels,
            "faults": [fault.to_dict() for fault in self.faults],
            "warnings": [finding.to_dict() for finding in self.warnings],
        }

    def add(self, notes: Sequence[Note]) -> None:
        """Add notes: faults if they are proved, warnings otherwise."""
        proved = [note for note in notes if note.proved]
        self.faults += [Fault("", f"{self.source}: {note}", "form") for note in proved]
        self.warnings += [note for note in notes if not note.proved]

    def stopping_faults(self, on_bad: str, max_bad: float) -> list[Fault]:
        """The faults that stop training or testing under `data.on_bad` and `data.max_bad`."""
        too_many = any(bad > max_bad * total for bad, total in self.bad_shares)
        if on_bad == "error" or too_many:
            return self.faults
        return [fault for fault in self.faults if fault.reason in NOT_SKIPPED]


def check_annotation_file(
    annotations: Path,
    image_root: Path,
    skeleton: Skeleton,
    *,
    scored: bool,
    category: str | Sequence[str] | None = None,
    workers: int = 0,
    track: Callable[[int], Any] | None = None,
) -> FileCheck:
    """Check everything in an annotation file, and decode all its images.

    Args:
        annotations: The file.
        image_root: Folder of the images.
        skeleton: The skeleton that the keypoints should have.
        scored: AP will be computed against the file: report a lack of what COCOeval needs as a
            fault, not as a warning.
        category: As `read_annotations` takes it.
        workers: Processes that decode; 0 decodes in this one.
        track: Takes the number of images and returns a context manager with `update()`, such as a
            progress bar.
    """
    check = FileCheck(annotations)
    try:
        content = read_dataset(annotations)
        chosen = find_category(content, annotations, category)
    except DataError as error:
        check.faults.append(Fault("", str(error), "file"))
        return check
    wrong_names = names_fault(chosen, skeleton)
    if wrong_names:
        check.faults.append(Fault("", f"{annotations}: {wrong_names}", "keypoint names"))
    total = len(content["annotations"])
    to_score = check_entries(content, chosen, skeleton.num_keypoints, scored=True)
    content = to_score.content
    bad = to_score
    if not scored:
        bad = check_entries(content, chosen, skeleton.num_keypoints, scored=False)
        more = to_score.bad_annotations.keys() - bad.bad_annotations.keys()
        flags = [place in more for place in range(total)]
        names = [entry.get("id") for entry in content["annotations"]]
        text = "annotations can be used for training but not for scoring"
        check.warnings += find(text, flags, names, "annotation id ")

    check.looks, bad_files = _decode(bad, image_root, workers, track)
    bad.bad_images |= bad_files
    to_score.bad_images |= bad_files
    check.faults += name_forms_once(bad.faults(), image_root, str(annotations))
    check.bad_shares = [
        (len(bad.bad_annotations), total),
        (len(bad.bad_images), len(content["images"])),
    ]

    source = str(annotations)
    check.annotations = collect(bad, source, image_root, whole_images=False)
    check.to_score = collect(to_score, source, image_root, whole_images=True)
    persons = usable_persons(check.annotations)
    check.persons, check.labels = persons, label_counts(persons, skeleton)
    check.warnings += image_findings(persons.images, check.looks)
    doubts = annotation_doubts(replace(check.annotations, scored=False))
    check.add(doubts + (area_doubts(check.to_score) if scored else []))
    if len(persons) == 0:
        text = f"{persons.report}; there is no usable person to train or test on"
        check.faults.append(Fault("", text, "no person"))
    check.warnings += check.to_score.notes
    check.warnings += person_findings(persons, skeleton)
    return check


def _decode(
    checked: CheckedEntries, root: Path, workers: int, track: Callable[[int], Any] | None
) -> tuple[list[Look], dict[int, list[Fault]]]:
    """Decode the files of all valid images; return the results, and the faults by place."""
    images = checked.content["images"]
    places = [place for place in range(len(images)) if place not in checked.bad_images]
    entries = [images[place] for place in places]
    files = [(root / e["file_name"], (e["height"], e["width"])) for e in entries]
    looks, faults = [], {}
    with track(len(files)) if track else nullcontext() as bar:
        for place, entry, look in zip(places, entries, look_at_images(files, workers), strict=True):
            if look.fault is None:
                looks.append(look)
            else:
                fault = file_fault(entry["id"], entry["file_name"], DataError(look.fault))
                only_pixels = header_fault(entry, root) is None
                faults[place] = [replace(fault, reason=PIXELS) if only_pixels else fault]
            if bar is not None:
                bar.update()
    return looks, faults


def check_box_file(boxes: Path, truth: FileCheck, score_threshold: float = 0.0) -> FileCheck:
    """Check every box of a detector's file.

    Args:
        boxes: The file.
        truth: Check of the annotation file of the same images.
        score_threshold: Boxes below it are left out.
    """
    check = FileCheck(boxes)
    try:
        entries = read_box_list(boxes)
    except DataError as error:
        check.faults.append(Fault("", str(error), "file"))
        return check
    if truth.annotations is None or truth.persons is None:
        return check  # nothing to compare with, which is already reported
    check.persons, faults = usable_boxes(boxes, entries, truth.annotations, score_threshold)
    check.bad_shares = [(len(faults), len(entries))]
    check.faults += [Fault(f"{boxes}: {f.name}", f.text, f.reason) for f in faults]
    if len(check.persons) == 0:
        text = f"{check.persons.report}; there is no box to test on"
        check.faults.append(Fault("", text, "no box"))
    check.add(box_doubts(check.persons, truth.annotations))
    check.warnings += box_findings(check.persons, truth.persons)
    return check
