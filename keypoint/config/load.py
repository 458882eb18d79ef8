"""Find, read, override and write config files; all mistakes are reported at once.

A file contains only values that differ from the defaults of :mod:`keypoint.config.schema`, or from
the recipe that it names in ``train.recipe``; nothing else is inherited. A checkpoint contains the
same content, checked by the same rules.
"""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from keypoint.config.fields import RunConfig, hint, nearest
from keypoint.config.keys import SHORT, allowed, describe_keys, keys, sections, show
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
    "from_dict_as",
    "load_as",
    "load_config",
    "override_as",
    "override_config",
    "task_of",
    "try_load",
]


def _config_folder() -> Path:
    """Return the folder of configs: inside an installed package, next to the package in a clone."""
    installed = Path(__file__).parents[1] / "configs"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "configs"


CONFIG_FOLDER = _config_folder()
COMMAND_LINE = "command line"  # the place of an override, for errors

Mistake = tuple[KeyPath, str]  # the key in the config, what is wrong
Kind = TypeVar("Kind", bound=BaseModel)
Run = TypeVar("Run", bound=RunConfig)


def find_config(name: str | Path) -> Path:
    """Return a path as it was given, or else the config of that bare name under ``configs/``.

    Raises:
        ConfigError: There is no such config, or several have this name.
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
            f"{name}: no such file, and no config of that name in {CONFIG_FOLDER}; {did_you_mean}"
        )
    if len(found) > 1:
        paths = ", ".join(str(path) for path in found)
        raise ConfigError(f"{name}: {len(found)} configs have this name: {paths}; give a path")
    return found[0]


def task_of(path: str | Path) -> str:
    """Return the task of a YAML file, "keypoints" if it names none or cannot be read.

    `load_as` reports what is wrong with the file.
    """
    content = read_yaml(Path(path)).content
    task = content.get("task") if isinstance(content, dict) else None
    return task if isinstance(task, str) else "keypoints"


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Call `load_as` for a keypoint config."""
    return load_as(Config, path, overrides)


def load_as(kind: type[Kind], path: str | Path, overrides: Sequence[str] = ()) -> Kind:
    """Read a YAML file, then ``key=value`` overrides whose values are YAML too.

    Other keys get the recipe's value (`keypoint.config.recipe`), else the default.
    If ``output`` is none it becomes ``output/<the file's stem>``.

    Args:
        kind: The model of the task's configs.
        path: The file.
        overrides: In their order.

    Raises:
        ConfigError: Names the file, line and key, or the override, of every mistake.
    """
    config, mistakes = try_load(kind, path, overrides)
    return _require(config, str(path), mistakes)


def try_load(
    kind: type[Kind],
    path: str | Path,
    overrides: Sequence[str] = (),
    origins: Mapping[str, str] | None = None,
) -> tuple[Kind | None, list[str]]:
    """Read as `load_as` does, but return the mistakes.

    Args:
        kind: The model of the task's configs.
        path: The file.
        overrides: In their order.
        origins: File and line of each override that does not come from the command line.

    Returns:
        The config, or None if there are mistakes; a sentence for each mistake.
    """
    path = Path(path)
    document = read_yaml(path)
    places = {key: f"{path}, line {line}" for key, line in document.lines.items()}
    mistakes: list[Mistake] = []
    for key, line, message in document.problems:
        place = f"{path}, line {line}" if line else str(path)
        mistakes.append((key, _sentence(place, key, message)))
    if mistakes and document.content is None:
        return None, [mistakes[0][1]]
    if not isinstance(document.content, dict):
        return None, [
            f"{path}, line 1: given {show(document.content)}; a config is a mapping of keys, "
            "one `key: value` per line, with a space after the colon"
        ]
    content = document.content
    if {"cfg", "grid"} <= set(content) and "grid" not in kind.model_fields:
        return None, [f"{path}: is a sweep, not a single config; run it with keypoint sweep {path}"]
    names = [text.partition("=")[0] for text in overrides]
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        mistakes.append(((), f"{COMMAND_LINE}: {name} is given twice; keep one"))
    for text in overrides:
        place = (origins or {}).get(text, f"{COMMAND_LINE}, {SHORT.repr(text)}")
        _override(kind, content, text, place, places, mistakes)
    if kind is Config:
        fill_in_recipe(content, places)
    if content.get("output") is None:
        content["output"] = f"output/{path.stem}"
    return _check(kind, content, str(path), places, mistakes)


def config_from_dict(content: Mapping[str, Any], source: str) -> Config:
    """Call `from_dict_as` for a keypoint config."""
    return from_dict_as(Config, content, source)


def from_dict_as(kind: type[Run], content: Mapping[str, Any], source: str) -> Run:
    """Check the result of :meth:`Config.to_dict`; ``source``, the checkpoint, is named in errors.

    Raises:
        ConfigError: The text names the source and the key of every mistake.
    """
    if not isinstance(content, Mapping):
        raise ConfigError(f"{source}: given {show(content)}; a config is a mapping of keys")
    config, mistakes = _check(kind, content, source, {}, [])
    return _require(config, source, mistakes)


def override_config(config: Config, overrides: Sequence[str]) -> Config:
    """Call `override_as` for a keypoint config, whose recipe can no longer be changed."""
    changed = override_as(config, overrides)
    if changed.train.recipe != config.train.recipe:
        raise ConfigError(
            f"{COMMAND_LINE}: train.recipe has no effect on a config that has all values; a "
            "recipe can only be chosen for training"
        )
    return changed


def override_as(config: Run, overrides: Sequence[str]) -> Run:
    """Return a copy with ``key=value`` overrides, as :func:`load_as` takes them.

    Raises:
        ConfigError: The text names the override of every mistake.
    """
    content = config.to_dict()
    places: dict[KeyPath, str] = {}
    mistakes: list[Mistake] = []
    for text in overrides:
        place = f"{COMMAND_LINE}, {SHORT.repr(text)}"
        _override(type(config), content, text, place, places, mistakes)
    changed, texts = _check(type(config), content, COMMAND_LINE, places, mistakes)
    return _require(changed, COMMAND_LINE, texts)


def dump_config(config: RunConfig) -> str:
    """Return the whole config as YAML that :func:`load_as` reads back to an equal one."""
    return dump_yaml(config.to_dict())


def _override(
    kind: type[BaseModel],
    content: dict[str, Any],
    text: str,
    place: str,
    places: dict[KeyPath, str],
    mistakes: list[Mistake],
) -> None:
    """Put one ``key=value`` into ``content``; add its mistakes to ``mistakes``."""
    name, equals, value = text.partition("=")
    path: KeyPath = tuple(name.split("."))

    def refuse(message: str) -> None:
        mistakes.append((path, f"{place}: {message}"))

    if not equals or not re.fullmatch(r"\w+(\.\w+)*", name):
        return refuse("an override is key=value, such as train.epochs=1")
    document = parse_yaml(value)
    if document.problems:
        return refuse("; ".join(message for *_, message in document.problems))
    if name in sections(kind):
        key = next(iter(sections(kind)[name].model_fields))
        return refuse(f"{name} is a section; give its keys one by one, such as {name}.{key}=")
    *outer, last = name.split(".")
    inner = content
    for depth, part in enumerate(outer, start=1):
        if inner.get(part) is None:
            inner[part] = {}
        if not isinstance(inner[part], dict):
            whole = ".".join(outer[:depth])
            return refuse(f"{whole} is {show(inner[part])} and has no keys; give all of {whole}=")
        inner = inner[part]
    inner[last] = document.content
    places.setdefault(path[:1], place)  # a section that the file does not have
    places[path[:2]] = place  # the key, even for a value inside model.blocks
    return None


def _check(
    kind: type[Kind],
    content: Mapping[str, Any],
    source: str,
    places: dict[KeyPath, str],
    mistakes: list[Mistake],
) -> tuple[Kind | None, list[str]]:
    """Validate, and add the mistakes to `mistakes` in the order of their places."""
    # A section whose lines are all comments is empty, not wrong.
    content = {k: {} if v is None and k in sections(kind) else v for k, v in content.items()}
    config = None
    try:
        config = kind.model_validate(content)
    except ValidationError as error:
        for entry in error.errors(include_url=False):
            path: KeyPath = entry["loc"]
            place = places.get(path, source)
            message = _explain(kind, path, entry, content)
            mistakes.append((path, _sentence(place, path, message)))
    # Every key of another task's config would be a mistake: report only its task.
    mistakes = [mistake for mistake in mistakes if mistake[0] == ("task",)] or mistakes
    order = {path: index for index, path in enumerate(places)}
    texts = [text for path, text in sorted(mistakes, key=lambda m: order.get(m[0], len(order)))]
    return None if texts else config, texts


def _require(config: Kind | None, source: str, texts: Sequence[str]) -> Kind:
    """Return the config, or raise all mistakes together."""
    if config is not None:
        return config
    if len(texts) == 1:
        raise ConfigError(texts[0])
    if all(text.startswith(COMMAND_LINE) for text in texts):
        source = COMMAND_LINE  # the file has no mistakes
    raise ConfigError.of_many(f"{source}: {len(texts)} mistakes", texts)


def _explain(kind: type[BaseModel], path: KeyPath, entry: Mapping[str, Any], content: Any) -> str:
    """Return one sentence: the value, the allowed values, what to do."""
    name = _dotted(path)
    if entry["type"] == "extra_forbidden":
        return f"no such key{_hint_key(kind, path)}"
    given = content
    for part in path:
        given = given.get(part)
    if name in sections(kind):
        names = ", ".join(sections(kind)[name].model_fields)
        return f"given {show(given)}; it is a section with the keys {names}"
    if name not in keys(kind):  # not a text, which only a dict can contain
        return "every key must be a text"
    if entry["type"] == "value_error":
        return f"given {show(given)}; {entry['ctx']['error']}"
    possible = allowed(keys(kind)[name])
    words = [word for word in possible.split(" | ") if "<" not in word]
    near = nearest(given, words) if isinstance(given, str) else None
    return f"given {show(given)}; allowed: {possible}" + (f"; did you mean {near}?" if near else "")


def _hint_key(kind: type[BaseModel], path: KeyPath) -> str:
    """Return a hint: the same key in another section, or a similar one in the same section."""
    elsewhere = [name for name in keys(kind) if name.split(".")[-1] == path[-1]]
    if elsewhere:
        return f"; did you mean {' or '.join(elsewhere)}?"
    model = sections(kind)[str(path[0])] if len(path) > 1 else kind
    return hint(path[-1], list(model.model_fields))


def _dotted(path: KeyPath) -> str:
    """Return the path as in an override; unreadable parts are shortened and escaped."""
    parts = [str(part) for part in path]
    return ".".join(p if p.isprintable() and len(p) <= 60 else SHORT.repr(p) for p in parts)


def _sentence(place: str, path: KeyPath, message: str) -> str:
    return ": ".join(part for part in (place, _dotted(path), message) if part)
