"""What became of every file, frame and person of a prediction: used, or skipped for a reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from keypoint.data.persons import Persons
from keypoint.data.report import DataReport, Fault, ImageCounts, in_words
from keypoint.prediction.frames import Task, Unread, VideoEnd
from keypoint.prediction.inputs import Input, Inputs, printable
from keypoint.prediction.stream import Predicted, outside


class PredictCounts:
    """Counts what comes out of `predict_stream`.

    Args:
        source: Where the boxes come from, for the reports.
        inputs: All files; what is left out or faulty before anything is read counts too.
        not_listed: Inputs that the annotation file lacks, and so no tasks.
        persons: The records that the boxes are of; None where a detector or nothing says who is on
            an image.
        tasks: What is read.

    Attributes:
        faults: Of files that could not be used, or not wholly; told as they come.
        files: All of them.
        files_used: Images, and videos with a frame.
        persons: Predicted so far.
        turned: Images turned upright by their EXIF orientation.
    """

    def __init__(
        self,
        source: str,
        inputs: Inputs,
        not_listed: Sequence[Input] = (),
        persons: Persons | None = None,
        tasks: Sequence[Task] = (),
    ) -> None:
        self.source = source
        self.faults = list(inputs.faults)
        self.persons = self.turned = 0
        self.files = len(inputs.found) + len(inputs.faults) + inputs.left_out.total()
        self.files_used = 0
        self._files_skipped = Counter(inputs.left_out)
        self._files_skipped["not in the annotation file"] = len(not_listed)
        self._files_skipped.update(fault.reason for fault in inputs.faults)
        self._frames = self._frames_used = 0
        self._frames_skipped = Counter[str]()
        self._records = persons
        self._not_listed = [printable(found.path) for found in not_listed]
        self._unread: set[int] = set()
        self._asked = {task.image_id for task in tasks}

    def add(self, event: Predicted | Unread | VideoEnd) -> Fault | None:
        """Count one event; gives the fault that it tells of, if it does."""
        if isinstance(event, Predicted):
            self.persons += len(event.boxes)
            self.turned += event.frame.orientation != 1
            self.files_used += event.frame.number is None
            return None
        if isinstance(event, Unread):
            self._files_skipped[event.fault.reason] += 1
            if event.fault.id is not None:
                self._unread.add(event.fault.id)
        else:
            self._frames += max(event.claimed, event.read)
            self._frames_used += event.read
            self._frames_skipped[event.reason] += max(0, event.claimed - event.read)
            if event.read:
                self.files_used += 1
            else:
                why = event.fault.reason if event.fault else "stopped before the first frame"
                self._files_skipped[why] += 1
        if event.fault:
            self.faults.append(event.fault)
        return event.fault

    def reports(self) -> dict[str, DataReport]:
        """For `data_report.json`: of persons and files, and of the videos' frames."""
        files = ImageCounts(self.files, self.files_used, dict(+self._files_skipped))
        listed = [fault.to_dict() for fault in self.faults]
        listed += [
            {"name": name, "reason": "not in the annotation file", "text": "was left out"}
            for name in self._not_listed
        ]
        total, skipped = self.persons, Counter[str]()
        if self._records is not None:
            total, skipped = self._records.report.total, self._skipped_records(self._records)
        reports = {
            "predict": DataReport(self.source, total, self.persons, dict(skipped), files, listed)
        }
        if self._frames:
            lost = dict(+self._frames_skipped)
            reports["frames"] = DataReport("videos", self._frames, self._frames_used, lost)
        return reports

    def summary(self) -> str:
        """All counts as text."""
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
        if self.turned:
            lines.append(f"{self.turned} images turned upright by their EXIF orientation")
        return "\n".join(lines)

    def _skipped_records(self, persons: Persons) -> Counter[str]:
        skipped = Counter(persons.report.skipped)
        is_outside = outside(persons)
        is_asked = np.isin(persons.image_ids, [i for i in self._asked if i is not None])
        is_unread = np.isin(persons.image_ids, list(self._unread))
        skipped["on an image that is no input"] += int((~is_asked).sum())
        skipped["on an image that could not be read"] += int((is_asked & is_unread).sum())
        skipped["wholly outside their image"] += int((is_asked & ~is_unread & is_outside).sum())
        return +skipped
