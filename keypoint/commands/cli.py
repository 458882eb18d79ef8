"""Code shared by all commands: options, and the translation of errors to an exit status."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import reprlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from keypoint import processes
from keypoint.commands.log import add_error, close_log, log_files
from keypoint.commands.log import keep_log as keep_log
from keypoint.commands.log import log_to as log_to
from keypoint.commands.log import logger as logger
from keypoint.commands.log import made as made_folders
from keypoint.commands.log import make_folder as make_folder
from keypoint.commands.log import print_result as print_result
from keypoint.commands.process import ended_by_sigterm, kept_streams
from keypoint.errors import ConfigError, lost_worker, printable
from keypoint.files import remove_empty
from keypoint.processes import keep_freed_memory

NETWORK_FILE = re.compile(
    r"unrecognized arguments: ([^- ]\S*\.(?:pt|pth|tar|safetensors|onnx|pt2))"
)


class _Parser(argparse.ArgumentParser):
    """Prints errors without the usage, which is six lines for some commands."""

    def error(self, message: str) -> NoReturn:
        line = printable(" ".join(message.splitlines()))
        file = NETWORK_FILE.fullmatch(line)
        if file and "--checkpoint" in self._option_string_actions:
            line += f"; did you mean --checkpoint {file[1]}?"
        self.exit(2, f"error: {line} ({self.prog} --help explains all options)\n")


def parser(prog: str, description: str, epilog: str | None = None) -> argparse.ArgumentParser:
    """Make an argument parser with --debug, which `run` reads.

    Args:
        prog: The command as a user types it: "keypoint train".
        description: One sentence, the first lines of --help.
        epilog: Examples and further explanation.
    """
    made = _Parser(
        prog=prog,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "--debug", action="store_true", help="show the traceback and all details of an error"
    )
    return made


def with_action(command: str, description: str) -> str:
    """Return the description of a command for keypoints, below a line on its other options."""
    return f"for action recognition: keypoint {command} --task action --help\n\n{description}"


def why_refused(made: argparse.ArgumentParser, words: Sequence[str]) -> str | None:
    """Return the error of a parser on words, or a note if they ask for help; else None."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            made.parse_intermixed_args(words)
    except SystemExit:
        return said.getvalue().strip().removeprefix("error: ") or "--help runs nothing"
    return None


def whole_number(least: int) -> Callable[[str], int]:
    """Return an argument type: whole numbers of at least `least`."""

    def read(text: str) -> int:
        # Nine digits are enough for every count here; int() accepts "1_000" and "-1".
        if not re.fullmatch("[0-9]{1,9}", text) or int(text) < least:
            raise argparse.ArgumentTypeError(
                f"given {reprlib.repr(text)}; give a whole number from {least} to 999999999"
            )
        return int(text)

    return read


def share(text: str) -> float:
    """Parse an argument: a number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"given {text!r}; give a number from 0 to 1")
    return value


# Options that several commands have. `made` is a parser, or a group of one.
_Options = argparse._ActionsContainer


def add_config(
    made: _Options,
    text: str = "a YAML file, or the name of one under configs/",
    required: bool = False,
) -> None:
    """Add --cfg and key=value; parse with `parse_intermixed_args`."""
    made.add_argument("--cfg", required=required, metavar="FILE", help=text)
    made.add_argument(
        "overrides", nargs="*", metavar="key=value", help="change a key of the config"
    )


def add_checkpoint(made: _Options, text: str = "best.pt or last.pt of a run") -> None:
    """Add --checkpoint."""
    made.add_argument("--checkpoint", required=True, type=Path, metavar="FILE", help=text)


def add_network(
    made: argparse.ArgumentParser,
    text: str = "best.pt or last.pt of a run",
    *,
    required: bool = True,
) -> argparse._MutuallyExclusiveGroup:
    """Add --checkpoint and --weights, which exclude each other; see `chosen_checkpoint`.

    Returns:
        Their group, to which alternatives can be added.
    """
    group = made.add_mutually_exclusive_group(required=required)
    group.add_argument("--checkpoint", type=Path, metavar="FILE", help=text)
    group.add_argument(
        "--weights",
        metavar="NAME",
        help="a name from keypoint weights, downloaded once; or a folder with model.pt or best.pt, "
        "or user/name on the Hugging Face Hub",
    )
    return group


def chosen_checkpoint(args: argparse.Namespace) -> Path:
    """Return the file chosen by --checkpoint or --weights; download it if necessary."""
    from keypoint.checkpoint.hub import find_checkpoint

    checkpoint: Path = args.checkpoint or find_checkpoint(args.weights)
    return checkpoint


def add_device(made: _Options) -> None:
    """Add --device, for `distributed.choose_device`."""
    made.add_argument(
        "--device",
        metavar="NAME",
        help="cpu, cuda, cuda:1, or mps (Apple, untested); default: CUDA if there is one, else cpu",
    )


def add_flip(made: _Options) -> None:
    """Add --flip."""
    made.add_argument("--flip", action="store_true", help="average with the mirrored crop")


def add_decoding(made: _Options) -> None:
    """Add --decoding; see `chosen_decoding`."""
    made.add_argument(
        "--decoding",
        choices=("codec", "quarter", "dark", "none"),
        help="how to decode the heatmaps' peaks; default: the checkpoint's test.decoding",
    )


def chosen_decoding(args: argparse.Namespace) -> str | None:
    """Return the decoding chosen by --decoding, for `Restored.decoding`."""
    from keypoint.pose.names import OF_CHECKPOINT

    given: str | None = args.decoding
    return OF_CHECKPOINT if given is None else None if given == "none" else given


def add_detector(made: _Options, default: str) -> None:
    """Add --detector, for `prediction.detector.load_detector`."""
    from keypoint.prediction.names import DETECTORS, HOG

    made.add_argument(
        "--detector",
        metavar="NAME|FILE",
        help=f"one of {', '.join(DETECTORS)}, a file of weights (NAME:FILE if not of the first), "
        f"or {HOG}: OpenCV's, without a download; it finds about half of the whole, standing "
        f"persons of at least 100 pixels; default: {default}",
    )


def add_box_threshold(made: _Options, text: str, default: float | None = None) -> None:
    """Add --box-threshold."""
    made.add_argument(
        "--box-threshold",
        type=share,
        default=default,
        metavar="SCORE",
        help=f"leave out boxes with a lower score; default: {text}",
    )


def add_skeleton(made: _Options, text: str, required: bool = False) -> None:
    """Add --skeleton, for `load_skeleton`."""
    made.add_argument(
        "--skeleton",
        required=required,
        metavar="NAME|FILE",
        help=f"a built-in name or a YAML file; {text}",
    )


def add_batch_size(made: _Options, text: str, default: int | None = None) -> None:
    """Add --batch-size."""
    made.add_argument(
        "--batch-size",
        type=whole_number(1),
        default=default,
        metavar="N",
        help=text,
    )


def add_pictures(made: _Options, default: int, text: str, least: int = 0) -> None:
    """Add --pictures, the number of pictures."""
    made.add_argument(
        "--pictures", type=whole_number(least), default=default, metavar="N", help=text
    )


def add_process_timeout(made: _Options) -> None:
    """Add --process-timeout, for `distributed.initialise`."""
    made.add_argument(
        "--process-timeout",
        type=whole_number(1),
        default=processes.TIMEOUT_S,
        metavar="SECONDS",
        help="with torchrun: how long a process waits for the others; default: %(default)s",
    )


def add_output_file(made: _Options, text: str) -> None:
    """Add --output for one file, and --overwrite; see `refuse_existing`."""
    made.add_argument("--output", required=True, type=Path, metavar="FILE", help=text)
    add_overwrite(made, "replace the file")


def add_output_folder(made: _Options, text: str) -> None:
    """Add --output for a folder."""
    made.add_argument("--output", required=True, type=Path, metavar="DIR", help=text)


def add_generated_images(made: _Options, *, train: int, val: int) -> None:
    """Add --train, --val and --seed of a command that generates images; defaults are given."""
    for name, default, use in (("train", train, "train"), ("val", val, "test")):
        made.add_argument(
            f"--{name}",
            type=whole_number(1),
            metavar="N",
            default=default,
            help=f"images to {use} on; default: {default}",
        )
    made.add_argument(
        "--seed",
        type=whole_number(0),
        metavar="N",
        default=0,
        help="seed of the random numbers; default: 0",
    )


def add_overwrite(made: _Options, text: str) -> None:
    """Add --overwrite."""
    made.add_argument("--overwrite", action="store_true", help=text)


def results_folder(args: argparse.Namespace, configured: str | None) -> Path:
    """Return the folder for results of a test: output=, the config's, or the checkpoint's.

    Args:
        args: With `checkpoint`, `weights`, `overrides`, and `cfg` if the command has it.
        configured: The config's output.
    """
    checkpoint: Path = args.checkpoint
    typed = any(override.partition("=")[0] == "output" for override in args.overrides)
    if configured and (typed or getattr(args, "cfg", None)):
        return Path(configured)
    if args.weights and not Path(args.weights).is_dir():
        return Path("output") / Path(args.weights).name
    if (checkpoint.parent / "config.yaml").is_file():
        return checkpoint.parent
    # The checkpoint was moved out of its run, or imported: do not write next to unrelated files.
    return Path("output") / checkpoint.stem


def refuse_existing(arguments: argparse.Namespace, checkpoint: Path | None = None) -> None:
    """Check that the output file is new or may be replaced.

    Args:
        arguments: With `output` and `overwrite`.
        checkpoint: A file that the command reads, which is never replaced.

    Raises:
        ConfigError: The file exists and --overwrite was not given, or it is the checkpoint.
    """
    both = checkpoint and checkpoint.exists() and arguments.output.exists()
    if both and arguments.output.samefile(checkpoint):
        raise ConfigError(
            f"--output {arguments.output} is the checkpoint itself; give another name"
        )
    if arguments.output.exists() and not arguments.overwrite:
        raise ConfigError(
            f"--output {arguments.output} already exists; give another name, or --overwrite"
        )


def run(main: Callable[[Sequence[str]], None], argv: Sequence[str] | None = None) -> int:
    """Call a command, and turn an exception into a message and an exit status.

    Args:
        main: Takes the arguments after the command's name.
        argv: Those arguments; None for the arguments of this process.

    Returns:
        0; 2 usage or config, 3 data, 4 checkpoint or output, 5 numerics, 130 and 143 after a
        signal, 1 anything else. The traceback is written to the log file if there is one, and to
        the terminal with --debug.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    keep_freed_memory()
    made_folders.clear()
    with kept_streams():
        try:
            with ended_by_sigterm(_say):
                main(arguments)
            sys.stdout.flush()  # so that a full disk is reported as an error of this command
        except KeyboardInterrupt:
            _say("interrupted")
            return 130
        except Exception as error:
            return _reported(error, debug="--debug" in arguments)
        finally:
            close_log()
            remove_empty(made_folders)
    return 0


def _reported(error: Exception, debug: bool) -> int:
    """Write an error to the log file and the terminal; returns the exit status."""
    status = getattr(lost_worker(error) or error, "exit_status", None)
    if status is None:  # a bug report needs the traceback
        with contextlib.suppress(ConfigError):
            keep_log()
    add_error(error)
    if debug:
        sys.stderr.writelines(f"  {fault}\n" for fault in getattr(error, "faults", ()))
        raise error
    error = lost_worker(error) or error
    if status in (130, 143):
        _say(str(error))
    elif status:
        _say(f"error: {error}")
    elif processes.says_lost(error):
        _say(
            "error: another process has ended or does not answer "
            f"({str(error).splitlines()[0]}); see the message of that process"
        )
    else:
        _say(f"error: {_unexpected(error)}")
    return status or 1


def _say(text: str) -> None:
    """Print a line on the terminal, with the rank if there are several."""
    rank = None
    if "RANK" in os.environ:
        rank = os.environ["RANK"] if processes.started_many() else None
    text = text if rank is None else f"[rank {rank}] {text}"
    sys.stderr.write(f"{text}\n")


def _unexpected(error: Exception) -> str:
    """Describe an unexpected error (a bug or a fault of the machine) in two lines."""
    first = printable(next(iter(str(error).splitlines()), "")[:300])
    files = [handler.baseFilename for handler in log_files()]
    where = f"in {files[0]}" if files else "that --debug shows"
    return (
        f"unexpected {type(error).__name__}: {first}\n  unless it is a problem of this machine "
        f"(memory, disk, permissions), report it with the traceback {where}"
    )
