"""Tables in Markdown, with arbitrary text in the cells."""

from __future__ import annotations

from collections.abc import Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a table with the columns of its head."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(cell, line))} |" for line in lines)


def cell(text: str) -> str:
    """Escape a text for a cell: names of classes and folders may contain any character."""
    return "".join(c if c.isprintable() else " " for c in text).replace("|", "\\|")
