"""Notes on the content of a data set, in words: how many entries, and which."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

EXAMPLES = 10  # that a note keeps, for data_report.json
NAMED = 3  # that a line names

SINGULAR = {
    **{"have": "has", "are": "is", "fit": "fits", "lie": "lies", "repeat": "repeats"},
    **{"extend": "extends", "use": "uses"},
}
VERB = re.compile(rf"\b({'|'.join(SINGULAR)})\b")
PLURAL = re.compile(r"(?<=\bbox)es\b|(?<=\bclass)es\b|(?<=[a-z]{2}[^s])s\b")


@dataclass(frozen=True)
class Note:
    """A kind of value that is probably wrong but used as it is, or that was corrected.

    Attributes:
        count: Number of such things.
        total: Number of all things.
        text: Their plural noun, what is wrong with them, and what to do or what is done.
        examples: Ids or names of the first.
        proved: True if it cannot occur in correct data; then it is a fault.
    """

    count: int
    total: int
    text: str
    examples: tuple[str, ...]
    proved: bool = False

    @classmethod
    def of(cls, names: Sequence[str], total: int, text: str) -> list[Note]:
        """Return the note of the things with these names, or nothing if there are none."""
        return [cls(len(names), total, text, tuple(names[:EXAMPLES]))] if names else []

    def __str__(self) -> str:
        share = f" ({self.count / self.total:.2%})" if self.count < self.total else ""
        text = singular_verb(self.text) if self.count == 1 else self.text  # `1 of 6 images has`
        text = singular_noun(text) if self.total == 1 else text
        example = joined(self.examples[:NAMED])
        return f"{self.count} of {self.total}{share} {text} (for example {example})"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `data_report.json`."""
        values = asdict(self) | {"share": round(self.count / self.total, 6)}
        del values["proved"]
        return values


def find(
    text: str, flags: ArrayLike, names: Iterable[Any], what: str = "", *, proved: bool = False
) -> list[Note]:
    """Return the note of all flagged things, or nothing.

    Args:
        text: Their plural noun, and what is wrong with them.
        flags: (N,) bool.
        names: (N,) ids or file names.
        what: What the names are, for the examples.
        proved: True if it cannot occur in correct data.
    """
    flags = np.asarray(flags, dtype=bool)
    flagged = [name for name, flag in zip(names, flags.tolist(), strict=True) if flag]
    examples = tuple(f"{what}{name}" for name in list(dict.fromkeys(flagged))[:EXAMPLES])
    return [Note(len(flagged), len(flags), text, examples, proved)] if examples else []


def in_number(count: int, text: str) -> str:
    """`2 images have no size`, `1 image has no size`."""
    return f"{count} {singular_noun(singular_verb(text)) if count == 1 else text}"


def singular_verb(text: str) -> str:
    """`images has` of `images have`, for `1 of 6 images has no size`."""
    return VERB.sub(lambda found: SINGULAR[found[0]], text, count=1)


def singular_noun(text: str) -> str:
    """`image has` of `images has`: the first plural becomes a singular."""
    return PLURAL.sub("", text, count=1)


def joined(names: Sequence[str]) -> str:
    """`annotation id 5, 9, 12` of names that begin alike."""
    kind = names[0].rpartition(" ")[0] + " " if names else ""
    if kind.strip() and all(name.startswith(kind) for name in names):
        return kind + ", ".join(name.removeprefix(kind) for name in names)
    return ", ".join(names)
