"""Get COCO 2017: keypoint download-coco --root data/coco train val."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import urlparse

from keypoint.commands import cli
from keypoint.data.download.archives import BASE_URL, SPLITS, obtain, space_needed
from keypoint.data.download.fetch import check_space
from keypoint.errors import ConfigError
from keypoint.progress import progress

MIB = 1 << 20
EPILOG = """examples:
  keypoint download-coco train val
      what training needs: 20.4 GB of archives, as much again unpacked
  keypoint download-coco --root /data/coco val
      validation images and annotations alone: 1.1 GB

An interrupted run goes on when called again. Nothing is deleted: the zip files stay beside the
folders they were unpacked into, and may be removed afterwards.
"""


def main(argv: Sequence[str]) -> None:
    """Parse, build, call."""
    parser = cli.parser("keypoint download-coco", "Download, check and unpack COCO 2017.", EPILOG)
    parser.add_argument(
        "--root", type=Path, default=Path("data/coco"), help="folder; default: data/coco"
    )
    parser.add_argument("--base-url", default=BASE_URL, help=f"a mirror's; default: {BASE_URL}")
    parser.add_argument("splits", nargs="+", choices=sorted(SPLITS), help="images with annotations")
    args = parser.parse_args(argv)
    if urlparse(args.base_url).scheme not in ("http", "https"):
        raise ConfigError(f"--base-url {args.base_url!r} is no address; give http://HOST[/FOLDER]")

    cli.log_to()
    archives = list(dict.fromkeys(archive for split in args.splits for archive in SPLITS[split]))
    cli.make_folder(args.root, "--root")
    check_space(args.root, sum(space_needed(archive, args.root) for archive in archives))
    for archive in archives:
        obtain(archive, args.root, base_url=args.base_url, meter=meter)
    print(f"COCO is in {args.root}: data.root={args.root}")


@contextlib.contextmanager
def meter(text: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar that opens when the number of bytes is known."""
    with contextlib.ExitStack() as stack:
        bar, shown = None, 0

        def show(done: int, total: int) -> None:
            nonlocal bar, shown
            if bar is None:
                bar = stack.enter_context(progress(max(total, done) // MIB, text, "MiB"))
                shown = done // MIB
                bar.skip(shown)
            bar.update(done // MIB - shown)
            shown = done // MIB

        yield show
