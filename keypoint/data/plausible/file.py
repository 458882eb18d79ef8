"""Check whether an annotation file is plausible; raise an error, or return notes."""

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
    """Return doubts about boxes and labels, and about areas if the annotations are for scoring."""
    found = form_doubts(annotations) + label_doubts(annotations)
    return found + (area_doubts(annotations) if annotations.scored else [])


def settle(source: str, doubts: Sequence[Note]) -> tuple[str, ...]:
    """Raise an error for proved doubts; log the others as warnings and return them for a report.

    Raises:
        DataError: A doubt is proved.
    """
    for doubt in doubts:
        if doubt.proved:
            raise DataError(f"{source}: {doubt}")
    for doubt in doubts:
        logger.warning("%s: %s", source, doubt)
    return tuple(map(str, doubts))
