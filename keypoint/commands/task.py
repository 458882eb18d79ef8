"""The task of a command line, keypoints or action recognition, is read from config or checkpoint.

keypoint train --cfg c2d_resnet50_srl_fft.yaml      the file contains `task: action`
keypoint test --checkpoint output/action/best.pt    its config contains it
keypoint train --task action --help                 for help, or without a file
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from itertools import zip_longest
from pathlib import Path
from types import ModuleType

from keypoint.commands.process import spin_briefly
from keypoint.errors import ConfigError, KeypointError

# Commands for both tasks: commands/NAME.py and commands/action/NAME.py, and their options.
BOTH = ("train", "test", "predict", "export", "info", "check-data", "complexity", "demo", "explain")
# Commands for both tasks with the same options, which read the task from their files.
SAME = ("compare", "sweep")
ONLY_ACTION = ("make-clip-data",)
TASKS = ("keypoints", "action")


def command_of(name: str, words: Sequence[str]) -> tuple[ModuleType, list[str]]:
    """Return the module of a command for the task of its arguments, and these without --task.

    The arguments are parsed before the module is imported, so --help and a mistyped option end
    here, without the seconds that importing torch takes.

    Raises:
        ConfigError: The task is unknown, or does not have this command.
    """
    task, words = task_in(words)
    if name not in BOTH:
        own, what = "keypoints", "keypoints"
        if name in ONLY_ACTION:
            own, what = "action", "action recognition"
        if name not in SAME and task not in (None, own):
            raise ConfigError(
                f"--task {task}: keypoint {name} is for {what} only; leave --task out"
            )
        task = "keypoints"  # the folder of the command
    if task is None:
        task = task_of_files(words)
    options_of(name, task).parse(words)
    if (name, task) == ("train", "action"):  # small networks, and workers that decode videos
        spin_briefly()
    return import_module(f"keypoint.commands{_place(name, task)}"), words


def options_of(name: str, task: str) -> ModuleType:
    """Return the module that parses the arguments of a command, without importing torch."""
    return import_module(f"keypoint.commands.options{_place(name, task)}")


def _place(name: str, task: str) -> str:
    return f"{'.action' if task == 'action' else ''}.{name.replace('-', '_')}"


def task_in(words: Sequence[str]) -> tuple[str | None, list[str]]:
    """Return the value of --task, or None, and the other arguments."""
    before = list(words[: words.index("--")]) if "--" in words else list(words)
    rest = list(words[len(before) :])
    for place, word in enumerate(before):
        name, equals, value = word.partition("=")
        if name == "--task":
            value = value if equals else "".join(before[place + 1 : place + 2])
            if value not in TASKS:
                raise ConfigError(f"--task {value}: give one of {' and '.join(TASKS)}")
            return value, before[:place] + before[place + (1 if equals else 2) :] + rest
    return None, [*before, *rest]


def task_of_files(words: Sequence[str]) -> str:
    """Return the task of --cfg or --checkpoint; the command reports files it cannot read."""
    config, checkpoint = _value("--cfg", words), _value("--checkpoint", words)
    try:
        if config is not None:
            from keypoint.config.load import find_config, task_of

            return task_of(find_config(config))
        if checkpoint is not None and Path(checkpoint).suffix == ".pt":
            from keypoint.checkpoint.file import task_of_checkpoint

            return task_of_checkpoint(Path(checkpoint))
        if checkpoint is not None and Path(checkpoint).suffix in (".onnx", ".pt2"):
            from keypoint.export.read import task_of_export

            return task_of_export(Path(checkpoint))
    except (KeypointError, OSError):
        pass
    return "keypoints"


def _value(option: str, words: Sequence[str]) -> str | None:
    """Return the value of an option, given as the next argument or after an equals sign."""
    for word, following in zip_longest(words, words[1:]):
        name, equals, value = word.partition("=")
        if name == option:
            return value if equals else following
    return None
