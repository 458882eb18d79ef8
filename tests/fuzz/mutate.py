"""Valid input with one to three faults: a field dropped, doubled, of another type or extreme

Hypothesis draws numbers only; `mutate` walks down a copy of the data by them, so that the same
numbers always make the same fault and a failure shrinks. FUZZ multiplies the number of examples:
a small number in `make test`, always the same ones; `make fuzz` takes other ones each time.
"""

import copy
import json
import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from keypoint.errors import KeypointError

FUZZ = int(os.environ.get("FUZZ", "0"))
EXTREMES = [
    None, True, False, 0, 1, -1, 2, 3, 0.5, -0.0, 1e-300, 1e6, -1e6, 1e30, 1e300, -1e308, 2**31, 2**53 + 1,
    2**63 - 1, 2**63, -(2**63) - 1, 10**40, float("nan"), float("inf"), -float("inf"), "", "a", "0", "person",
    "nan", "../a.png", "/etc/hostname", "a\x00b", "a\x1b[2J\nb", "\ud800", "é" * 300, [], [[]], [0], [1, 2], {},
    {"a": 1}, [None] * 4, [1.0] * 51, [0] * 51, [float("nan")] * 51, ["1"] * 51, [10.0, 10.0, 20.0, 30.0],
    [0, 0, 0, 0], [-5, -5, -1, -1], [1e9, 1e9, 1e9, 1e9], [-1e300, 0, 1e308, 1e308],
]  # fmt: skip

# Which child at each level (the walk ends where they end), what to do there, and with which value.
STEPS = st.tuples(
    st.lists(st.integers(0, 99), min_size=1, max_size=4),
    st.integers(0, 9),
    st.integers(0, len(EXTREMES) - 1),
)
MUTATIONS = st.lists(STEPS, min_size=1, max_size=3)
# Of a file's bytes, behind that: cut off, a byte changed, bytes doubled.
DAMAGES = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 4), st.integers(0, 255)),
    min_size=1,
    max_size=2,
)


def examples(few, many):
    """Settings: `few` in every run of the tests, `many` (times FUZZ) by `make fuzz`."""
    return settings(
        max_examples=many * FUZZ // 100 if FUZZ else few,
        derandomize=not FUZZ,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def mutate(data, mutations):
    """A copy of JSON-like data with these mutations."""
    root = [copy.deepcopy(data)]
    for walk, action, value in mutations:
        _mutate_one(root, walk, action, copy.deepcopy(EXTREMES[value]))
    return root[0]


def _mutate_one(root, walk, action, value):
    container, key = root, 0
    for step in walk:
        inside = container[key]
        if not isinstance(inside, dict | list) or not inside:
            break
        keys = list(inside) if isinstance(inside, dict) else range(len(inside))
        container, key = inside, keys[step % len(keys)]
    given = container[key]
    if action == 0 and container is not root:
        del container[key]
    elif action == 1 and isinstance(container, list) and container is not root:
        container.append(copy.deepcopy(given))
    elif action == 2:
        container[key] = str(given)
    elif action == 3:
        container[key] = [given]
    elif action == 4 and isinstance(given, int | float) and not isinstance(given, bool):
        container[key] = -given
    elif action == 5 and isinstance(given, list) and given:
        given.pop()
    elif action == 6 and isinstance(container, dict):
        container[f"{key}x"] = container.pop(key)
    elif action == 7 and isinstance(given, dict):
        given["another"] = value
    else:
        container[key] = value


def damage(data, damages):
    """Bytes with damages."""
    for place, action, byte in damages:
        at = int(place * len(data))
        if action == 0:
            data = data[:at]
        elif action == 1:
            data = data[:at] + bytes([byte]) + data[at + 1 :]
        elif action == 2:
            data = data[:at] + data[max(0, at - byte) :]
        elif action == 3:
            data = data[:at] + b"\0" * (16 * byte) + data[at + 16 * byte :]
        else:
            data = data[:at] + data[at + byte :]
    return data


def check_message(text, *names):
    """A message names one of the things that it is about, and has no control characters."""
    assert any(str(name) in text for name in names), text
    text.encode()  # a lone surrogate is no UTF-8
    assert all(line.isprintable() for line in text.split("\n")), text


def refused(read, *files, **options):
    """The result of a reader, or None for an error of ours that names one of the first two files."""
    try:
        return read(*files, **options)
    except KeypointError as error:
        check_message(str(error), *files[:2])
        return None


def to_json(data):
    """As Python writes it, with NaN and Infinity."""
    return json.dumps(data).encode()
