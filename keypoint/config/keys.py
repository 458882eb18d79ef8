"""The keys of a config: name, default, allowed values and meaning, for help and errors."""

from __future__ import annotations

import functools
import reprlib
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from keypoint.config.schema import Config

SHORT = reprlib.Repr()
SHORT.maxlevel, SHORT.maxstring, SHORT.maxother = 3, 60, 60


def describe_keys(kind: type[BaseModel] = Config) -> str:
    """Return a table of all keys with default, allowed values and meaning."""
    rows = []
    for name, schema in keys(kind).items():
        default = show(schema["default"]).strip("'")
        rows.append(f"{f'{name} = {default}':38}  {allowed(schema)}")
        rows.append(f"    {schema['description']}")
    return "\n".join(rows)


@functools.cache
def sections(kind: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """The models of the sections of a config."""
    fields = {name: field.annotation for name, field in kind.model_fields.items()}
    return {
        name: section
        for name, section in fields.items()
        if isinstance(section, type) and issubclass(section, BaseModel)
    }


@functools.cache
def keys(kind: type[BaseModel]) -> dict[str, dict[str, Any]]:
    """Return the JSON schema of every key, with sections flattened: ``train.lr`` and so on."""
    flat: dict[str, dict[str, Any]] = {}
    for name, schema in kind.model_json_schema()["properties"].items():
        if name in sections(kind):
            inner = sections(kind)[name].model_json_schema()["properties"]
            flat |= {f"{name}.{key}": value for key, value in inner.items()}
        else:
            flat[name] = schema
    return flat


def allowed(schema: Mapping[str, Any]) -> str:
    """Return a JSON schema in a few words: ``none | 0 < number < 1``."""
    if "allowed" in schema:
        return str(schema["allowed"])
    if "anyOf" in schema:
        return " | ".join(sorted(map(allowed, schema["anyOf"]), key="none".__ne__))
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    kind = str(schema["type"])
    text = {"null": "none", "boolean": "true | false", "string": "text"}.get(kind, kind)
    for key, sign in (("minimum", "<="), ("exclusiveMinimum", "<")):
        text = f"{schema[key]:.10g} {sign} {text}" if key in schema else text
    for key, sign in (("maximum", "<="), ("exclusiveMaximum", "<")):
        text = f"{text} {sign} {schema[key]:.10g}" if key in schema else text
    return text


def show(value: Any) -> str:
    """Return a value as YAML, shortened; text that looks like a number is quoted."""
    words = {None: "none", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return words[value]
    try:
        return SHORT.repr(value)
    except ValueError:  # Python does not print integers with thousands of digits
        return f"a {type(value).__name__} too long to print"
