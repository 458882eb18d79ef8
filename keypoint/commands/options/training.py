"""The options of keypoint train for both tasks."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from keypoint import processes
from keypoint.commands import cli
from keypoint.commands.process import refuse_torchrun
from keypoint.config.fields import RunConfig
from keypoint.config.load import Config, describe_keys
from keypoint.errors import ConfigError

# The page of commands in the documentation ends here, and links to the page of keys.
KEYS_OF_CONFIG = "keys of a config, with default and allowed values:"


def make_parser(
    description: str, epilog: str, kind: type[RunConfig] = Config
) -> argparse.ArgumentParser:
    """All options of `keypoint train`; the help ends with the keys of this kind of config."""
    epilog = f"{epilog}\n{KEYS_OF_CONFIG}\n{describe_keys(kind)}"
    parser = cli.parser("keypoint train", description, epilog)
    cli.add_config(parser, required=True)
    parser.add_argument(
        "--resume", action="store_true", help="continue from output/last.pt if it exists"
    )
    parser.add_argument(
        "--allow-changed",
        action="store_true",
        help="with --resume: continue even if the config, data or number of processes changed",
    )
    cli.add_overwrite(parser, "start over in a folder that contains another run")
    add_seeds(parser)
    cli.add_device(parser)
    cli.add_process_timeout(parser)
    return parser


def parse(parser: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line of `keypoint train`.

    Raises:
        ConfigError: Options contradict each other.
    """
    args = parser.parse_intermixed_args(argv)
    if args.resume and args.overwrite:
        raise ConfigError("--resume continues a run, --overwrite starts over; give one of them")
    if args.allow_changed and not args.resume:
        raise ConfigError("--allow-changed has no effect without --resume")
    check_seeds(args)
    return args


def add_seeds(parser: argparse.ArgumentParser) -> None:
    """Add --seeds and --dry-run."""
    parser.add_argument(
        "--seeds",
        nargs="+",
        type=cli.whole_number(0),
        metavar="N",
        help="train once with each seed, in output/seedN (key=value comes before this option)",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="with --seeds: print one command for each run, and train nothing",
    )


def check_seeds(args: argparse.Namespace) -> None:
    """Check the options of several seeds.

    Raises:
        ConfigError: The options contradict each other, or a seed is given twice.
    """
    if args.seeds is None:
        if args.dry_run:
            raise ConfigError("--dry-run has no effect without --seeds")
        return
    twice = [seed for seed in args.seeds if args.seeds.count(seed) > 1]
    if twice:
        raise ConfigError(f"--seeds: {twice[0]} is given twice; give each seed once")
    if any(override.partition("=")[0] == "seed" for override in args.overrides):
        raise ConfigError("seed= has no effect with --seeds; leave one of them out")
    if args.process_timeout != processes.TIMEOUT_S:
        raise ConfigError("--process-timeout is for torchrun; it has no effect with --seeds")
    refuse_torchrun("--seeds")
