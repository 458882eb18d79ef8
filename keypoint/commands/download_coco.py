"""Get COCO 2017: keypoint download-coco --root data/coco train val."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlparse

from keypoint.commands import cli
from keypoint.data.download.archives import BASE_URL, SPLITS, obtain
from keypoint.data.download.fetch import check_space
from keypoint.errors import ConfigError

EPILOG = """examples:
  keypoint download-coco train val
      for training: 20.4 GB of archives, and as much again unpacked
  keypoint download-coco --root /data/coco val
      validation images and annotations alone: 1.1 GB

An interrupted download is resumed by the same command. Nothing is deleted: the zip files stay next
to the folders they were unpacked into, and may be removed afterwards.
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
        raise ConfigError(
            f"--base-url {args.base_url!r} is not an address; give http://HOST[/FOLDER]"
        )

    cli.log_to()
    archives = list(dict.fromkeys(archive for split in args.splits for archive in SPLITS[split]))
    cli.make_folder(args.root, "--root")
    check_space(args.root, sum(archive.space_needed(args.root) for archive in archives))
    for archive in archives:
        obtain(archive, args.root, args.base_url)
    print(f"COCO is in {args.root}: data.root={args.root}")
