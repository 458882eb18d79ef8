"""The change of each image between two single runs, by the mean OKS of its persons.

An image's number is the OKS of its labelled persons with the results matched to them, 0 for a
person without one, averaged over these persons. Results are matched as COCOeval does at OKS 0.1.
Scores and results that match no person do not count, unlike in AP.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from keypoint.evaluation.runs.images import OnImages
from keypoint.evaluation.runs.markdown import cell, table

MOST = 5  # images of the table, each of better and worse ones
HEAD = ("group", "image_id", "file_name", "persons", "base_oks", "group_oks", "change")


@dataclass(frozen=True)
class ImageChange:
    """An image with a person that counts: mean OKS of its persons in the base run and another."""

    image_id: int
    file_name: str
    persons: int
    base: float
    other: float

    @property
    def change(self) -> float:
        """The other run's number minus the base run's."""
        return self.other - self.base


def image_changes(
    base: OnImages, other: OnImages, file_names: Mapping[int, str]
) -> tuple[ImageChange, ...]:
    """Return the change of each image with a person that counts, the largest gain first.

    Args:
        base: The base run.
        other: The other run, scored against the same persons.
        file_names: By image id; may lack some.
    """
    changes = [
        ImageChange(image_id, file_names.get(image_id, ""), persons, one / persons, two / persons)
        for image_id, persons, one, two in zip(
            *(each.tolist() for each in (base.image_ids, base.persons, base.oks, other.oks)),
            strict=True,
        )
        if persons
    ]
    return tuple(sorted(changes, key=lambda each: -each.change))


def to_markdown(changes: Sequence[ImageChange], base: str, group: str) -> str:
    """Return the images with the largest changes in both directions; empty if none changes."""
    gains = [each for each in changes[:MOST] if each.change > 0]
    losses = [each for each in changes[-MOST:] if each.change < 0]
    rows = [
        [each.file_name or str(each.image_id), str(each.persons), f"{each.base:.3f}",
         f"{each.other:.3f}", f"{each.change:+.3f}"]
        for each in gains + losses
    ]  # fmt: skip
    title = (
        f"Images that differ most between {cell(base)} and {cell(group)}: mean OKS of the image's "
        "labelled persons, 0 for a person without a result"
    )
    head = ["image", "persons", base, group, "change"]
    return f"{title}\n\n{table(head, rows)}" if rows else ""


def to_csv(changes: Mapping[str, Sequence[ImageChange]]) -> str:
    """Return a line for each image, by name of the group that is compared with the base."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEAD)
    for group, images in changes.items():
        for each in images:
            numbers = [f"{value:.6f}" for value in (each.base, each.other, each.change)]
            writer.writerow([group, each.image_id, each.file_name, each.persons, *numbers])
    return text.getvalue()
