"""Config files: found by name, read and overridden with every mistake reported at once, written.

A file says only what differs from the defaults of :mod:`keypoint.config.schema`, or from the
recipe that it names in ``train.recipe``; nothing else is inherited. The same content travels in a
checkpoint and is checked there by the same rules.
"""

from __future__ import annotations

import difflib
import functools
import re
import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from keypoint.config.fields import hint, nearest
from keypoint.config.recipe import fill_in_recipe
from keypoint.config.schema import Config
from keypoint.errors import ConfigError
from keypoint.strict_yaml import KeyPath, dump_yaml, parse_yaml, read_yaml

__all__ = [
    "Config",
    "config_from_dict",
    "describe_keys",
    "dump_config",
    "find_config",
    "load_config",
    "override_config",
]


def _config_folder() -> Path:
    """The folder of configs: inside an installed package, next to the package in a clone."""
    installed = Path(__file__).parents[1] / "configs"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "configs"


CONFIG_FOLDER = _config_folder()
COMMAND_LINE = "command line"  # the place of an override, for errors

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 3, 60, 60

Mistake = tuple[KeyPath, str]  # the key in the config, what is wrong


def find_config(name: str | Path) -> Path:
    """Return a path as it was given, or else the config of that bare name under ``configs/``.

    Raises:
        ConfigError: There is none, or there are several of the name.
    """
    given = Path(name)
    try:
        if given.is_file():
            return given
    except OSError as error:  # a name that is too long
        raise ConfigError(
            f"{reprlib.repr(str(name))}: {error.strerror}; give a path or the name of a config"
        ) from None
    known = sorted(CONFIG_FOLDER.rglob("*.yaml"))
    wanted = given.name.removesuffix(".yaml")
    found = [path for path in known if path.stem == wanted]
    if given.name != str(given) or not found:
        near = difflib.get_close_matches(wanted, [path.stem for path in known])
        did_you_mean = f"did you mean {' or '.join(near)}?" if near else "check the path"
        raise ConfigError(
            f"{name}: no such file, nor a config of that name in {CONFIG_FOLDER}; {did_you_mean}"
        )
    if len(found) > 1:
        paths = ", ".join(str(path) for path in found)
        raise ConfigError(f"{name}: {len(found)} configs have this name: {paths}; give a path")
    return found[0]


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML file, then ``key=value`` overrides whose values are YAML too.

    A key that neither has gets the recipe's value (`keypoint.config.recipe`), else the default.
    If ``output`` is none it becomes ``output/<the file's stem>``.

    Raises:
        ConfigError: Names the file, line and key, or the override, of every mistake.
    """
    path = Path(path)
    document = read_yaml(path)
    places = {key: f"{path}, line {line}" for key, line in document.lines.items()}
    mistakes: list[Mistake] = []
    for key, line, message in document.problems:
        place = f"{path}, line {line}" if line else str(path)
        mistakes.append((key, _sentence(place, key, message)))
    if mistakes and document.content is None:
        raise ConfigError(mistakes[0][1])
    if not isinstance(document.content, dict):
        raise ConfigError(
            f"{path}, line 1: given {_show(document.content)}; a config is a mapping of keys, "
            "one `key: value` a line, with a space after the colon"
        )
    content = document.content
    names = [text.partition("=")[0] for text in overrides]
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        mistakes.append(((), f"{COMMAND_LINE}: {name} is given twice; keep one"))
    for text in overrides:
        _override(content, text, places, mistakes)
    fill_in_recipe(content, places)
    if content.get("output") is None:
        content["output"] = f"output/{path.stem}"
    return _build(content, str(path), places, mistakes)


def config_from_dict(content: Mapping[str, Any], source: str) -> Config:
    """Check the result of :meth:`Config.to_dict`; ``source``, the checkpoint, is named in errors.

    Raises:
        ConfigError: Names the source and the key of every mistake.
    """
    if not isinstance(content, Mapping):
        raise ConfigError(f"{source}: given {_show(content)}; a config is a mapping of keys")
    return _build(content, source, {}, [])


def override_config(config: Config, overrides: Sequence[str]) -> Config:
    """A copy with ``key=value`` overrides, as :func:`load_config` takes them.

    Raises:
        ConfigError: Names the override of every mistake.
    """
    content = config.to_dict()
    places: dict[KeyPath, str] = {}
    mistakes: list[Mistake] = []
    for text in overrides:
        _override(content, text, places, mistakes)
    if content["train"]["recipe"] != config.train.recipe:
        reason = "no effect on a config whose values are there; a recipe is chosen for training"
        mistakes.append((("train", "recipe"), f"{COMMAND_LINE}: train.recipe has {reason}"))
    return _build(content, COMMAND_LINE, places, mistakes)


def dump_config(config: Config) -> str:
    """The whole config as YAML that :func:`load_config` reads back to an equal one."""
    return dump_yaml(config.to_dict())


def describe_keys() -> str:
    """A table of every key: its default, the allowed values, its meaning."""
    rows = []
    for name, schema in _keys().items():
        default = _show(schema["default"]).strip("'")
        rows.append(f"{f'{name} = {default}':38}  {_allowed(schema)}")
        rows.append(f"    {schema['description']}")
    return "\n".join(rows)


def _override(
    content: dict[str, Any], text: str, places: dict[KeyPath, str], mistakes: list[Mistake]
) -> None:
    """Put one ``key=value`` into ``content``; add its mistakes to ``mistakes``."""
    name, equals, value = text.partition("=")
    path: KeyPath = tuple(name.split("."))
    place = f"{COMMAND_LINE}, {_SHORT.repr(text)}"

    def refuse(message: str) -> None:
        mistakes.append((path, f"{place}: {message}"))

    if not equals or not re.fullmatch(r"\w+(\.\w+)*", name):
        return refuse("an override is key=value, such as train.epochs=1")
    document = parse_yaml(value)
    if document.problems:
        return refuse("; ".join(message for *_, message in document.problems))
    if name in _sections():
        key = next(iter(_sections()[name].model_fields))
        return refuse(f"{name} is a section; give its keys one by one, as {name}.{key}=")
    *outer, last = name.split(".")
    inner = content
    for depth, part in enumerate(outer, start=1):
        if inner.get(part) is None:
            inner[part] = {}
        if not isinstance(inner[part], dict):
            whole = ".".join(outer[:depth])
            return refuse(f"{whole} is {_show(inner[part])} and has no keys; give {whole}= whole")
        inner = inner[part]
    inner[last] = document.content
    places.setdefault(path[:1], place)  # a section that the file does not have
    places[path[:2]] = place  # the key, be it of a value within model.blocks
    return None


def _build(
    content: Mapping[str, Any], source: str, places: dict[KeyPath, str], mistakes: list[Mistake]
) -> Config:
    """Validate; raise the mistakes so far and the new ones together, in the order of the places."""
    # A section whose lines are all comments is empty, not wrong.
    content = {k: {} if v is None and k in _sections() else v for k, v in content.items()}
    config = None
    try:
        config = Config.model_validate(content)
    except ValidationError as error:
        for entry in error.errors(include_url=False):
            path: KeyPath = entry["loc"]
            place = places.get(path, source)
            message = _explain(path, entry, content)
            mistakes.append((path, _sentence(place, path, message)))
    if config is not None and not mistakes:
        return config
    order = {path: index for index, path in enumerate(places)}
    texts = [text for path, text in sorted(mistakes, key=lambda m: order.get(m[0], len(order)))]
    if len(texts) == 1:
        raise ConfigError(texts[0])
    if all(text.startswith(COMMAND_LINE) for text in texts):
        source = COMMAND_LINE  # the file is in order
    raise ConfigError.of_many(f"{source}: {len(texts)} mistakes", texts)


def _explain(path: KeyPath, entry: Mapping[str, Any], content: Any) -> str:
    """One sentence: the value, the allowed values, what to do."""
    name = _dotted(path)
    if entry["type"] == "extra_forbidden":
        return f"no such key{_hint_key(path)}"
    given = content
    for part in path:
        given = given.get(part)
    if name in _sections():
        keys = ", ".join(_sections()[name].model_fields)
        return f"given {_show(given)}; a section, with the keys {keys}"
    if name not in _keys():  # no text, as only a dict can hold it
        return "every key is a name"
    if entry["type"] == "value_error":
        return f"given {_show(given)}; {entry['ctx']['error']}"
    allowed = _allowed(_keys()[name])
    words = [word for word in allowed.split(" | ") if "<" not in word]
    near = nearest(given, words) if isinstance(given, str) else None
    return f"given {_show(given)}; allowed: {allowed}" + (f"; did you mean {near}?" if near else "")


def _hint_key(path: KeyPath) -> str:
    """A hint at the key that was meant: the same in another section, or one near in its own."""
    elsewhere = [name for name in _keys() if name.split(".")[-1] == path[-1]]
    if elsewhere:
        return f"; did you mean {' or '.join(elsewhere)}?"
    model = _sections()[str(path[0])] if len(path) > 1 else Config
    return hint(path[-1], list(model.model_fields))


@functools.cache
def _sections() -> dict[str, type[BaseModel]]:
    """The models of the sections of Config."""
    fields = {name: field.annotation for name, field in Config.model_fields.items()}
    return {
        name: kind
        for name, kind in fields.items()
        if isinstance(kind, type) and issubclass(kind, BaseModel)
    }


@functools.cache
def _keys() -> dict[str, dict[str, Any]]:
    """The JSON schema of every key, sections flattened: ``train.lr`` and so on."""
    keys: dict[str, dict[str, Any]] = {}
    for name, schema in Config.model_json_schema()["properties"].items():
        if name in _sections():
            inner = _sections()[name].model_json_schema()["properties"]
            keys |= {f"{name}.{key}": value for key, value in inner.items()}
        else:
            keys[name] = schema
    return keys


def _allowed(schema: Mapping[str, Any]) -> str:
    """A JSON schema in a few words: ``none | 0 < number < 1``."""
    if "allowed" in schema:
        return str(schema["allowed"])
    if "anyOf" in schema:
        return " | ".join(sorted(map(_allowed, schema["anyOf"]), key="none".__ne__))
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    kind = str(schema["type"])
    text = {"null": "none", "boolean": "true | false", "string": "text"}.get(kind, kind)
    for key, sign in (("minimum", "<="), ("exclusiveMinimum", "<")):
        text = f"{schema[key]:.10g} {sign} {text}" if key in schema else text
    for key, sign in (("maximum", "<="), ("exclusiveMaximum", "<")):
        text = f"{text} {sign} {schema[key]:.10g}" if key in schema else text
    return text


def _show(value: Any) -> str:
    """A value as YAML has it, shortened; text in quotes, so that '12' is seen not to be 12."""
    words = {None: "none", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return words[value]
    try:
        return _SHORT.repr(value)
    except ValueError:  # Python does not print integers of thousands of digits
        return f"a {type(value).__name__} too long to print"


def _dotted(path: KeyPath) -> str:
    """The path as an override writes it; unreadable parts are shortened and escaped."""
    parts = [str(part) for part in path]
    return ".".join(p if p.isprintable() and len(p) <= 60 else _SHORT.repr(p) for p in parts)


def _sentence(place: str, path: KeyPath, message: str) -> str:
    return ": ".join(part for part in (place, _dotted(path), message) if part)
