"""A prediction job: its files, their ids, and the counts of what became of them.

Every file, frame and person is counted: used, or skipped for a reason.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from keypoint.data.notes import in_number
from keypoint.data.persons import Persons
from keypoint.data.report import DataReport, Fault, ImageCounts, in_words, raise_faults
from keypoint.errors import DataError, printable
from keypoint.prediction.frames import Frame, Unread, VideoEnd
from keypoint.prediction.image_list import read_image_list
from keypoint.prediction.inputs import Input, Inputs
from keypoint.prediction.stream import FindPersons, Predicted, known_persons, outside
from keypoint.prediction.tracking import SEEN

logger = logging.getLogger(__name__)

SHOWN = 3
NOT_LISTED = "not in the annotation file"
NO_PERSON = "no person found"
OUTSIDE = "completely outside their image"


@dataclass
class Job:
    """Arguments of `read_inputs` and `predict_stream`, and the counts of what they yield.

    Attributes:
        inputs: Files to read, in order.
        find_persons: Returns the boxes of some frames.
        counts: Counts the events.
        category_id: Category of the persons in results.json.
    """

    inputs: Sequence[Input]
    find_persons: FindPersons
    counts: PredictCounts
    category_id: int


def job_of_images(
    inputs: Inputs, find_persons: FindPersons, source: str, annotations: Path | None = None
) -> Job:
    """Make a job whose persons are found on the images.

    Args:
        inputs: Images and videos.
        find_persons: A detector, or `whole_image`.
        source: Name of the boxes' source in the report.
        annotations: A file with the ids of the images; None to number them.

    Raises:
        DataError: The annotation file cannot be used, or contains none of the inputs.
    """
    if annotations is None:
        return Job(inputs.found, find_persons, PredictCounts(source, inputs), category_id=1)
    images = read_image_list(annotations, Path())
    entries = images.entries
    matched, others = match_entries(
        inputs.found,
        [entry["id"] for entry in entries],
        [entry["file_name"] for entry in entries],
        [(entry["height"], entry["width"]) for entry in entries],
        str(annotations),
    )
    return Job(matched, find_persons, PredictCounts(source, inputs, others), images.category_id)


def job_of_records(inputs: Inputs, persons: Persons, annotations: Path) -> Job:
    """Make a job whose persons have boxes in a file.

    Args:
        inputs: Images.
        persons: From `load_persons` or `load_boxes`.
        annotations: The file with the images, for messages.

    Raises:
        DataError: None of the inputs is in the file.
    """
    images = persons.images
    names, ids = images.file_names.tolist(), images.ids.tolist()
    sizes = [(int(height), int(width)) for height, width in images.image_size]
    matched, others = match_entries(inputs.found, ids, names, sizes, str(annotations))
    there = {one.image_id for one in matched}
    missing = [name for name, key in zip(names, ids, strict=True) if key not in there]
    if missing:
        _warn(annotations, "%d of its images are not among the inputs", missing)
    with_box = set(persons.image_ids[~outside(persons)].tolist())
    empty = [printable(one.path) for one in matched if one.image_id not in with_box]
    if empty:
        _warn(persons.report.source, "no usable box on %d of the inputs", empty)
    counts = PredictCounts(persons.report.source, inputs, others, persons, matched)
    return Job(matched, known_persons(persons), counts, persons.category_id)


def match_entries(
    inputs: Sequence[Input],
    ids: Sequence[int],
    file_names: Sequence[str],
    image_sizes: Sequence[tuple[int, int]],
    source: str,
) -> tuple[list[Input], list[Input]]:
    """Find each input among the images of an annotation file, by its name in the given folder.

    If no entry has that name, the only entry with the same last part is taken.

    Args:
        inputs: Images.
        ids: Ids of the entries.
        file_names: File names of the entries.
        image_sizes: (height, width) of the entries.
        source: The annotation file, for errors.

    Returns:
        Inputs with id and size, in their order, and the inputs that are not in the file.

    Raises:
        DataError: An input is a video, two inputs match one entry, or no input is in the file.
    """
    rows = {name: row for row, name in enumerate(file_names)}
    bases = Counter(name.rpartition("/")[2] for name in file_names)
    by_base = {
        base: row
        for row, name in enumerate(file_names)
        if bases[base := name.rpartition("/")[2]] == 1
    }
    matched, others, faults = [], [], []
    taken: dict[int, Path] = {}
    for found in inputs:
        row = rows.get(found.name, by_base.get(found.name.rpartition("/")[2]))
        if found.is_video:
            faults.append(
                f"{printable(found.path)}: a video has no entry; leave out it or --annotations"
            )
        elif row is None:
            others.append(found)
        elif row in taken:
            both = f"{printable(taken[row])} and {printable(found.path)}"
            faults.append(f"image id {ids[row]}: {both} are both {file_names[row]}; give one")
        else:
            taken[row] = found.path
            matched.append(replace(found, image_id=ids[row], image_size=image_sizes[row]))
    raise_faults(source, faults)
    if not matched:
        shown = ", ".join(printable(found.name) for found in others[:SHOWN])
        raise DataError(
            f"{source}: none of the {len(others)} inputs ({shown}) is among its "
            f"{len(file_names)} images; give the folder that its file_names are in"
        )
    return matched, others


def _warn(source: Path | str, text: str, names: list[str]) -> None:
    more = " .." if len(names) > SHOWN else ""
    logger.warning(f"%s: {text}: %s%s", source, len(names), ", ".join(names[:SHOWN]), more)


class PredictCounts:
    """Counts the events of `predict_stream`.

    Args:
        source: Source of the boxes, for the reports.
        inputs: All files, including those left out or faulty before reading.
        not_listed: Inputs that are not in the annotation file.
        persons: The records that the boxes belong to; None if persons are found on the images.
        matched: Inputs that may have such records.

    Attributes:
        records: The records that the boxes belong to, or None.
        faults: Faults of files that could not be used, or not completely.
        files: Number of all files.
        files_used: Number of images, and of videos with a frame.
        persons: Number of persons predicted so far.
        turned: Number of images turned upright by their EXIF orientation.
        dark: Number of 16-bit images that use at most a quarter of their range.
        images: Number of images read, without frames of videos.
        empty: Files of images on which the detector found no person.
        faint: Number of persons without a keypoint that is drawn.
    """

    def __init__(
        self,
        source: str,
        inputs: Inputs,
        not_listed: Sequence[Input] = (),
        persons: Persons | None = None,
        matched: Sequence[Input] = (),
    ) -> None:
        self.source = source
        self.faults = list(inputs.faults)
        self.persons = self.turned = self.dark = self.images = self.faint = 0
        self.empty: list[str] = []
        self.files = len(inputs.found) + len(inputs.faults) + inputs.left_out.total()
        self.files_used = 0
        self._files_skipped = Counter(inputs.left_out)
        self._files_skipped[NOT_LISTED] = len(not_listed)
        self._files_skipped.update(fault.reason for fault in inputs.faults)
        self._frames = self._frames_used = 0
        self._frames_skipped = Counter[str]()
        self.records = persons
        self._rows_outside: dict[int, list[int]] = {}
        if persons is not None:
            for row in np.flatnonzero(outside(persons)).tolist():
                self._rows_outside.setdefault(int(persons.image_ids[row]), []).append(row)
        self._not_listed = [printable(found.path) for found in not_listed]
        self._unread: set[int] = set()
        self._asked = [one.image_id for one in matched if one.image_id is not None]

    def add(self, event: Predicted | Unread | VideoEnd) -> Fault | None:
        """Count one event, and return its fault, if it has one."""
        fault = event.fault if isinstance(event, Unread | VideoEnd) else self._outside(event.frame)
        if isinstance(event, Predicted):
            self.persons += len(event.boxes)
            self.faint += int((event.scores <= SEEN).all(axis=1).sum())
            self.turned += event.frame.orientation != 1
            self.dark += event.frame.is_dark
            if event.frame.number is None:
                self.files_used += 1
                self.images += 1
                if self.records is None and not len(event.boxes):
                    self.empty.append(str(event.frame.path))
        elif isinstance(event, Unread):
            self._files_skipped[event.fault.reason] += 1
            if event.fault.id is not None:
                self._unread.add(event.fault.id)
        else:
            self._frames += event.read + event.lost
            self._frames_used += event.read
            self._frames_skipped[event.reason] += event.lost
            if event.read:
                self.files_used += 1
            else:
                why = event.fault.reason if event.fault else "stopped before the first frame"
                self._files_skipped[why] += 1
        if fault:
            self.faults.append(fault)
        return fault

    def _outside(self, frame: Frame) -> Fault | None:
        """Return the fault of an image if boxes of its records are outside it."""
        rows = self._rows_outside.get(frame.image_id, [])
        if self.records is None or not rows:
            return None
        height, width = frame.image_size
        boxes = [f"box {self.records.ids[n]} {self.records.bbox_xywh[n].tolist()}" for n in rows]
        more = f" and {len(boxes) - SHOWN} more" if len(boxes) > SHOWN else ""
        text = (
            f"{frame.name}: {', '.join(boxes[:SHOWN])}{more} of {printable(self.source)} "
            f"{'is' if len(boxes) == 1 else 'are'} completely outside the image of {width} x "
            f"{height} pixels and left out; correct or remove them in the file"
        )
        path = str(frame.path)
        return Fault(printable(path), text, OUTSIDE, file=path, image_id=frame.image_id)

    def reports(self) -> dict[str, DataReport]:
        """Return the entries of `data_report.json`: persons, files and frames of videos."""
        files = ImageCounts(self.files, self.files_used, dict(+self._files_skipped))
        listed = [fault.to_dict() for fault in self.faults]
        listed += [
            {"name": name, "reason": NOT_LISTED, "text": "was left out"}
            for name in self._not_listed
        ]
        listed += [
            Fault(printable(file), "is used, without persons", NO_PERSON, file=file).to_dict()
            for file in self.empty
        ]
        total, skipped = self.persons, Counter[str]()
        if self.records is not None:
            total, skipped = self.records.report.total, self._skipped_records(self.records)
        reports = {
            "predict": DataReport(self.source, total, self.persons, dict(skipped), files, listed)
        }
        if self._frames:
            lost = dict(+self._frames_skipped)
            reports["frames"] = DataReport("videos", self._frames, self._frames_used, lost)
        return reports

    def summary(self) -> str:
        """Return all counts as text."""
        reports = self.reports()
        report, files = reports["predict"], reports["predict"].images
        assert files is not None
        of_persons = in_words("persons", report.total, report.used, report.skipped)
        lines = [
            f"{printable(report.source)}: {of_persons}",
            in_words("files", files.total, files.used, files.skipped),
        ]
        if "frames" in reports:
            frames = reports["frames"]
            lines.append(in_words("frames", frames.total, frames.used, frames.skipped))
        if self.empty:
            names = ", ".join(map(printable, self.empty[:SHOWN]))
            more = len(self.empty) - SHOWN
            lines.append(
                f"{NO_PERSON} on {len(self.empty)} of {in_number(self.images, 'images')}: {names}"
                + (f" and {more} more, all in data_report.json" if more > 0 else "")
            )
        if self.faint and self.faint == self.persons:
            lines.append(
                f"warning: no keypoint has a score above {SEEN}, so none is drawn; train longer, "
                "or use another network"
            )
        if self.turned:
            lines.append(f"{in_number(self.turned, 'images')} turned upright by EXIF orientation")
        if self.dark:
            lines.append(
                f"warning: {in_number(self.dark, 'images')} nearly black (12-bit data?): 16 bits, "
                "at most a quarter of their range is used; rescale them to the full range"
            )
        return "\n".join(lines)

    def _skipped_records(self, persons: Persons) -> Counter[str]:
        skipped = Counter(persons.report.skipped)
        is_outside = outside(persons)
        is_asked = np.isin(persons.image_ids, self._asked)
        is_unread = np.isin(persons.image_ids, list(self._unread))
        skipped["on an image that is not an input"] += int((~is_asked).sum())
        skipped["on an image that could not be read"] += int((is_asked & is_unread).sum())
        skipped[OUTSIDE] += int((is_asked & ~is_unread & is_outside).sum())
        return +skipped
