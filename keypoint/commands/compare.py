"""Compare runs: keypoint compare BASE_RUN RUN...

Seeds of one config are one group; groups are compared with the first one. Runs of action
recognition are also compared class by class.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from keypoint.action.evaluation.compare import LEAST_GAIN, Comparison, compare_tests
from keypoint.action.evaluation.compare_report import picture, to_csv, to_markdown
from keypoint.action.evaluation.scores import FILE, load_scores
from keypoint.action.evaluation.videos_again import differences_on_videos
from keypoint.commands import cli
from keypoint.commands.options.compare import (
    CSV,
    IMAGES_CSV,
    MARKDOWN,
    PICTURE,
    RUNS_CSV,
    RUNS_PICTURE,
    parse,
)
from keypoint.commands.published import published
from keypoint.data.annotations import read_dataset
from keypoint.drawing.canvas import Image
from keypoint.errors import ConfigError, DataError
from keypoint.evaluation.runs import report
from keypoint.evaluation.runs.compare import GroupComparison, compare_groups
from keypoint.evaluation.runs.files import CONFIG, HISTORY, METRICS, RESULTS
from keypoint.evaluation.runs.group import group_runs, incomparable, require_comparable
from keypoint.evaluation.runs.images import OnImages, differences_on_images, score_file
from keypoint.evaluation.runs.per_image import ImageChange, image_changes
from keypoint.evaluation.runs.read import GET_CONFIG, Run, read_run
from keypoint.evaluation.runs.statistics import Difference
from keypoint.files import whole_file
from keypoint.pose.skeleton import is_built_in, load_skeleton

SEED = re.compile(r"(seed|run|s)?[_.-]?[0-9]+")  # a folder's name that does not name a config

Contents = dict[str, bytes | None]  # content by file name; None removes an old file


def main(argv: Sequence[str]) -> None:
    """Parse, compare, print."""
    args = parse(argv)
    if len(args.runs) < 2:
        if not only_scores(Path(args.runs[0])):
            read_run(Path(args.runs[0]))  # the error names the runs in a folder of runs
        raise ConfigError(f"{args.runs[0]}: a single run; give at least two runs to compare")
    if not args.least_gain:
        raise ConfigError("--least-gain 0: every class would be listed; give a share above 0")
    paths = [Path(run) for run in args.runs]
    runs = dict(zip(short_names(paths), paths, strict=True))
    if args.output is not None:
        require_free(args.output, args.overwrite)
    text, files = tables(runs, anyway=args.anyway, least_gain=args.least_gain)
    print(text)
    if args.output is not None:
        cli.make_folder(args.output, "--output")
        write(files, args.output)


def tables(
    runs: Mapping[str, Path],
    *,
    anyway: bool = False,
    least_gain: float = LEAST_GAIN,
    called: Mapping[str, str] | None = None,
) -> tuple[str, Contents]:
    """Compare runs.

    Args:
        runs: Folders by name; all groups are compared with the group of the first.
        anyway: Compare even if the numbers were measured under different conditions.
        least_gain: Action recognition: list classes that differ by at least this.
        called: Name of the group by run; None for the common part of its runs' names.

    Returns:
        Markdown, and the content of all files.

    Raises:
        ConfigError: They are not comparable, and `anyway` is not set.
    """
    texts: list[str] = []
    files: Contents = {}
    groups = None
    if not all(only_scores(path) for path in runs.values()):
        groups = compare_runs(runs, anyway, called)
        texts.append(report.to_markdown(groups))
        files[RUNS_CSV] = report.to_csv(groups).encode()
        files[RUNS_PICTURE] = png(report.picture(groups))
        if images := report.images_csv(groups):
            files[IMAGES_CSV] = images.encode()
    if groups is None or groups.groups[0].first.task == "action":
        tests = runs if groups is None else firsts(groups, runs)
        if len(tests) > 1:
            classes = compare_tests(
                {name: load_scores(path) for name, path in tests.items()}, least_gain
            )
            texts.append(to_markdown(classes))
            files |= class_files(classes)
    text = "\n\n".join(texts)
    return text, {MARKDOWN: f"{text}\n".encode(), **files}


def only_scores(path: Path) -> bool:
    """Return whether a path is a scores file of action recognition, or a folder with only that."""
    if not path.is_dir():
        return True  # load_scores reports what is wrong with it
    return (path / FILE).is_file() and not any((path / n).is_file() for n in (METRICS, HISTORY))


def compare_runs(
    paths: Mapping[str, Path], anyway: bool, called: Mapping[str, str] | None = None
) -> GroupComparison:
    """Read runs, group them, and compare the groups.

    Raises:
        ConfigError: They are not comparable, and `anyway` is not set.
    """
    groups = group_runs({name: read_run(path) for name, path in paths.items()}, called)
    if not anyway:
        require_comparable(groups)
    return compare_groups(groups, on_samples, incomparable(groups), published)


def on_samples(first: Run, second: Run) -> tuple[dict[str, Difference], tuple[ImageChange, ...]]:
    """Return second minus first, with intervals over the images or videos of both tests.

    Also returns the change of each image, none for videos.

    Raises:
        DataError: There are no results to resample, or they are of different images.
    """
    if first.task == "action":
        names = str(first.folder), str(second.folder)
        scores = load_scores(first.folder), load_scores(second.folder)
        return differences_on_videos(names, *scores), ()
    one, other = score_again(first), score_again(second)
    if not np.array_equal(one.persons, other.persons):
        raise DataError(f"{first.folder} and {second.folder}: tested on different persons")
    content = read_dataset(Path(str(first.conditions.get("annotations"))))
    files = {entry["id"]: str(entry.get("file_name") or "") for entry in content["images"]}
    return differences_on_images(one, other), image_changes(one, other, files)


def score_again(run: Run) -> OnImages:
    """Score the results of a keypoint run against the annotations that it was tested with.

    Raises:
        DataError: There are no results, or they do not give the run's numbers.
    """
    data = (run.config or {}).get("data", {})
    name = data.get("skeleton") or run.conditions.get("skeleton")
    if run.config is None and not is_built_in(str(name)):
        raise DataError(
            f"{run.folder}: {CONFIG} is missing, so the file of the skeleton {name!r} is not "
            f"known; {GET_CONFIG}"
        )
    skeleton = load_skeleton(str(name), Path(str(data.get("root", "."))))
    annotations = str(run.conditions.get("annotations"))
    return score_file(annotations, run.folder / RESULTS, skeleton, run.numbers)


def firsts(comparison: GroupComparison, paths: Mapping[str, Path]) -> dict[str, Path]:
    """Return the first run with scores of its videos in each group, by name."""
    names = [next(iter(group.runs)) for group in comparison.groups]
    return {name: paths[name] for name in names if (paths[name] / FILE).is_file()}


def short_names(paths: Sequence[Path]) -> list[str]:
    """Return the last parts of the paths of runs, as many as make runs and configs different.

    A seed does not name a config: none/seed0 and srl/seed1 are not shortened to seed0 and seed1.

    Raises:
        ConfigError: A run is given twice.
    """
    runs = [path.parent if path.suffix == ".npz" and path.name == FILE else path for path in paths]
    resolved = [run.resolve() for run in runs]
    twice = [path for path, run in zip(paths, resolved, strict=True) if resolved.count(run) > 1]
    if twice:
        raise ConfigError(f"{twice[0]} is given twice; give each run once")
    configs = {_without_seed(run.parts) for run in resolved}
    most = max(len(run.parts) for run in resolved)
    for length in range(1, most + 1):
        names = ["/".join(run.parts[-length:]) for run in resolved]
        named = {_without_seed(run.parts[-length:]) for run in resolved}
        has_unnamed = () in named and len(configs) > 1
        if len(set(names)) == len(names) and len(named) == len(configs) and not has_unnamed:
            break
    return names


def _without_seed(parts: Sequence[str]) -> tuple[str, ...]:
    return tuple(part for part in parts if not SEED.fullmatch(part))


def require_free(folder: Path, overwrite: bool, option: str = "--output ") -> None:
    """Check that no earlier comparison would be replaced.

    Args:
        folder: Output folder.
        overwrite: Replace files.
        option: Option that gives the folder, for the error.

    Raises:
        ConfigError: The folder contains a comparison.
    """
    names = (MARKDOWN, CSV, PICTURE, RUNS_CSV, RUNS_PICTURE, IMAGES_CSV)
    there = [name for name in names if (folder / name).exists()]
    if there and not overwrite:
        raise ConfigError(
            f"{option}{folder} already contains {' and '.join(there)}; give another folder, or "
            "--overwrite to replace them"
        )


def class_files(comparison: Comparison) -> Contents:
    """Return the table and picture of classes; no picture if no class differs."""
    drawn = picture(comparison)
    return {
        CSV: to_csv(comparison).encode(),
        PICTURE: None if drawn is None else png(drawn),
    }


def png(drawn: Image) -> bytes:
    """Encode an RGB picture as a PNG file."""
    return cv2.imencode(".png", drawn[..., ::-1])[1].tobytes()


def write(files: Contents, folder: Path) -> None:
    """Write a comparison, and remove files of an earlier one that it does not replace."""
    for name in (MARKDOWN, RUNS_CSV, RUNS_PICTURE, IMAGES_CSV, CSV, PICTURE):
        content = files.get(name)
        if content is None:
            (folder / name).unlink(missing_ok=True)
            continue
        with whole_file(folder / name, "comparison") as file:
            file.write(content)
    written = [str(folder / name) for name, content in files.items() if content is not None]
    print(f"\nwritten: {', '.join(written)}")
