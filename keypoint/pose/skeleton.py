"""A skeleton: keypoint names, left/right pairs, edges to draw, OKS sigmas; one YAML per data set.

It determines the number of keypoints everywhere: heads, flip order, OKS, sigmas, drawings.
"""

from __future__ import annotations

import difflib
import reprlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keypoint.errors import ConfigError
from keypoint.pose.sides import guess_pairs
from keypoint.strict_yaml import read_yaml

BUILT_IN_FOLDER = Path(__file__).parent / "skeletons"
KEYS = ("name", "keypoints", "pairs", "edges", "oks_sigmas")
OPTIONAL_KEYS = ("upper_body",)
UNIFORM = "uniform"  # value of oks_sigmas if none are known
# The mean of COCO's 17 sigmas: an error relative to the object's size then counts as much as for a
# person's keypoints on average, so COCO's thresholds 0.5 to 0.95 remain a useful scale.
UNIFORM_SIGMA = 0.067
MOST_LETTERS = 200  # of a name
MOST_KEYPOINTS = 10_000  # the largest set with a public model is a face mesh of 478
# A sigma is a standard deviation of annotations, in units of the object's size (the square root of
# its area). With 10 a keypoint that is off by the whole object still has an OKS of 0.999; with 1e-6
# the rounding of coordinates to float32 dominates. Outside this range, AP is meaningless.
SMALLEST_SIGMA, LARGEST_SIGMA = 1e-6, 10.0


@dataclass(frozen=True)
class Skeleton:
    """The keypoints of one kind of object.

    Attributes:
        name: Short name, the same as the YAML file's.
        keypoints: Names in the order of the annotations.
        pairs: (left, right) names that are swapped in a mirrored image.
        edges: (from, to) names, the limbs to draw.
        oks_sigmas: One per keypoint, COCO's fall-off constants (variance (2 sigma)^2 * area).
        upper_body: Names of the upper body's keypoints, for half-body augmentation; empty if the
            object has no such halves.
        uniform_sigmas: Whether every sigma is `UNIFORM_SIGMA` because they have not been measured;
            an AP can then be compared only with others under the same skeleton.

    Raises:
        ConfigError: A name is unknown or repeated, a keypoint is in two pairs, or the sigmas are
            not one number per keypoint from `SMALLEST_SIGMA` to `LARGEST_SIGMA`.
    """

    name: str
    keypoints: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    edges: tuple[tuple[str, str], ...]
    oks_sigmas: tuple[float, ...]
    upper_body: tuple[str, ...] = ()
    uniform_sigmas: bool = False

    def __post_init__(self) -> None:
        if not self.keypoints:
            raise ConfigError(f"skeleton {self.name}: keypoints is empty; list at least one name")
        if len(self.keypoints) > MOST_KEYPOINTS:
            raise ConfigError(
                f"skeleton {self.name}: lists {len(self.keypoints):,} keypoints; at most "
                f"{MOST_KEYPOINTS:,} are supported"
            )
        repeated = _repeated(self.keypoints)
        if repeated:
            raise ConfigError(
                f"skeleton {self.name}: keypoints lists {repeated} twice; names must be unique"
            )
        self._check_couples("pairs", self.pairs)
        self._check_couples("edges", self.edges)
        twice = _repeated([name for pair in self.pairs for name in pair])
        if twice:
            raise ConfigError(
                f"skeleton {self.name}: {twice} are in more than one of pairs; give one pair each"
            )
        self._check_sigmas()
        self._check_upper_body()

    def _check_couples(self, key: str, couples: tuple[tuple[str, str], ...]) -> None:
        known = set(self.keypoints)
        for couple in couples:
            if len(couple) != 2 or couple[0] == couple[1]:
                raise ConfigError(
                    f"skeleton {self.name}: {key} has {list(couple)}; "
                    "each entry must be two different names"
                )
            for name in couple:
                if name not in known:
                    near = difflib.get_close_matches(str(name), self.keypoints, n=1)
                    hint = (
                        f"did you mean {near[0]!r}?" if near else f"known: {list(self.keypoints)}"
                    )
                    raise ConfigError(
                        f"skeleton {self.name}: {key} contains {name!r}, which is not a "
                        f"keypoint; {hint}"
                    )

    def _check_sigmas(self) -> None:
        sigmas = self.oks_sigmas
        possible = all(SMALLEST_SIGMA <= sigma <= LARGEST_SIGMA for sigma in sigmas)  # nan is not
        if len(sigmas) != len(self.keypoints) or not possible:
            raise ConfigError(
                f"skeleton {self.name}: oks_sigmas has {len(sigmas)} numbers {list(sigmas)}; give "
                f"one positive number from {SMALLEST_SIGMA:g} to {LARGEST_SIGMA:g} for each of the "
                f"{len(self.keypoints)} keypoints (COCO's are .025 to .107), or {UNIFORM} if none "
                "are known"
            )
        assert not self.uniform_sigmas or set(sigmas) == {UNIFORM_SIGMA}

    def require_pairs(self) -> None:
        """Raise if images are mirrored, but keypoints named left and right are not paired.

        Without mirroring such a skeleton is valid. The letters L and R may mean something else,
        so `keypoint check-data` notes them.

        Raises:
            ConfigError: Pairs are missing; the text names them.
        """
        given = {frozenset(pair) for pair in self.pairs}
        missing = [
            f"[{left}, {right}]"
            for left, right in guess_pairs(self.keypoints, words_only=True)
            if frozenset((left, right)) not in given
        ]
        if missing:
            raise ConfigError(
                f"skeleton {self.name}: pairs lacks {', '.join(missing)}; without "
                f"{'it' if len(missing) == 1 else 'them'} mirrored images would teach the wrong "
                "side. Add to pairs, or switch mirroring off: augment.flip_probability=0 and "
                "test.flip=false"
            )

    def _check_upper_body(self) -> None:
        upper = set(self.upper_body)
        unknown = sorted(upper - set(self.keypoints))
        split = [list(pair) for pair in self.pairs if len(upper & set(pair)) == 1]
        if unknown or split or len(upper) != len(self.upper_body):
            raise ConfigError(
                f"skeleton {self.name}: upper_body is {list(self.upper_body)}; list each keypoint "
                f"once, and both or none of a pair (unknown: {unknown}, half of a pair: {split})"
            )
        if len(upper) == len(self.keypoints):
            raise ConfigError(
                f"skeleton {self.name}: upper_body lists every keypoint; remove those of the "
                "lower body, or remove upper_body"
            )

    @property
    def num_keypoints(self) -> int:
        """The number of keypoints, K."""
        return len(self.keypoints)

    @property
    def flip_indices(self) -> tuple[int, ...]:
        """For each keypoint the index of its mirror image: itself, or the other of its pair."""
        place = {name: index for index, name in enumerate(self.keypoints)}
        mirror = dict(place)
        for left, right in self.pairs:
            mirror[left], mirror[right] = place[right], place[left]
        return tuple(mirror.values())

    @property
    def upper_body_indices(self) -> tuple[int, ...]:
        """`upper_body` as keypoint indices."""
        return tuple(self.keypoints.index(name) for name in self.upper_body)

    @property
    def edge_indices(self) -> tuple[tuple[int, int], ...]:
        """The edges as pairs of keypoint indices."""
        place = {name: index for index, name in enumerate(self.keypoints)}
        return tuple((place[a], place[b]) for a, b in self.edges)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and strings for a checkpoint, with the keys of the YAML file."""
        return {
            "name": self.name,
            "keypoints": list(self.keypoints),
            "pairs": [list(pair) for pair in self.pairs],
            "edges": [list(edge) for edge in self.edges],
            "oks_sigmas": UNIFORM if self.uniform_sigmas else list(self.oks_sigmas),
            **({"upper_body": list(self.upper_body)} if self.upper_body else {}),
        }


def _repeated(names: Sequence[str]) -> list[str]:
    return sorted(name for name, count in Counter(names).items() if count > 1)


def _name(value: Any) -> str:
    """A name as text; YAML reads some names as numbers."""
    text = str(value) if isinstance(value, str | int | float) else ""
    if not text.isprintable() or not 0 < len(text) <= MOST_LETTERS:
        raise ValueError(
            f"{reprlib.repr(value)} is not a name, which is printable text of up to {MOST_LETTERS} "
            "letters"
        )
    return text


def skeleton_from_dict(content: Any, source: str) -> Skeleton:
    """Build a skeleton from the content of a YAML file or a checkpoint.

    Args:
        content: A mapping with exactly the keys `KEYS` and optionally upper_body; oks_sigmas may be
            ``uniform`` or left out if none are known.
        source: File name for error messages.

    Raises:
        ConfigError: A key is missing or unknown, or a value has the wrong type.
    """
    keys = set(content) - set(OPTIONAL_KEYS) if isinstance(content, dict) else set()
    if keys | {"oks_sigmas"} != set(KEYS):
        given = sorted(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise ConfigError(
            f"{source}: a skeleton has exactly the keys {list(KEYS)}; given {given} "
            "(only oks_sigmas may be left out)"
        )
    sigmas = content.get("oks_sigmas", UNIFORM)
    unknown = sigmas == UNIFORM
    try:
        for key in KEYS[1:]:
            if not isinstance(content.get(key, []), list | tuple) and not (
                key == "oks_sigmas" and unknown
            ):
                raise ValueError(f"{key} is {reprlib.repr(content[key])}")
        return Skeleton(
            name=_name(content["name"]),
            keypoints=tuple(map(_name, content["keypoints"])),
            pairs=tuple((_name(left), _name(right)) for left, right in content["pairs"]),
            edges=tuple((_name(a), _name(b)) for a, b in content["edges"]),
            oks_sigmas=(UNIFORM_SIGMA,) * len(content["keypoints"])
            if unknown
            else tuple(float(sigma) for sigma in sigmas),
            uniform_sigmas=unknown,
            upper_body=tuple(map(_name, content.get("upper_body", []))),
        )
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from None
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"{source}: {error}; keypoints is a list of names, pairs and edges are lists of two "
            f"names, oks_sigmas a list of numbers or {UNIFORM}"
        ) from None


def load_skeleton(name_or_path: str | Path, root: str | Path = ".") -> Skeleton:
    """Read a built-in skeleton by name (``coco17``) or a YAML file by path.

    Args:
        name_or_path: Name or path; a relative path is relative to `root`.
        root: Folder of the data set.

    Raises:
        ConfigError: There is no such skeleton, or the file does not describe one.
    """
    path = BUILT_IN_FOLDER / f"{name_or_path}.yaml"
    if not path.is_file():
        path = Path(root) / name_or_path
    if not path.is_file():
        raise ConfigError(_no_skeleton(name_or_path, path))
    document = read_yaml(path)
    if document.problems:
        raise ConfigError.of_many(
            f"{path}: not the YAML of a skeleton; fix it",
            [f"line {line}: {text}" if line else text for _, line, text in document.problems],
        )
    return skeleton_from_dict(document.content, str(path))


def skeleton_from_here(name_or_path: str) -> str:
    """Return `data.skeleton` for a flag, whose path is relative to the working folder."""
    return name_or_path if is_built_in(name_or_path) else str(Path(name_or_path).absolute())


def is_built_in(name: str) -> bool:
    """Return whether a skeleton of this name is built in."""
    return (BUILT_IN_FOLDER / f"{name}.yaml").is_file()


def _no_skeleton(name_or_path: str | Path, path: Path) -> str:
    built_in = sorted(file.stem for file in BUILT_IN_FOLDER.glob("*.yaml"))
    text = (
        f"skeleton {str(name_or_path)!r} is neither built in ({built_in}) nor a YAML file "
        f"({path} does not exist)"
    )
    near = difflib.get_close_matches(Path(name_or_path).name.removesuffix(".yaml"), built_in, n=1)
    if Path(name_or_path).is_file():
        here = Path(name_or_path).absolute()
        return f"{text}; data.skeleton is relative to data.root: for the file here give {here}"
    return f"{text}; did you mean {near[0]}?" if near else f"{text}; check data.skeleton"
