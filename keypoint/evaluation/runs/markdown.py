"""Tables in Markdown, of texts that others wrote."""

from __future__ import annotations

from collections.abc import Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of so many columns as the head has."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(cell, line))} |" for line in lines)


def cell(text: str) -> str:
    """A text in a cell of its own: names of classes and folders may hold any character."""
    return "".join(c if c.isprintable() else " " for c in text).replace("|", "\\|")
