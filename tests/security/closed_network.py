"""Run commands one after the other in this process, with every way to the network closed.

python -m tests.security.closed_network '[["train", "--cfg", "x.yaml"], ["test", ...]]' ATTEMPTS

An attempt to connect, to ask for a name's address, or to download raises, and is written down.
"""

import json
import socket
import sys
import traceback
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def close(attempts):
    """Let nothing out; torch's workers and their queues use sockets of the file system only."""

    def refuse(name):
        def refused(*args, **_):
            is_local = args and getattr(args[0], "family", None) == socket.AF_UNIX
            if is_local:
                return getattr(real, name)(*args)
            with Path(attempts).open("a") as file:
                file.write(f"{name} {args}\n{''.join(traceback.format_stack(limit=8))}\n")
            raise OSError(f"{name}: this test lets nothing out")

        return refused

    real = socket.socket.__mro__[1]  # the C class, whose methods these hide
    for name in ("connect", "connect_ex", "sendto", "bind"):
        setattr(socket.socket, name, refuse(name))
    for name in ("getaddrinfo", "gethostbyname", "create_connection"):
        setattr(socket, name, refuse(name))


def main(commands, attempts):
    close(attempts)
    sys.path.insert(0, str(REPOSITORY))
    from tests.calling import tool

    for name, *arguments in json.loads(commands):
        status = tool(name, *arguments)
        if status:
            return status
        sys.stdout.write(f"done {name}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
