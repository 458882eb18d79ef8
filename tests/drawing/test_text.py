"""Text is where it was measured, in any script, and legible on any ground."""

import subprocess

import numpy as np
import pytest

from keypoint.drawing import text as module
from keypoint.drawing.text import draw_text, shorten_text, text_size

WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def inked(words, height=20.0, rim=None, ground=0, corner=(30, 30)):
    """(y1, y2, x1, x2) of all pixels that a white text changes."""
    canvas = np.full((100, 600, 3), ground, np.uint8)
    draw_text(canvas, words, corner, height, WHITE, rim)
    rows, columns = np.nonzero((canvas != ground).any(axis=2))
    return rows.min(), rows.max() + 1, columns.min(), columns.max() + 1


@pytest.mark.parametrize("height", [8, 9.4, 20])
@pytest.mark.parametrize("words", ["left_shoulder", "H", "0.93 jgpq", "Größe"])
def test_text_fills_the_box_that_was_measured(words, height):
    y1, y2, x1, x2 = inked(words, height)
    high, wide = text_size(words, height)
    assert y1 >= 30 - height / 8
    assert y2 <= 30 + high + 1
    assert abs(x1 - 30) <= 1 + height / 8
    assert abs(x2 - (30 + wide)) <= 2 + height / 8


def test_a_capital_has_the_height_that_was_asked_for():
    for height in (8, 12, 20, 40):
        y1, y2, *_ = inked("H", height)
        assert y2 - y1 == pytest.approx(height, abs=1)


def test_a_rim_goes_around_and_a_window_at_the_edge_is_cut():
    bare, rimmed = (inked("name", rim=rim, ground=128) for rim in (None, BLACK))
    assert [b - a for a, b in zip(bare, rimmed, strict=True)] == [-2, 2, -2, 2]
    whole = np.zeros((100, 200, 3), np.uint8)
    draw_text(whole, "name", (70, 40), 20, WHITE, BLACK)
    for x, y in ((30, 30), (30, 48), (90, 30), (90, 48)):  # each cuts through the letters
        cut = np.zeros((20, 60, 3), np.uint8)
        draw_text(cut, "name", (70 - x, 40 - y), 20, WHITE, BLACK)
        np.testing.assert_array_equal(cut, whole[y : y + 20, x : x + 60])
        assert cut.any()
    for corner in ((-500, 10), (10, -500), (500, 10), (10, 500)):
        draw_text(cut, "name", corner, 20, (255, 0, 0))
    np.testing.assert_array_equal(cut, whole[48:68, 90:150])


def glyphs(words):
    canvas = np.zeros((60, 300, 3), np.uint8)
    draw_text(canvas, words, (10, 10), 20, WHITE)
    return canvas


@pytest.mark.skipif(
    not (
        module.shutil.which("fc-list") and subprocess.run(["fc-list"], capture_output=True).stdout
    ),
    reason="no font is installed; on Debian: apt install fontconfig fonts-dejavu-core",
)
@pytest.mark.parametrize(("one", "other"), [("é", "è"), ("Ж", "Д"), ("Ω", "Ψ")])
def test_other_scripts_have_their_letters(one, other):
    """Two letters of a script would be the same box if the font lacked them."""
    assert not np.array_equal(glyphs(one), glyphs(other))


@pytest.fixture
def no_font_installed(monkeypatch):
    monkeypatch.setattr(module.shutil, "which", lambda _: None)
    monkeypatch.setattr(module, "USUAL_FONTS", ("no such font.ttf",))
    monkeypatch.setattr(module, "_found_fonts", {})
    module._mask.cache_clear()
    yield
    module._mask.cache_clear()


def test_without_any_font_other_letters_are_boxes(no_font_installed):
    np.testing.assert_array_equal(glyphs("Ж"), glyphs("Д"))
    assert glyphs("Ж").any()


def test_a_font_is_searched_once_for_each_script(monkeypatch):
    """However many names there are, and however often each is shortened."""
    searched = []
    monkeypatch.setattr(module, "_found_fonts", {})
    monkeypatch.setattr(module, "_system_font", lambda characters: searched.append(characters))
    for first in range(0x4E00, 0x4E40):
        shorten_text("".join(map(chr, range(first, first + 40))), 60, 9)
    assert len(searched) == 1


def test_what_cannot_be_printed_is_a_question_mark():
    """A file name may have line breaks and bytes that are no text."""
    np.testing.assert_array_equal(glyphs("a\nb\udcff\x00"), glyphs("a?b??"))
    assert text_size("a\nb", 9) == text_size("a?b", 9)


@pytest.mark.parametrize("words", ["left_shoulder of person 7", "Привет, мир, и всё остальное"])
def test_text_is_shortened_to_a_width(words):
    for width in (0, 8, 30, 60, 500):
        shown = shorten_text(words, width, 9)
        assert shown == "" or text_size(shown, 9)[1] <= width
        assert shown == (words if width == 500 else "") or shown.endswith("..")
    assert shorten_text(words, 60, 9)[:3] == words[:3]
