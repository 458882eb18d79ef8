"""The pages of the site that are made from the code have every command, option and key; `make docs` builds it."""

import html
import re

import pytest
from pydantic import BaseModel

from keypoint.action.config import ActionConfig
from keypoint.commands.main import COMMANDS
from keypoint.commands.task import BOTH
from keypoint.config.keys import keys
from keypoint.config.schema import Config
from keypoint.config.sweep import SweepFile
from tools.documentation import pages


@pytest.fixture(scope="module")
def commands():
    return pages.commands_page()


@pytest.fixture(scope="module")
def config():
    return pages.config_page()


def rows(page):
    """The cells of all tables."""
    lines = [line for line in page.splitlines() if line.startswith("| ")]
    return [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]


def text(cell):
    """What a reader sees of a cell that is code."""
    return html.unescape(re.sub(r"</?code[^>]*>", "", cell)).strip()


def section(page, anchor):
    """The part of a page from a heading to the next."""
    return re.split(r"^#{2,4} ", page[page.index(f"{{ #{anchor} }}") :], flags=re.MULTILINE)[0]


TASKS = [(name, task) for name in COMMANDS for task in pages.KINDS if name in BOTH]
TASKS += [(name, None) for name in COMMANDS if name not in BOTH]


@pytest.mark.parametrize(("name", "task"), TASKS)
def test_every_option_of_every_command_has_a_row(commands, name, task):
    part = section(commands, f"{name}-{task}" if task else name)
    listed = [text(option).split(" ")[0] for option, _, meaning in rows(part) if meaning.strip()]
    assert f"```text\nkeypoint {name} " in part
    for action in pages.make_parser(name, task or "keypoints")._actions:
        word = (action.option_strings or [action.metavar])[-1]
        assert listed.count(word) == (word not in pages.EVERYWHERE), word


def test_a_command_has_its_examples(commands):
    part = section(commands, "test-keypoints")
    assert "```sh\n# ground-truth boxes\nkeypoint test --checkpoint output/res" in part
    assert "_person.json \\\n    data.val_annotations=" in part
    assert "(config.md#keypoints)" in section(commands, "train-keypoints")
    assert "data.workers" not in section(commands, "train-keypoints")


@pytest.mark.parametrize(
    ("kind", "prefix"), [(Config, ""), (ActionConfig, "action."), (SweepFile, "sweep.")]
)
def test_every_key_has_a_row(config, kind: type[BaseModel], prefix):
    found = {row[0].strip(): row for row in rows(config)}
    for name, schema in keys(kind).items():
        row = found[f'<code id="{prefix}{name}">{name}</code>']
        assert all(cell.strip() for cell in row)
        assert ("default" in schema) == (row[1].strip() != "required")


@pytest.mark.parametrize("page", ["commands", "config"])
def test_all_rows_of_a_table_have_its_columns(page, request):
    for table in re.findall(r"(?:^\|.*\n)+", request.getfixturevalue(page), re.MULTILINE):
        assert len({len(cells) for cells in rows(table)}) == 1


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("a|b *c* <d> e_f", r"a\|b \*c\* &lt;d&gt; e\_f"),
        ("see `a|b`", "see <code>a&#124;b</code>"),
        ("with --no-op, or train.lr=1", "with <code>--no-op</code>, or <code>train.lr=1</code>"),
        ("keypoint test reads it", "<code>keypoint test</code> reads it"),
        ("docs/guides/coco.md has it", "[guides/coco.md](../guides/coco.md) has it"),
        ("``root``\n    of all", "<code>root</code> of all"),
    ],
)
def test_running_text(given, shown):
    assert pages.prose(given) == shown


def test_columns_stay_a_block():
    found = pages.running_text(["One of:", "  a    first", "  bb   second"])
    assert found == ["One of:", "```text\na    first\nbb   second\n```"]
