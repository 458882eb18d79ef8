"""Read JSON with msgspec, several times faster than Python's reader, if both give the same.

msgspec silently keeps the last of two equal keys, and can skip keys that are not needed. Whether a
key was lost is found by counting: each colon outside of texts follows a key. Everything else that
Python's reader refuses, msgspec refuses too; it also refuses NaN, infinities, lone surrogates and
numbers out of range (tests/test_json_text.py).
"""

from __future__ import annotations

import contextlib
import functools
import gc
from collections.abc import Iterator
from typing import Any

import msgspec


class DoubtError(Exception):
    """Python's reader may read this text differently, or has to report what is wrong with it."""


class Skipped(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A list whose content is checked but not kept."""


# A file's keys, and of its lists one level more: {"images": [{"id": 1}], "info": {"year": 2017}}.
Plain = str | float | int | bool | None
Flat = dict[str, Plain | Skipped | dict[str, Plain | Skipped]]
KEYS = msgspec.json.Decoder(list[Flat] | dict[str, Plain | list[Flat] | dict[str, Plain | Skipped]])
COLONLESS = frozenset((Skipped, int, float, bool))


def parse(raw: bytes, form: Any = Any) -> Any:
    """Return the content of a JSON text without duplicate keys.

    Args:
        raw: In UTF-8, without a byte order mark.
        form: A type of the content; keys that its TypedDicts lack are left out.

    Raises:
        DoubtError: It is not JSON, not of this form, or Python's reader has to decide.
    """
    try:
        raw.isascii() or raw.decode()  # msgspec skips texts unread
        no_escaped_colon = b"\\" not in raw or b"\\u003" not in raw
        if no_escaped_colon and count_colons(KEYS.decode(raw)) == raw.count(b":"):
            return _decoder(form).decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    raise DoubtError


@functools.lru_cache(maxsize=8)
def _decoder(form: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(form)


def count_colons(content: Any) -> int:
    """Count the keys of content that `KEYS` read, and the colons in its texts."""
    kind, count = type(content), 0
    if kind is list:
        return sum(map(count_colons, content))
    if kind is str:
        return int(content.count(":"))
    if kind is dict:
        count = len(content)
        for value in content.values():
            if type(value) not in COLONLESS:
                count += count_colons(value)
    return count


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """Disable garbage collection, as a context: a parser creates many objects but no garbage.

    Otherwise Python repeatedly scans all existing objects as their number grows.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
