"""Read YAML strictly for configs: no guessing, no lost keys, and a line for every mistake.

PyYAML reads YAML 1.1, where ``1e-3`` is text, ``no`` is false, ``010`` is 8, ``1:30`` is 90 and the
last of two equal keys wins. Here plain words are read by YAML 1.2's core rules, without octal and
hexadecimal numbers, and ``none`` is a null like ``null`` and ``~``. Tags, anchors and aliases are
refused, because a config needs none and they can run code or grow without bound; PyYAML's own
constructors are never called. Keys are unique names; ``none`` before a colon is a name, too.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

MAX_BYTES = 1 << 16  # a hundred times a long config; a larger file is not a config
MAX_DEPTH = 20  # PyYAML composes recursively; a config is four levels deep

MAX_VALUES = 1000  # in one free-form value; stops at a list that contains itself

KeyPath = tuple[str | int, ...]
Problem = tuple[KeyPath, int | None, str]  # key, line if known, what is wrong

_TAG = "tag:yaml.org,2002:"
_WORD = re.compile(r"[A-Za-z]\w*")
_EXPONENT = "(?:[eE][-+]?[0-9]+)?"
_PLAIN_WORDS = {  # tag -> (pattern, possible first characters); the first that fits wins
    "null": (r"(?:~|null|Null|NULL|none|None|NONE|)", ["~", "n", "N", ""]),
    "bool": (r"(?:true|True|TRUE|false|False|FALSE)", list("tTfF")),
    # 18 digits fit 64 bits; a longer number is a float, and 010 is text
    "int": (r"[-+]?(?:0|[1-9][0-9]{0,17})", list("-+0123456789")),
    "float": (
        rf"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?{_EXPONENT}|\.[0-9]+{_EXPONENT}|\.(?:inf|Inf|INF))"
        r"|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
}


class _Composer(yaml.SafeLoader):
    """PyYAML's parser up to the node tree, with our words for plain scalars."""

    yaml_implicit_resolvers: dict[str, Any] = {}
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        mark = event.start_mark
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise yaml.MarkedYAMLError(
                problem="anchors and aliases (& and *) are refused: write the value out, or quote",
                problem_mark=mark,
            )
        if event.tag is not None:
            raise yaml.MarkedYAMLError(
                problem=f"the tag {event.tag!r} is refused: write a plain value, or quote",
                problem_mark=mark,
            )
        if self.depth >= MAX_DEPTH:
            raise yaml.MarkedYAMLError(
                problem=f"nested more than {MAX_DEPTH} levels deep", problem_mark=mark
            )
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Dumper(yaml.SafeDumper):
    """Quotes text that YAML 1.1 or our own rules would read as something else."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _one_line(dumper: _Dumper, items: list[Any]) -> yaml.Node:
    """Write ``[256, 192]``."""
    return dumper.represent_sequence(_TAG + "seq", items, flow_style=True)


_Dumper.add_representer(list, _one_line)
for _name, (_pattern, _first) in _PLAIN_WORDS.items():
    for _side in (_Composer, _Dumper):
        _side.add_implicit_resolver(_TAG + _name, re.compile(rf"^(?:{_pattern})\Z"), _first)


@dataclass(frozen=True)
class Document:
    """The content of a YAML text.

    Attributes:
        content: None, bool, int, float (perhaps inf or nan), str, list, or dict with str keys. None
            if the text is not YAML at all.
        lines: Line (from 1) of every key and list entry by its path, in text order.
        problems: What is wrong with the text itself.
        texts: Scalars as written, by path: ``1e-3``.
    """

    content: Any = None
    lines: dict[KeyPath, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    texts: dict[KeyPath, str] = field(default_factory=dict)


def _failed(message: str, line: int | None = None) -> Document:
    """Nothing could be read."""
    return Document(problems=[((), line, message)])


def read_yaml(path: Path) -> Document:
    """Read a file; all its faults, even a missing file, are in ``problems``."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return _failed("no such file")
    except (OSError, ValueError) as error:  # a folder, no permission; a path with a NUL in it
        reason = getattr(error, "strerror", None) or error
        return _failed(f"cannot be read: {reason}")
    if len(data) > MAX_BYTES:
        message = f"larger than {MAX_BYTES} bytes, so not a config; was another file meant?"
        return _failed(message)
    try:
        return parse_yaml(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"byte 0x{data[error.start]:02x} is not UTF-8 text; was another file meant?"
        return _failed(message, line)


def parse_yaml(text: str) -> Document:
    """Parse one YAML document; all its faults are in ``problems``."""
    try:
        node = _Composer(text).get_single_node()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        code = ord(text[error.position])
        message = f"character U+{code:04X} is not allowed in a text file; was another file meant?"
        return _failed(message, line)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = " ".join(part for part in (error.context, error.problem) if part)
        if "'\\t'" in message:
            message += ": a tab; indent with spaces"
        return _failed(message, mark.line + 1 if mark else None)
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # "\UFFFFFFFF" escapes PyYAML
        return _failed(f"not YAML: {error}")
    if node is None:
        return _failed("empty file")
    document = Document()
    return replace(document, content=_to_plain(node, (), document))


def _to_plain(node: yaml.Node, path: KeyPath, document: Document) -> Any:
    """Convert a node to plain values, and fill the document's other fields."""
    lines, problems = document.lines, document.problems
    line = node.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode):
        entries = []
        for index, child in enumerate(node.value):
            here = (*path, index)
            lines[here] = child.start_mark.line + 1
            entries.append(_to_plain(child, here, document))
        return entries
    if isinstance(node, yaml.MappingNode):
        content: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key, line = key_node.value, key_node.start_mark.line + 1
            is_name = key_node.tag == _TAG + "str" or _is_word(key_node)
            if not is_name or not key.isprintable():
                problems.append((path, line, "the text before the colon is not a name"))
                continue
            here = (*path, key)
            if here in lines:
                problems.append((here, line, f"given twice, first in line {lines[here]}; keep one"))
                continue
            lines[here] = line
            content[key] = _to_plain(value_node, here, document)
        return content
    text: str = node.value
    document.texts[path] = text
    kind = node.tag.removeprefix(_TAG)
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "int":
        return int(text)
    if kind == "float":
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    if not text.isprintable():
        problems.append((path, line, f"{text[:40]!r} has a line break or a control character"))
    return text


def _is_word(key: yaml.Node) -> bool:
    """Return whether a key is a word such as ``none`` or ``true``, which is a name as a key."""
    return isinstance(key, yaml.ScalarNode) and _WORD.fullmatch(key.value) is not None


def dump_yaml(content: Any) -> str:
    """Return plain values as YAML that :func:`parse_yaml` and YAML 1.1 readers read equally."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1 << 30)


def one_line_yaml(value: Any) -> str:
    """Return a plain value as YAML on one line, for an override ``section.key=value``."""
    # In a list, because YAML ends a document that is only a scalar with a line "...".
    text = yaml.dump(
        [value],
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=1 << 30,
        default_flow_style=True,
    )
    return str(text).rstrip()[1:-1]


def check_plain(value: Any) -> None:
    """Accept only values that YAML and a checkpoint can contain: finite numbers, text, booleans,
    None, lists and dicts.

    Raises:
        ValueError: Something else is in it, or it is too large or too deep.
    """
    left, seen = [(value, 1)], 0
    while left:
        (item, depth), seen = left.pop(), seen + 1
        if depth > MAX_DEPTH or seen > MAX_VALUES:
            raise ValueError(f"at most {MAX_VALUES} values and {MAX_DEPTH} levels are allowed")
        if isinstance(item, dict):
            if any(type(key) is not str for key in item):
                raise ValueError("every key in it must be a name")
            left += [(child, depth + 1) for child in item.values()]
        elif isinstance(item, list | tuple):
            left += [(child, depth + 1) for child in item]
        elif type(item) is float and not math.isfinite(item):
            raise ValueError("every number in it must be finite")
        elif item is not None and type(item) not in (bool, int, float, str):
            raise ValueError(f"a {type(item).__name__} in it is not a plain value")
