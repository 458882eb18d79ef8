"""Left and right keypoints, found by their names: `left_ear` and `right_ear`, `earL` and `earR`.

A name is split where its kind of letters changes: at separators, between letters and digits, and as
in `leftEar` and `LEar`. Two names are a pair if they differ only in the side; upper and lower case
are ignored. `lhand` and `rhand` are not split: such names are pairs only if there are two pairs or
more, since a single pair such as `lear` and `rear` may be an ear and a rear.
"""

from __future__ import annotations

from collections.abc import Sequence

OTHER_SIDE = {"l": "r", "r": "l"}


def guess_pairs(names: Sequence[str], *, words_only: bool = False) -> list[tuple[str, str]]:
    """Return the pairs of names that differ only in the side, left first.

    Args:
        names: Keypoint names, each once.
        words_only: Use only the words "left" and "right", not the letters L and R, which may mean
            something else (`L_1` and `R_1` of two lenses).

    Returns:
        Pairs in the order of their left names. A name is in one pair at most; one that may
        belong to several names is in none.
    """
    sides = {name: _sides(name) for name in names}
    owners: dict[tuple[str, ...], list[str]] = {}
    for name in names:
        owners.setdefault(sides[name], []).append(name)
    partner = {
        name: _only(name, [_swapped(sides[name])], owners)
        for name in names
        if _is_sided(sides[name])
    }
    if words_only:
        by_word = {name for name in names if "left" in name.lower() or "right" in name.lower()}
        partner = {name: other for name, other in partner.items() if {name, other} <= by_word}
    else:
        for name in names:  # LF and RF, TL and TR
            if partner.get(name) is None:
                partner[name] = _only(name, _one_letter_swapped(sides[name]), owners)
        for at in (0, -1):  # lhand and rhand, handl and handr
            rest = [name for name in names if partner.get(name) is None]
            glued = {name: _only(name, _glued_swapped(sides[name], at), owners) for name in rest}
            both = {n: other for n, other in glued.items() if other and glued.get(other) == n}
            if len(both) >= 4:
                partner |= both
    return [
        (name, other)
        for name, other in partner.items()
        if other is not None and partner.get(other) == name and _is_left(sides[name], sides[other])
    ]


def _sides(name: str) -> tuple[str, ...]:
    """The parts of a name in lower case, L and R written as words if it has none of these."""
    parts = [part.lower() for part in name_parts(name)]
    if any("left" in part or "right" in part for part in parts):
        return tuple(parts)
    return tuple({"l": "left", "r": "right"}.get(part, part) for part in parts)


def name_parts(name: str) -> list[str]:
    """Return the words and numbers of a name: `left`, `Ear`, `2` of `leftEar_2`."""
    parts, before = [""], ""
    for letter, after in zip(name, [*name[1:], ""], strict=False):
        humps = letter.isupper() and (before.islower() or (before.isupper() and after.islower()))
        if humps or letter.isdigit() != before.isdigit() or not letter.isalnum():
            parts.append("")
        if letter.isalnum():
            parts[-1] += letter
        before = letter
    return [part for part in parts if part]


def _is_sided(parts: tuple[str, ...]) -> bool:
    return any("left" in part or "right" in part for part in parts)


def _swapped(parts: tuple[str, ...]) -> tuple[str, ...]:
    """The parts of the mirrored name: every side changes, `upright` only if there is no other."""
    if {"left", "right"} & set(parts):
        return tuple({"left": "right", "right": "left"}.get(part, part) for part in parts)
    return tuple(
        "right".join(piece.replace("right", "left") for piece in part.split("left"))
        for part in parts
    )


def _one_letter_swapped(parts: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The names with one L or R changed in one part of two letters."""
    return [
        (*parts[:n], part[:at] + OTHER_SIDE[part[at]] + part[at + 1 :], *parts[n + 1 :])
        for n, part in enumerate(parts)
        for at in range(len(part))
        if len(part) == 2 and part[at] in OTHER_SIDE
    ]


def _glued_swapped(parts: tuple[str, ...], at: int) -> list[tuple[str, ...]]:
    """The names with the L or R at the first (`at` 0) or last (-1) letter of a part changed."""
    found = []
    for n, part in enumerate(parts):
        if len(part) > 2 and part[at] in OTHER_SIDE:
            other = OTHER_SIDE[part[at]]
            changed = other + part[1:] if at == 0 else part[:-1] + other
            found.append((*parts[:n], changed, *parts[n + 1 :]))
    return found


def _only(
    name: str, mirrored: list[tuple[str, ...]], owners: dict[tuple[str, ...], list[str]]
) -> str | None:
    """Return the only name with these parts, or None; of `Ear_L` and `ear_l`, the same case."""
    found = [other for parts in mirrored for other in owners.get(parts, []) if other != name]
    if 1 < len(found) < 5:
        found = [other for other in found if _shape(other) == _shape(name)]
    return found[0] if len(found) == 1 else None


def _shape(name: str) -> tuple[bool, str]:
    """Return the form of a name: its first letter's case, and its separators."""
    return name[:1].isupper(), "".join(letter for letter in name if not letter.isalnum())


def _is_left(parts: tuple[str, ...], others: tuple[str, ...]) -> bool:
    """Return whether the first difference is left here and right there."""
    mine, yours = next((a, b) for a, b in zip(parts, others, strict=True) if a != b)
    if "left" in mine or "right" in mine:
        return mine.find("left") > mine.find("right") or "right" not in mine
    place = next(n for n, (a, b) in enumerate(zip(mine, yours, strict=True)) if a != b)
    return mine[place] == "l"
