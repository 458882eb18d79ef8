"""Runs Python commands, each as a process of its own, without importing torch for each

`tests/forked.py` starts one for a test session, as `python -m tests.fork_server FD`, and asks it over
that socket. It imports every command once and forks for each job. A job comes as four open files,
the job's own socket and its stdin, stdout and stderr. On its socket: its words, folder, environment
and limits as JSON; then, from here, its process's number, and at last how it ended.

No tensor is computed here, and no thread started, so that nothing is lost in a fork.
"""

import atexit
import gc
import importlib
import json
import os
import resource
import runpy
import signal
import socket
import sys
import threading
import traceback
from contextlib import suppress
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).parents[1]
SIGNALS = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}


def load():
    """Import what the commands import; their `main` is left to the child, which runs it."""
    for file in sorted((REPOSITORY / "keypoint" / "commands").rglob("*.py")):
        if file.stem not in ("__init__", "main"):
            name = ".".join(file.relative_to(REPOSITORY).with_suffix("").parts)
            importlib.import_module(name)
    importlib.import_module("torchvision.models.detection")
    threads = len(list(Path("/proc/self/task").iterdir()))
    assert threads == 1, f"the imports started {threads - 1} threads, which no child would have"
    gc.collect()
    gc.freeze()  # what is not looked at stays shared


def address_space():
    """Bytes of it that this process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def run(words):
    """Do what `python WORDS` does: `-c PROGRAM`, `-m MODULE` or a file, each with its arguments."""
    if words[0] == "-c":
        sys.argv = ["-c", *words[2:]]
        exec(compile(words[1], "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102
    elif words[0] == "-m":
        sys.argv = words[1:]
        sys.modules.pop(words[1], None)  # runpy warns of what is imported already
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = list(words)
        runpy.run_path(words[0], run_name="__main__")


def status_of(words):
    """The exit status of `run`, as Python itself finds it."""
    try:
        run(words)
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return error.code or 0
        sys.stderr.write(f"{error.code}\n")
        return 1
    except KeyboardInterrupt:  # the signal itself ends a Python that nothing in it handles
        traceback.print_exc()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def child(job, streams, connection):
    """The process of one job; does not return."""
    for number, handler in SIGNALS.items():
        signal.signal(number, handler)
    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(job["cwd"])
    os.environ.clear()
    os.environ.update(job["environment"])
    np.random.seed()  # noqa: NPY002 (Python's own are seeded by the fork)
    if job["mib"] is not None:
        limit = address_space() + (job["mib"] << 20)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    connection.sendall(f"{os.getpid()}\n".encode())
    connection.close()
    status = 1
    try:
        status = status_of(job["words"])
    finally:  # what Python does at its end
        with suppress(Exception):
            threading._shutdown()
            atexit._run_exitfuncs()
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status & 0xFF)


def watch(connection, streams):
    """Start a job, wait for its end and report it: a process between the server and the job."""
    asked = connection.makefile("rb")
    job = json.loads(asked.readline())
    pid = os.fork()
    if pid == 0:
        asked.close()
        child(job, streams, connection)
    for stream in streams:
        os.close(stream)
    _, status, usage = os.wait4(pid, 0)
    ended = {
        "status": os.waitstatus_to_exitcode(status),  # of a signal: minus its number
        "mib": usage.ru_maxrss / 1024,
    }
    with suppress(OSError):  # the tests have ended before
        connection.sendall(json.dumps(ended).encode() + b"\n")


def serve(control):
    """Take jobs until the socket's other end is closed."""
    while True:
        message, files, _, _ = socket.recv_fds(control, 1, 4)
        if not message:
            return
        if os.fork() == 0:
            control.close()
            try:
                watch(socket.socket(fileno=files[0]), files[1:])
            except BaseException:  # the asker sees the closed socket
                traceback.print_exc()
            finally:
                os._exit(0)
        for file in files:
            os.close(file)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the tests, and they end this
    load()
    serve(socket.socket(fileno=int(sys.argv[1])))
    with suppress(ChildProcessError):  # so that their CPU time counts as the tests'
        while True:
            os.wait()
