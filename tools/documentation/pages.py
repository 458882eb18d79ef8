"""Pages of the site that are made from the code: a hook of mkdocs, named in mkdocs.yml.

reference/commands.md comes from the parsers of the commands, and reference/config.md from the
schemas of configs and sweep files, which also write `--help`. Neither needs torch.
"""

from __future__ import annotations

import argparse
import functools
import html
import inspect
import re
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel

from keypoint.action.config import ActionConfig
from keypoint.commands.main import COMMANDS, GROUPS
from keypoint.commands.options.training import KEYS_OF_CONFIG
from keypoint.commands.task import BOTH, options_of
from keypoint.config.keys import allowed, keys, sections, show
from keypoint.config.recipe import RECIPES
from keypoint.config.schema import Config
from keypoint.config.sweep import SweepFile

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

EVERYWHERE = ("--help", "--debug")  # every command has them
KINDS = {"keypoints": Config, "action": ActionConfig}
SECTIONS = sorted({name for kind in KINDS.values() for name in sections(kind)})
TITLES = {"keypoints": "Keypoints", "action": "Action recognition"}
# Set as code in running text: what is in backticks, options, commands, keys and files.
CODE = re.compile(
    r"`(?P<quoted>[^`]+)`"
    r"|(?P<page>docs/[\w/-]+\.md)"
    rf"|(?P<code>(?<![\w-])--[a-z][\w-]*|keypoint (?:{'|'.join(COMMANDS)})\b"
    r"|\b[\w.]+=[\w\[\],/.]*"
    rf"|\b(?:{'|'.join(SECTIONS)})\.(?:\w+|\*)"
    r"|[\w/{},.-]+\.(?:avi|csv|jpg|jsonl?|log|md|npz|onnx|png|pt2|pth?|py|txt|yaml)\b)"
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages to the site; mkdocs calls this."""
    from mkdocs.structure.files import File

    for name, text in (("commands", commands_page()), ("config", config_page())):
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def commands_page() -> str:
    """All commands, as `keypoint --help` groups them."""
    parts = [COMMANDS_INTRODUCTION]
    for group, commands in GROUPS.items():
        parts.append(f"## {group.capitalize()}")
        rows = [[f"[{code(name)}](#{name})", prose(line)] for name, line in commands.items()]
        parts.append(table(["command", "use"], rows))
        for name, line in commands.items():
            parts += command(name, line)
    return "\n\n".join(parts) + "\n"


def command(name: str, line: str) -> list[str]:
    """The section of a command, with a part for each task if it has both."""
    parts = [f"### keypoint {name} {{ #{name} }}"]
    if name not in BOTH:
        return parts + explained("keypoints", make_parser(name, "keypoints"))
    parts.append(f"{prose(line[0].upper() + line[1:])}.")
    for task, title in TITLES.items():
        parts.append(f"#### {title} {{ #{name}-{task} }}")
        parts += explained(task, make_parser(name, task))
    return parts


def make_parser(name: str, task: str) -> argparse.ArgumentParser:
    """The parser of a command."""
    parser: argparse.ArgumentParser = options_of(name, task).make_parser()
    return parser


def explained(task: str, parser: argparse.ArgumentParser) -> list[str]:
    """Description, usage, table of options, and what --help says below them."""
    parser.formatter_class = functools.partial(argparse.RawDescriptionHelpFormatter, width=88)
    usage = parser.format_usage().removeprefix("usage: ")
    usage = "\n".join(line.removeprefix(" " * len("usage: ")) for line in usage.splitlines())
    one_of = {
        action.dest: "one of these is required"
        for group in parser._mutually_exclusive_groups
        if group.required
        for action in group._group_actions
    }
    rows = []
    for action in parser._actions:
        if action.option_strings[-1:] and action.option_strings[-1] in EVERYWHERE:
            continue
        default, meaning = split_default(action)
        if action.choices:
            meaning += f": {', '.join(map(code, action.choices))}"
        rows.append([name_of(action), one_of.get(action.dest, default), meaning])
    # The last paragraph: --help has a line on the other task above it, which this page shows.
    description = (parser.description or "").rpartition("\n\n")[2]
    parts = [prose(description), f"```text\n{usage}\n```"]
    if rows:
        parts.append(table(["option", "default", "meaning"], rows))
    return parts + explanation(task, parser.epilog or "")


def name_of(action: argparse.Action) -> str:
    """An option with its value, as code; `explained` lists the choices."""
    value = action.metavar or ("" if action.nargs == 0 else action.dest.upper())
    words = [*action.option_strings, *([value] if isinstance(value, str) else value)]
    if action.nargs in ("*", "+"):
        words.append("...")
    return code(" ".join(filter(None, words)))


def split_default(action: argparse.Action) -> tuple[str, str]:
    """The default and the meaning of an option; a help text that has a default loses it."""
    text = re.sub(r" \(%\(default\)s\)|[;,] default: %\(default\)s", "", action.help or "")
    text = text % {**vars(action), "prog": ""}
    found = re.search(r" \(default: ([^)]*)\)|; default: (.*)$", text)
    if found:
        text = text[: found.start()] + text[found.end() :]
        return prose(found[1] or found[2]), prose(text)
    if action.required and (action.option_strings or action.nargs != "*"):
        return "required", prose(text)
    if action.default is None or action.default is False or action.default == argparse.SUPPRESS:
        return "", prose(text)
    return code(str(action.default)), prose(text)


def explanation(task: str, epilog: str) -> list[str]:
    """The text below the options: examples as a block of commands, the rest as paragraphs."""
    text, _, its_keys = epilog.partition(KEYS_OF_CONFIG)
    parts = []
    for paragraph in filter(None, text.strip("\n").split("\n\n")):
        first, *others = paragraph.split("\n")
        if first == "examples:":
            parts.append(examples(others))
        else:
            parts += running_text([first, *others])
    if its_keys:
        parts.append(f"[Config keys](config.md#{task}) lists the keys of a config.")
    return parts


def running_text(lines: Sequence[str]) -> list[str]:
    """A paragraph, and a block of the lines after it that are indented or in columns."""
    is_block = [line.startswith("  ") or "   " in line for line in lines]
    start = is_block.index(True) if True in is_block else len(lines)
    parts = [prose(" ".join(lines[:start]))] if start else []
    if start < len(lines):
        block = textwrap.dedent("\n".join(lines[start:]))
        parts.append(f"```text\n{block}\n```")
    return parts


def examples(lines: Sequence[str]) -> str:
    """A block of commands, each below a comment that says what it does."""
    blocks: list[tuple[list[str], list[str]]] = []
    continued = False
    for line in lines:
        if line.startswith("      ") and not continued:
            blocks[-1][1].append(line.strip())
            continue
        if not continued:
            blocks.append(([], []))
        blocks[-1][0].append(line.removeprefix("  "))
        continued = line.endswith("\\")
    texts = ["\n".join([*(f"# {line}" for line in comment), *typed]) for typed, comment in blocks]
    gap = "\n\n" if any(comment for _, comment in blocks) else "\n"
    return f"```sh\n{gap.join(texts)}\n```"


def config_page() -> str:
    """All keys of configs and of sweep files."""
    parts = [CONFIG_INTRODUCTION.format(recipes=", ".join(map(code, RECIPES)))]
    for task, title in TITLES.items():
        parts.append(f"## {title} {{ #{task} }}")
        parts.append(f"The keys of a config with `task: {task}`{IS_DEFAULT.get(task, '')}.")
        parts += tables_of(KINDS[task], "" if task == "keypoints" else f"{task}.")
    parts.append("## Sweep files { #sweep }")
    parts.append(SWEEP_INTRODUCTION)
    parts += tables_of(SweepFile, "sweep.")
    return "\n\n".join(parts) + "\n"


IS_DEFAULT = {"keypoints": ", which is the default task"}


def tables_of(kind: type[BaseModel], prefix: str) -> list[str]:
    """A table of keys for the top of the file, and one for each section."""
    parts: list[str] = []
    for section in ("", *sections(kind)):
        rows = []
        for name, schema in keys(kind).items():
            if name.rpartition(".")[0] != section:
                continue
            default = (
                "required" if "default" not in schema else code(show(schema["default"]).strip("'"))
            )
            key = f'<code id="{prefix}{name}">{name}</code>'
            rows.append([key, default, code(allowed(schema)), prose(schema["description"])])
        if section:
            parts.append(f"### {section} {{ #{prefix}{section} }}")
            parts.append(prose(inspect.getdoc(sections(kind)[section]) or ""))
        parts.append(table(["key", "default", "allowed", "meaning"], rows))
    return parts


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the cells are Markdown and have no bare `|`."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def code(text: str) -> str:
    """Text as code that is safe in a cell of a table."""
    escaped = html.escape(text, quote=False)
    for letter in "|*_[]{}`\\":
        escaped = escaped.replace(letter, f"&#{ord(letter)};")
    return f"<code>{escaped}</code>"


def prose(text: str) -> str:
    """Running text of a docstring or of --help as Markdown, safe in a cell of a table."""
    parts, end = [], 0
    text = " ".join(text.replace("``", "`").split())
    for found in CODE.finditer(text):
        parts.append(escape(text[end : found.start()]))
        end = found.end()
        if found["page"]:
            path = found["page"].removeprefix("docs/")
            parts.append(f"[{path}](../{path})")
        else:
            parts.append(code(found["quoted"] or found["code"]))
    return "".join(parts) + escape(text[end:])


def escape(text: str) -> str:
    """Text without a meaning for Markdown, but for links that are written as such."""
    escaped = html.escape(text, quote=False)
    return re.sub(r"([|*_{}\\])", r"\\\1", escaped)


COMMANDS_INTRODUCTION = """# Commands

Every command with its options and examples, for looking up; `keypoint COMMAND --help` prints the
same. The [guides](../guides/photos-and-videos.md) show the commands in use.

Some commands work for keypoints and for action recognition, with different options. The config of
`--cfg` or `--checkpoint` decides which. For help, give the task: `keypoint train --task action
--help`.

`--debug`, which every command has, prints the traceback of an error and everything that the error
lists. [Errors](errors.md#messages) explains messages and exit statuses. Words such as
`train.epochs=1` change [keys of the config](config.md)."""

CONFIG_INTRODUCTION = """# Config keys

Every key that a config file or the command line can set, for looking up. `keypoint train --help`
and `keypoint train --task action --help` print the same keys.

## How values are combined

A config is a YAML file that names only what differs from the defaults:

```yaml
train:
  recipe: sb      # the values that a reference trains with
  epochs: 70
data:
  root: /data/coco
```

The command line changes single keys, with a dot between section and key. Values are YAML:

```sh
keypoint train --cfg res50_256x192.yaml train.epochs=1 model.input_size=[384,288]
```

A key gets its value from the first of these that has it:

1. the command line
2. the file
3. the recipe in `train.recipe`: one of {recipes}; [Recipes](recipes.md) lists their values
4. the default in the tables below

A file does not inherit from other files. `--cfg` takes a path, or the bare name of a file under
`configs/`. A run writes the complete config, with every value, to `config.yaml` in its output
folder and into its checkpoints.

`none` means "no value". If a key's meaning says so, the value is then derived. A misspelled key, a
value of another type and a value that would have no effect are [errors](errors.md#configs). All of
them are reported at once, each with its line."""

SWEEP_INTRODUCTION = """The keys of a file for `keypoint sweep`, which trains and tests a grid of
configs with several seeds. [The command](commands.md#sweep) has an example."""
