"""All doubts about an annotation file, and what becomes of them: an error, or a note."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from keypoint.data.notes import Note
from keypoint.data.persons import Annotations
from keypoint.data.plausible.annotated import form_doubts
from keypoint.data.plausible.labels import area_doubts, label_doubts
from keypoint.errors import DataError

logger = logging.getLogger(__name__)


def annotation_doubts(annotations: Annotations) -> list[Note]:
    """Doubts about boxes and labels, and about areas if the annotations are to be scored."""
    found = form_doubts(annotations) + label_doubts(annotations)
    return found + (area_doubts(annotations) if annotations.scored else [])


def settle(source: str, doubts: Sequence[Note]) -> tuple[str, ...]:
    """Raise what is proved, log the rest as warnings, and return it as notes for a report.

    Raises:
        DataError: A doubt is proved.
    """
    for doubt in doubts:
        if doubt.proved:
            raise DataError(f"{source}: {doubt}")
    for doubt in doubts:
        logger.warning("%s: %s", source, doubt)
    return tuple(map(str, doubts))
