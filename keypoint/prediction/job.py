"""What a prediction is of: the files to read, under which ids, and who says who is on them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from keypoint.data.persons import Persons
from keypoint.prediction.counts import PredictCounts
from keypoint.prediction.detector import read_image_list
from keypoint.prediction.frames import Task, in_order, match_entries
from keypoint.prediction.inputs import Inputs, printable
from keypoint.prediction.stream import FindPersons, known_persons, outside

logger = logging.getLogger(__name__)

SHOWN = 3


@dataclass
class Job:
    """All that `read_tasks` and `predict_stream` ask for.

    Attributes:
        tasks: Files to read, in order.
        find_persons: Who is on some frames.
        counts: To be given what comes out.
        category_id: Of the persons in results.json.
    """

    tasks: list[Task]
    find_persons: FindPersons
    counts: PredictCounts
    category_id: int


def job_of_images(
    inputs: Inputs, find_persons: FindPersons, source: str, annotations: Path | None = None
) -> Job:
    """A job whose persons are found by looking at the images.

    Args:
        inputs: Images and videos.
        find_persons: A detector, or `whole_image`.
        source: What to call it in the report.
        annotations: For the ids of the images; None to number them.

    Raises:
        DataError: The annotation file cannot be used, or lacks all inputs.
    """
    if annotations is None:
        tasks = in_order(inputs.found)
        return Job(tasks, find_persons, PredictCounts(source, inputs), category_id=1)
    images = read_image_list(annotations, Path())
    entries = images.entries
    tasks, others = match_entries(
        inputs.found,
        [entry["id"] for entry in entries],
        [entry["file_name"] for entry in entries],
        [(entry["height"], entry["width"]) for entry in entries],
        str(annotations),
    )
    return Job(tasks, find_persons, PredictCounts(source, inputs, others), images.category_id)


def job_of_records(inputs: Inputs, persons: Persons, annotations: Path) -> Job:
    """A job whose persons have boxes in a file.

    Args:
        inputs: Images.
        persons: Of `load_persons` or `load_boxes`.
        annotations: The file with the images, for messages.

    Raises:
        DataError: None of the inputs is in the file.
    """
    images = persons.images
    names, ids = images.file_names.tolist(), images.ids.tolist()
    sizes = [(int(height), int(width)) for height, width in images.image_size]
    tasks, others = match_entries(inputs.found, ids, names, sizes, str(annotations))
    there = {task.image_id for task in tasks}
    missing = [name for name, key in zip(names, ids, strict=True) if key not in there]
    if missing:
        _warn(annotations, "%d of its images are not found among the inputs", missing)
    with_box = set(persons.image_ids[~outside(persons)].tolist())
    empty = [printable(task.path) for task in tasks if task.image_id not in with_box]
    if empty:
        _warn(persons.report.source, "no usable box on %d of the inputs", empty)
    counts = PredictCounts(persons.report.source, inputs, others, persons, tasks)
    return Job(tasks, known_persons(persons), counts, persons.category_id)


def _warn(source: Path | str, text: str, names: list[str]) -> None:
    more = " .." if len(names) > SHOWN else ""
    logger.warning(f"%s: {text}: %s%s", source, len(names), ", ".join(names[:SHOWN]), more)
