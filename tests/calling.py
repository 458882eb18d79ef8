"""The commands as the tests call them: in this process, or as a process of their own."""

import sys
from importlib import import_module
from pathlib import Path

from keypoint.commands.main import call

REPOSITORY = Path(__file__).parents[1]
COMMANDS = REPOSITORY / "keypoint" / "commands"
BENCHMARKS = REPOSITORY / "tools" / "benchmarks"


def command(name):
    """The module of a command, by its file's name or as a user types it."""
    return import_module(f"keypoint.commands.{name.replace('-', '_')}")


def tool(name, *arguments):
    """The exit status of a command that is run in this process."""
    return call(name.replace("_", "-"), [str(argument) for argument in arguments])


def words(name, *arguments):
    """What starts a command as a process."""
    module = "keypoint.commands.main"
    return [sys.executable, "-m", module, name.replace("_", "-"), *map(str, arguments)]
