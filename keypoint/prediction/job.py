"""A prediction job: its files and their ids, the source of the boxes, and the counts."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from keypoint.data.persons import Persons
from keypoint.data.report import raise_faults
from keypoint.errors import DataError, printable
from keypoint.prediction.counts import SHOWN, PredictCounts
from keypoint.prediction.inputs.find import Input, Inputs
from keypoint.prediction.inputs.image_list import read_image_list
from keypoint.prediction.stream import FindPersons, known_persons, outside

logger = logging.getLogger(__name__)


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
                f"{printable(found.path)}: --annotations is for images; give the video without "
                "it, or its frames as images"
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
