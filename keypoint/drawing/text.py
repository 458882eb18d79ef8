"""Draw, measure and shorten a line of text with Pillow; a dark rim keeps it legible anywhere.

ASCII is written in Aileron, Pillow's own font, so that pictures are the same on every machine.
It has no other characters: these are written in the installed font that fontconfig (`fc-match`)
finds for them, or without fontconfig in one of `USUAL_FONTS`. A character that no
font has is drawn as a box, and one that cannot be printed as a question mark.
"""

from __future__ import annotations

import math
import shutil
import subprocess
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from keypoint.drawing.canvas import INK, Color, Image

CAPITAL = 0.7  # height of a capital by the font's size
USUAL_FONTS = ("DejaVuSans.ttf", "Arial Unicode.ttf", "arial.ttf")  # Linux, macOS, Windows

Font = ImageFont.FreeTypeFont
_found_fonts: dict[frozenset[str], str | None] = {}  # by scripts; a search takes some 20 ms


def text_size(text: str, height: float) -> tuple[int, int]:
    """(height, width) in pixels of a line whose capitals are `height` px tall, tails included."""
    text = _printable(text)
    return round(1.4 * height) + 1, math.ceil(_font_for(text, height).getlength(text)) + 1


def draw_text(
    canvas: Image,
    text: str,
    corner: Sequence[float],
    height: float,
    color: Color = INK,
    rim: Color | None = None,
) -> None:
    """Write one line, in place.

    Args:
        canvas: (H, W, 3) uint8 RGB.
        text: In any script.
        corner: (x, y) of the top left of the box that `text_size` measures.
        height: Of a capital, px.
        color: Of the letters.
        rim: Color around each letter; None on a plain ground.
    """
    stroke = max(1, round(height / 12))
    layers = [(0, color)] if rim is None else [(stroke, rim), (0, color)]
    masks = [_mask(_printable(text), height, stroke) for stroke, _ in layers]
    x, y = (round(value) - _tail(height) for value in corner)
    left, top = max(0, x), max(0, y)
    window = canvas[top : max(0, y + masks[0].height), left : max(0, x + masks[0].width)]
    if window.size:
        picture = PillowImage.fromarray(window)
        for mask, (_, shade) in zip(masks, layers, strict=True):
            picture.paste(shade, (x - left, y - top), mask)
        window[:] = np.asarray(picture)


def shorten_text(text: str, width: float, height: float) -> str:
    """Cut the end of a line, marked by two dots, so that it fits `width` px."""
    if text_size(text, height)[1] <= width:
        return text
    while text and text_size(text + "..", height)[1] > width:
        text = text[:-1]
    return text + ".." if text else ""


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)


def _tail(height: float) -> int:
    """Pixels around the box of a text that its rim and the longest letters may need."""
    return math.ceil(height / 2) + 2


@lru_cache(maxsize=1024)  # names and numbers come again with every person and every frame
def _mask(text: str, height: float, stroke: int) -> PillowImage.Image:
    """A text, its box extended by `_tail` on each side."""
    tail = _tail(height)
    rows, columns = text_size(text, height)
    mask = PillowImage.new("L", (columns + 2 * tail, rows + 2 * tail))
    baseline = (tail, tail + round(1.1 * height))
    ImageDraw.Draw(mask).text(
        baseline, text, 255, _font_for(text, height), anchor="ls", stroke_width=stroke
    )
    return mask


def _font_for(text: str, height: float) -> Font:
    beyond = {c for c in text if not c.isascii()}
    if not beyond:
        return _font(None, height / CAPITAL)
    scripts = frozenset(unicodedata.name(c, "?").split()[0] for c in beyond)  # LATIN, CJK
    if scripts not in _found_fonts:
        _found_fonts[scripts] = _system_font(beyond)
    return _font(_found_fonts[scripts], height / CAPITAL)


@lru_cache(maxsize=64)
def _font(file: str | None, size: float) -> Font:
    font = ImageFont.truetype(file, size) if file else ImageFont.load_default(size)
    assert isinstance(font, Font)  # Pillow's wheels have FreeType
    return font


def _system_font(characters: Iterable[str]) -> str | None:
    """The file of the installed font that has the most of these characters; None if unknown."""
    names = list(USUAL_FONTS)
    if program := shutil.which("fc-match"):
        codes = " ".join(f"{ord(c):x}" for c in characters)
        command = [program, "--format=%{file}", f":charset={codes}"]
        # Hexadecimal numbers only, as a list, without a shell.
        found = subprocess.run(command, capture_output=True, text=True)  # noqa: S603
        names.insert(0, found.stdout)
    for name in filter(None, names):
        try:
            return str(ImageFont.truetype(name).path)
        except OSError:  # not installed, or a font of another kind
            continue
    return None
