"""The category of the persons: one category, or several with equal keypoints as one class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from reprlib import repr as short
from typing import Any

from keypoint.data.entries.ids import describe_id, with_whole_numbers
from keypoint.data.entries.numbers import is_whole_number, whole_number
from keypoint.errors import DataError
from keypoint.pose.skeleton import Skeleton

ALL = "all"
# What to do if names do not match the skeleton: that of a config, or of a trained network.
OTHER_SKELETON = "choose the right data.skeleton"
OTHER_NETWORK = (
    "the skeleton is that of the network; choose a checkpoint trained on these keypoints"
)
MOST_NAMES = 60  # that an error lists; AP-10K has 54 categories


@dataclass(frozen=True)
class Category:
    """The persons' category; several count as one class.

    Attributes:
        ids: Of all, in the file's order.
        names: Of all, as given.
        keypoints: The names of the keypoints, the same for all; None if the file has none.
    """

    ids: tuple[int, ...]
    names: tuple[Any, ...]
    keypoints: Any

    @property
    def id(self) -> int:
        """The first id, which results carry."""
        return self.ids[0]

    @property
    def name(self) -> Any:
        """The name, or all of them."""
        return self.names[0] if len(self.names) == 1 else ", ".join(map(str, self.names))


def find_category(
    content: dict[str, Any],
    source: object,
    chosen: str | Sequence[str] | None = None,
    *,
    take_only: bool = False,
) -> Category:
    """Return the category that is chosen by name, or else the one with keypoints or named person.

    Args:
        content: Content of a file, with its list of categories.
        source: The file, for errors.
        chosen: A name, several, or "all" for all with keypoints; their keypoints must be equal.
        take_only: Take the only category of the file, whatever its name. Boxes need no more;
            keypoints to train on need names to check their order.

    Raises:
        DataError: There is no category, or several and none is chosen; a name does not exist; the
            keypoints differ; an id is not an integer or not unique.
    """
    whole, _ = with_whole_numbers({"images": [], "categories": content["categories"]})
    categories = whole["categories"]
    found = [c for c in categories if c.get("keypoints")]
    found = found or [c for c in categories if c.get("name") == "person"]
    if take_only and len(categories) == 1:
        found = categories
    if chosen is not None and chosen != ALL:
        wanted = [chosen] if isinstance(chosen, str) else list(chosen)
        missing = [name for name in wanted if name not in [c.get("name") for c in categories]]
        if missing:
            raise DataError(
                f"{source}: data.category {_listed(missing)} is not among the categories "
                f"{_listed([c.get('name') for c in categories])}; give their names"
            )
        found = [c for c in categories if c.get("name") in wanted]
    elif len(found) > 1 and chosen is None:
        raise DataError(
            f"{source}: {len(found)} categories have keypoints "
            f"({_listed([c.get('name') for c in found])}); set data.category to the name of one, "
            "to a list of names, or to all, to use those with equal keypoints as one class"
        )
    if not found:
        raise DataError(
            f"{source}: none of the categories {_listed([c.get('name') for c in categories])} has "
            "'keypoints' or is named person; give one, with an integer as id"
        )
    _check(found, categories, source)
    return Category(
        tuple(c["id"] for c in found),
        tuple(c.get("name") for c in found),
        found[0].get("keypoints"),
    )


def _check(found: list[dict[str, Any]], categories: list[dict[str, Any]], source: object) -> None:
    for category in found:
        name, key = short(category.get("name")), category.get("id")
        if not is_whole_number(key):
            raise DataError(f"{source}: category {name}: {describe_id(key)}")
        if category.get("keypoints") != found[0].get("keypoints"):
            raise DataError(
                f"{source}: categories {short(found[0].get('name'))} and {name} have different "
                "keypoints, so they cannot be one class; list those with equal keypoints in "
                "data.category"
            )
        others = [c for c in categories if c is not category and whole_number(c.get("id")) == key]
        if others:
            raise DataError(
                f"{source}: categories {name} and {short(others[0].get('name'))} have the same id "
                f"{key}; ids are unique"
            )


def _listed(names: Sequence[Any]) -> str:
    more = ", .." if len(names) > MOST_NAMES else ""
    return ", ".join(short(name) for name in names[:MOST_NAMES]) + more


def names_fault(category: Category, skeleton: Skeleton, remedy: str = OTHER_SKELETON) -> str | None:
    """Describe how the category's keypoint names differ from the skeleton's, or return None.

    Args:
        category: The category of a file.
        skeleton: The skeleton to compare it with.
        remedy: What to do, for the end of the text; it depends on where the skeleton comes from.
    """
    names = category.keypoints
    if names is not None and not isinstance(names, list):
        return f"the category's keypoints are {names!r}; give a list of names"
    if names is None or names == list(skeleton.keypoints):
        return None
    couples = zip(names, skeleton.keypoints, strict=False)
    different = [f"{short(a)} for {b!r}" for a, b in couples if a != b]
    return (
        f"the category's {len(names)} keypoint names do not match the "
        f"{skeleton.num_keypoints} of skeleton {skeleton.name} in order "
        f"({'; '.join(different[:3]) or 'another number'}); {remedy}"
    )
