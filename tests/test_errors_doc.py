"""docs/reference/errors.md quotes messages that exist."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
ROWS = re.findall(
    r"^\|(.+)\|(.+)\|(.*)\|$", (REPOSITORY / "docs/reference/errors.md").read_text(), re.MULTILINE
)
WORDS = sorted({word for *_, cell in ROWS for word in re.findall(r"`([^`]+)`", cell)})


@pytest.fixture(scope="module")
def source():
    """The package's text, with strings that go on in the next line joined."""
    text = "\n".join(path.read_text() for path in (REPOSITORY / "keypoint").rglob("*.py"))
    return re.sub(r'"\s*\n\s*f?"', "", text)


def test_there_are_rows():
    assert len(ROWS) > 60
    assert len(WORDS) > 55


@pytest.mark.parametrize("word", WORDS)
def test_words_are_in_the_source(source, word):
    assert word in source
