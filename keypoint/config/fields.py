"""Shared by all sections of a config: strictness, kinds of values, and hints."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo

# Every number has a range, so nan and infinity are refused.
STRICT = ConfigDict(frozen=True, extra="forbid", strict=True)
# A path or name: not empty, one line, no control characters (terminal, text direction).
Text = Annotated[
    str, Field(pattern="^[^\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+$")
]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Fraction = Annotated[float, Field(ge=0, le=1)]
MAX_BAD = 0.001


def _with_skip(value: float, info: ValidationInfo) -> float:
    if value != MAX_BAD and info.data.get("on_bad") == "error":
        raise ValueError("it has no effect with data.on_bad=error; give data.on_bad=skip too")
    return value


def _with_file(value: bool, info: ValidationInfo) -> bool:
    if value and info.data.get("weights", "") in (None, "imagenet"):
        raise ValueError("it has no effect without a file; give model.weights=FILE too")
    return value


MaxBad = Annotated[Fraction, AfterValidator(_with_skip)]  # after the key on_bad
OfFile = Annotated[bool, AfterValidator(_with_file)]  # after the key weights


class RunConfig(BaseModel):
    """All settings that a run depends on; each task adds its sections."""

    model_config = STRICT

    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="seed of all random numbers")
    output: Text | None = Field(
        default=None, description="folder of the run; none: output/<config>"
    )

    def to_dict(self) -> dict[str, Any]:
        """Return the config as plain dicts, lists, strings, numbers and None, for a checkpoint."""
        return self.model_dump(mode="json")


def nearest(given: object, options: Sequence[str]) -> str | None:
    """Return the option that was probably meant, ignoring upper and lower case."""
    near = difflib.get_close_matches(str(given).lower(), options, n=1)
    return near[0] if near else None


def hint(given: object, options: Sequence[str]) -> str:
    """Return ``; did you mean x?``, or the list of options if none is similar."""
    near = nearest(given, options)
    return f"; did you mean {near}?" if near else f"; choose from {', '.join(options)}"
