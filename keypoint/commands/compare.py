"""Compare the accuracy of runs, class by class: keypoint compare BASE_RUN RUN..."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2

from keypoint.action.evaluation.compare import LEAST_GAIN, Comparison, compare_tests
from keypoint.action.evaluation.compare_report import picture, to_csv, to_markdown
from keypoint.action.evaluation.scores import FILE, load_scores
from keypoint.commands import cli
from keypoint.errors import ConfigError
from keypoint.files import whole_file

MARKDOWN, CSV, PICTURE = "compare.md", "compare.csv", "compare.png"

EPILOG = f"""examples:
  keypoint compare output/c2d_resnet50 output/c2d_resnet50_srl5
      the classes in which the second run is better or worse than the first by {LEAST_GAIN} or more
  keypoint compare output/mfnet output/mfnet_pnl1 output/mfnet_nl1 --output output/compared
      a third run next to them, as in Fig. 4 of the PNL paper; tables and a picture in files
  keypoint compare base/{FILE} other/{FILE} --least-gain 0.1
      scores files by themselves

A run is a folder with {FILE}, which keypoint test writes for networks of action recognition. All
runs must be tests of the same videos, with the same classes and labels. The first is what the
others are compared with; classes are listed by the difference of the second.

Prints Markdown tables. With --output DIR also writes {MARKDOWN}, {CSV} (all classes) and
{PICTURE} (bars of the classes that differ).
"""


def main(argv: Sequence[str]) -> None:
    """Parse, compare, print."""
    parser = cli.parser(
        "keypoint compare", "Compare the accuracy of runs on the same videos.", EPILOG
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help=f"folder of a run, or its {FILE}")
    parser.add_argument(
        "--least-gain",
        type=cli.share,
        default=LEAST_GAIN,
        metavar="SHARE",
        help="list classes that differ by at least this much, above 0 (%(default)s)",
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="also write files there")
    cli.add_overwrite(parser, "replace the files in DIR")
    args = parser.parse_args(argv)
    if len(args.runs) < 2:
        raise ConfigError(f"{args.runs[0]}: a single run; give two at least to compare")
    if not args.least_gain:
        raise ConfigError("--least-gain 0: every class would be listed; give a share above 0")
    paths = [Path(run) for run in args.runs]
    names = short_names(paths)
    if args.output is not None:
        require_free(args.output, args.overwrite)
    comparison = compare_tests(
        {name: load_scores(path) for name, path in zip(names, paths, strict=True)},
        args.least_gain,
    )
    print(to_markdown(comparison))
    if args.output is not None:
        cli.make_folder(args.output, "--output")
        write(comparison, args.output)


def short_names(paths: Sequence[Path]) -> list[str]:
    """Return the last parts of the paths of runs, as many as make them different.

    Raises:
        ConfigError: A run is given twice.
    """
    runs = [path.parent if path.suffix == ".npz" and path.name == FILE else path for path in paths]
    resolved = [run.resolve() for run in runs]
    twice = [path for path, run in zip(paths, resolved, strict=True) if resolved.count(run) > 1]
    if twice:
        raise ConfigError(f"{twice[0]}: is given twice; give each run once")
    most = max(len(run.parts) for run in resolved)
    for length in range(1, most + 1):
        names = ["/".join(run.parts[-length:]) for run in resolved]
        if len(set(names)) == len(names):
            break
    return names


def require_free(folder: Path, overwrite: bool) -> None:
    """Check that no earlier comparison would be replaced.

    Raises:
        ConfigError: One would be.
    """
    there = [name for name in (MARKDOWN, CSV, PICTURE) if (folder / name).exists()]
    if there and not overwrite:
        raise ConfigError(
            f"--output {folder}: holds {' and '.join(there)} already; give another folder, or "
            "--overwrite to replace them"
        )


def write(comparison: Comparison, folder: Path) -> None:
    """Write tables and picture; an old picture goes if no class differs any more."""
    files = {MARKDOWN: f"{to_markdown(comparison)}\n".encode(), CSV: to_csv(comparison).encode()}
    drawn = picture(comparison)
    if drawn is None:
        (folder / PICTURE).unlink(missing_ok=True)
    else:
        files[PICTURE] = cv2.imencode(".png", drawn[..., ::-1])[1].tobytes()
    for name, content in files.items():
        with whole_file(folder / name, "comparison") as file:
            file.write(content)
    print(f"\nwritten: {', '.join(str(folder / name) for name in files)}")
