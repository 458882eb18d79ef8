"""Counts of a prediction: every file, frame and person is used, or skipped for a reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from keypoint.data.notes import in_number
from keypoint.data.persons import Persons
from keypoint.data.report import DataReport, Fault, ImageCounts, in_words
from keypoint.errors import printable
from keypoint.prediction.inputs.find import Input, Inputs
from keypoint.prediction.inputs.frames import Frame, Unread, VideoEnd
from keypoint.prediction.stream import Predicted, outside
from keypoint.prediction.tracking import SEEN

SHOWN = 3
NOT_LISTED = "not in the annotation file"
NO_PERSON = "no person found"
OUTSIDE = "completely outside their image"


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
        empty_videos: By video, the number of frames on which it found none, and of all frames.
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
        self.empty_videos: dict[str, tuple[int, int]] = {}
        self.files = len(inputs.found) + len(inputs.faults) + inputs.left_out.total()
        self.files_used = 0
        self._files_skipped = Counter(inputs.left_out)
        self._files_skipped[NOT_LISTED] = len(not_listed)
        self._files_skipped.update(fault.reason for fault in inputs.faults)
        self._frames = self._frames_used = self._empty_frames = 0
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
            is_empty = self.records is None and not len(event.boxes)
            if event.frame.number is None:
                self.files_used += 1
                self.images += 1
                if is_empty:
                    self.empty.append(str(event.frame.path))
            else:
                self._empty_frames += is_empty
        elif isinstance(event, Unread):
            self._files_skipped[event.fault.reason] += 1
            if event.fault.id is not None:
                self._unread.add(event.fault.id)
        else:
            self._frames += event.read + event.lost
            self._frames_used += event.read
            self._frames_skipped[event.reason] += event.lost
            if self._empty_frames:
                self.empty_videos[str(event.path)] = (self._empty_frames, event.read)
            self._empty_frames = 0
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
        listed += [
            Fault(printable(file), f"on {text}", NO_PERSON, file=file).to_dict()
            for file, text in self._of_videos()
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
        lines += [
            f"{NO_PERSON} on {text} of {printable(file)}"
            for file, text in self._of_videos()[:SHOWN]
        ]
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

    def _of_videos(self) -> list[tuple[str, str]]:
        """Return videos with frames without persons, and how many these are."""
        found = self.empty_videos.items()
        return [(file, f"{none} of {in_number(all_, 'frames')}") for file, (none, all_) in found]

    def _skipped_records(self, persons: Persons) -> Counter[str]:
        skipped = Counter(persons.report.skipped)
        is_outside = outside(persons)
        is_asked = np.isin(persons.image_ids, self._asked)
        is_unread = np.isin(persons.image_ids, list(self._unread))
        skipped["on an image that is not an input"] += int((~is_asked).sum())
        skipped["on an image that could not be read"] += int((is_asked & is_unread).sum())
        skipped[OUTSIDE] += int((is_asked & ~is_unread & is_outside).sum())
        return +skipped
