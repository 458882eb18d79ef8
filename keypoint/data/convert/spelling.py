"""Keypoint names that may be misspelt: rare, similar to a frequent one, never on an object with it.

Names are similar if they differ by one letter that is added, missing or replaced, or by two
neighbours that changed places: 80 % of misspellings (Damerau 1964, "A technique for computer
detection and correction of spelling errors"). Upper and lower case and separators are ignored.
Names that differ on purpose are not similar: finger1 and finger2, left_ear and right_ear, paw_FL
and paw_HL.
"""

from __future__ import annotations

import os.path
from collections import Counter

from keypoint.data.convert.labels import Labels
from keypoint.data.notes import in_number
from keypoint.pose.sides import guess_pairs, name_parts

RARE = 0.05  # of the objects that have the similar name
SHORT = 2  # letters of a word that is an abbreviation
LEAST = 4  # letters of a name: of three, one more or less is another word


def misspelt(labels: Labels, names: list[str]) -> list[str]:
    """Return a note for each name that may be a misspelling of another.

    Args:
        labels: The objects.
        names: Names of their keypoints.
    """
    counts: Counter[str] = Counter()
    first: dict[str, str] = {}  # image of each name
    for picture in labels.pictures:
        for person in picture.persons:
            for name in person.points:
                counts[name] += 1
                first.setdefault(name, picture.name)
    sides = {frozenset(pair) for pair in guess_pairs(names)}
    notes = []
    for name in names:
        frequent = [n for n in names if 0 < counts[name] <= RARE * counts[n]]
        similar = [n for n in frequent if {name, n} not in sides and is_similar(name, n)]
        alone = [n for n in similar if not _are_together(labels, name, n)]
        if alone:
            other = max(alone, key=lambda name: counts[name])
            place = first[name] if counts[name] == 1 else f"for example {first[name]}"
            notes.append(
                f"{name} is on {in_number(counts[name], 'objects')} ({place}), {other} on "
                f"{counts[other]}: if it is misspelt, correct it and convert again"
            )
    return notes


def is_similar(name: str, other: str) -> bool:
    """Return whether one of two names may be the other one, misspelt."""
    parts, others = ([p.lower() for p in name_parts(n)] for n in (name, other))
    if [p for p in parts if p.isdigit()] != [p for p in others if p.isdigit()]:
        return False
    if len(parts) == len(others):
        changed = [pair for pair in zip(parts, others, strict=True) if pair[0] != pair[1]]
        if len(changed) == 1 and max(map(len, changed[0])) <= SHORT:
            return False
    a, b = "".join(parts), "".join(others)
    return max(len(a), len(b)) >= LEAST and _is_one_change(a, b)


def _is_one_change(a: str, b: str) -> bool:
    start = len(os.path.commonprefix([a, b]))
    a, b = a[start:], b[start:]
    swapped = a[:2] == b[:2][::-1] and a[2:] == b[2:]
    return swapped or a[1:] == b[1:] or a[1:] == b or a == b[1:]


def _are_together(labels: Labels, name: str, other: str) -> bool:
    pictures = labels.pictures
    return any({name, other} <= person.points.keys() for p in pictures for person in p.persons)
