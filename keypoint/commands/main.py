"""The console script `keypoint`: imports the chosen command only, and calls it.

A command `a-b` is two files: options/a_b.py parses its options, without torch, and a_b.py runs it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from difflib import get_close_matches

from keypoint.commands.process import kept_streams

# Commands by purpose, each with its line in `keypoint --help`.
GROUPS = {
    "train and test": {
        "train": "train a network from a config",
        "test": "report COCO AP of a checkpoint, and what lowers it",
        "sweep": "train and test a grid of configs with several seeds, and compare them",
        "compare": "compare runs and configs, with intervals over seeds or images",
        "demo": "run all steps on generated images: data, training, AP, pictures",
    },
    "predict": {
        "predict": "find keypoints on images, folders, videos and cameras",
        "app": "serve a web page that finds keypoints on uploaded images",
        "detect-boxes": "detect persons and write their boxes",
    },
    "data": {
        "convert": "make a data set from the files of labelling tools",
        "check-data": "report all faults of a data set before training",
        "browse-data": "draw training crops with their targets",
        "download-coco": "download and check COCO 2017",
        "make-sign-data": "generate road signs with annotated corners",
        "make-person-data": "generate persons in COCO's layout",
        "make-clip-data": "generate clips whose classes differ in time only",
        "estimate-sigmas": "estimate OKS sigmas from repeated annotations",
    },
    "checkpoints": {
        "weights": "list published weights by name, and whether they are downloaded",
        "info": "print the model card of a checkpoint",
        "export": "write a network as an ONNX or torch.export file",
        "import-weights": "make a checkpoint from weights of other toolkits",
        "export-weights": "write weights for other toolkits",
        "complexity": "count parameters and multiply-adds of a network",
        "explain": "show what the blocks of a network attend to, and its receptive field",
    },
}
COMMANDS = {name: line for group in GROUPS.values() for name, line in group.items()}


def main(argv: list[str] | None = None) -> int:
    """Run `keypoint COMMAND ...`.

    Args:
        argv: The words after `keypoint`; None for this process's.

    Returns:
        The exit status: the command's, or 2 for an unknown command.
    """
    with kept_streams():
        return _run(sys.argv[1:] if argv is None else argv)


def _run(words: list[str]) -> int:
    """Find the command and call it."""
    if not words or words[0] in ("-h", "--help", "help"):
        sys.stdout.write(usage())
        return 0 if words else 2
    if words[0] == "--version":
        from keypoint import __version__

        sys.stdout.write(f"keypoint {__version__}\n")
        return 0
    name = words[0]
    if name not in COMMANDS:
        near = get_close_matches(name.replace("_", "-"), COMMANDS, n=1)
        meant = f"; did you mean {near[0]}?" if near else ""
        sys.stderr.write(
            f"error: {name!r} is not a command{meant} (keypoint --help lists all commands)\n"
        )
        return 2
    return call(name, words[1:])


def call(name: str, words: Sequence[str]) -> int:
    """Run a command with its arguments; return the exit status."""
    from keypoint.commands import cli

    # Imported inside `run`: importing torch takes seconds, in which a user may press Ctrl-C.
    def command(arguments: Sequence[str]) -> None:
        from keypoint.commands.task import command_of

        module, rest = command_of(name, arguments)
        module.main(rest)

    return cli.run(command, words)


def usage() -> str:
    """Return the text of `keypoint --help`."""
    width = max(map(len, COMMANDS))
    lines = ["usage: keypoint COMMAND [...]; keypoint COMMAND --help explains one command", ""]
    for group, commands in GROUPS.items():
        lines.append(f"{group}:")
        lines += [f"  {name:<{width}}  {line}" for name, line in commands.items()]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
