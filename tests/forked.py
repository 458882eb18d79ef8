"""Commands as processes that start at once: forked from a server which has imported torch and ours

`start` and `run` take what subprocess.Popen and subprocess.run take. What they start has its own
process, session, environment, folder, streams and exit status, and can be sent signals. What it
shares with a fresh one is the imported modules; OMP_NUM_THREADS is 1. A few tests start a fresh
interpreter on purpose (subprocess): the console script, torchrun, start-up itself.
"""

import atexit
import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.calling import REPOSITORY

GRACE = 10.0  # s


@functools.cache
def _server():
    """The socket of this test process's server, which is started at the first use."""
    ours, theirs = socket.socketpair()
    alone = {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.fork_server", str(theirs.fileno())],
        env=os.environ | alone,
        cwd=REPOSITORY,
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
    )
    theirs.close()

    def end():
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


class Forked:
    """A started command, used as subprocess.Popen: `pid`, `returncode`, `poll`, `wait`, `send_signal`.

    `mib` is its peak memory once it has ended. It leads a session and a process group of its own.
    """

    def __init__(
        self, words, *, env=None, cwd=None, stdin=None, stdout=None, stderr=None, mib=None
    ):
        words = list(map(str, words))
        assert words[0] == sys.executable, f"{words[0]}: only this Python is forked"
        self.args = words
        self.returncode = self.mib = None
        self._connection, theirs = socket.socketpair()
        job = {
            "words": words[1:],
            "cwd": str(cwd or Path.cwd()),
            "environment": dict(os.environ if env is None else env),
            "mib": mib,
        }
        with Path(os.devnull).open("r+b") as nowhere:
            files = [nowhere if file is None else file for file in (stdin, stdout, stderr)]
            sent = [theirs.fileno(), *(file.fileno() for file in files)]
            socket.send_fds(_server(), [b"j"], sent)
        theirs.close()
        self._connection.sendall(json.dumps(job).encode() + b"\n")
        self._answers = self._connection.makefile("rb", buffering=0)
        first = self._answers.readline()
        assert first, "the fork server or the process's start failed; its message is on stderr"
        self.pid = int(first)

    def poll(self):
        """The exit status, of a signal minus its number; None while it runs."""
        return self._ended(0)

    def wait(self, timeout=None):
        """The exit status; raises subprocess.TimeoutExpired."""
        if self._ended(timeout) is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self.returncode

    def _ended(self, seconds):
        if self.returncode is None and select.select([self._connection], [], [], seconds)[0]:
            answer = self._answers.readline()
            assert answer, "the fork server died"
            ended = json.loads(answer)
            self.returncode, self.mib = ended["status"], ended["mib"]
            self._answers.close()
            self._connection.close()
        return self.returncode

    def send_signal(self, number):
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self):
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill_all(self):
        """End it and what it started."""
        if self.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
            self.wait()


start = Forked


def run(words, *, timeout, env=None, cwd=None):
    """Run to the end, as subprocess.run with capture_output and text; raises TimeoutExpired."""
    return run_ranks(words, [os.environ if env is None else env], timeout=timeout, cwd=cwd)


def ranks(number, env):
    """The environments that torchrun gives so many processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host, port = free.getsockname()
    together = {"MASTER_ADDR": host, "MASTER_PORT": str(port)}
    together |= {"WORLD_SIZE": str(number), "LOCAL_WORLD_SIZE": str(number)}
    return [
        {**env, **together, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(number)
    ]


def run_ranks(words, environments, *, timeout, cwd=None):
    """Run one process for each environment to their end: the text of all, the first failure's status.

    Once one has failed, the others have GRACE to end by themselves before they are killed.
    """
    end, failed, expired = time.monotonic() + timeout, 0, False
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        started = []
        try:
            for own in environments:
                started.append(Forked(words, env=own, cwd=cwd, stdout=stdout, stderr=stderr))
            while None in (statuses := [process.poll() for process in started]):
                if not failed and any(statuses):
                    failed = next(filter(None, statuses))
                    end = min(end, time.monotonic() + GRACE)
                if time.monotonic() > end:
                    expired = not failed
                    break
                time.sleep(0.01)
        finally:  # also at pytest's own timeout
            for process in started:
                process.kill_all()
        said = [_text(stdout), _text(stderr)]
    if expired:
        raise subprocess.TimeoutExpired(started[0].args, timeout, *said)
    status = failed or next(filter(None, statuses), 0)
    return subprocess.CompletedProcess(started[0].args, status, *said)


def _text(file):
    file.seek(0)
    return file.read().decode(errors="backslashreplace")
