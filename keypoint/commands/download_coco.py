"""Get COCO 2017: keypoint download-coco --root data/coco train val."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlparse

from keypoint.commands import cli
from keypoint.commands.options.download_coco import parse
from keypoint.data.download.archives import SPLITS, obtain
from keypoint.data.download.fetch import check_space
from keypoint.errors import ConfigError


def main(argv: Sequence[str]) -> None:
    """Parse, build, call."""
    args = parse(argv)
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
    print(f"COCO is in {args.root}; train with data.root={args.root}")
