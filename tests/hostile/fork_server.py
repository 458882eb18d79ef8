"""Runs commands, each in a process and with limits of its own, without loading torch for each

Run as `python -m tests.hostile.fork_server`: jobs as JSON on stdin, what came of them on stdout.
It loads every command once and forks for each job. A job is {tool, argv, folder, seconds, mib}: the
child works in `folder`, may take that much memory beyond what is loaded, and is killed when the
time is over. No tensor is computed here, so that no thread is lost in a fork.
"""

import contextlib
import importlib
import json
import os
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
AT_ONCE = 2
KILLED_FOR_TIME = -signal.SIGKILL


def address_space():
    """Bytes of it that this process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def child(main, job, output):
    """The process of one job; does not return."""
    os.setsid()
    for number in (1, 2):
        os.dup2(output.fileno(), number)
    os.chdir(job["folder"])
    limit = address_space() + (job["mib"] << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    from keypoint.commands import cli

    status = 99
    try:
        status = cli.run(main, job["argv"])
    except SystemExit as error:  # argparse
        status = error.code if isinstance(error.code, int) else 98
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def start(mains, job):
    output = tempfile.TemporaryFile()  # noqa: SIM115 (closed when the job has ended)
    begin = time.monotonic()
    pid = os.fork()
    if pid == 0:
        child(mains[job["tool"]], job, output)
    return {"pid": pid, "begin": begin, "output": output, "job": job}


def ended(running):
    """What came of a job, or None while it runs."""
    pid, status, usage = os.wait4(running["pid"], os.WNOHANG)
    seconds = time.monotonic() - running["begin"]
    if not pid:
        if seconds < running["job"]["seconds"]:
            return None
        os.killpg(running["pid"], signal.SIGKILL)
        _, status, usage = os.wait4(running["pid"], 0)
    output = running["output"]
    output.seek(0)
    text = output.read().decode(errors="backslashreplace")
    output.close()
    return {
        "status": os.waitstatus_to_exitcode(status),  # of a signal: minus its number
        "text": text,
        "mib": usage.ru_maxrss / 1024,
        "seconds": seconds,
    }


def serve(jobs):
    """What came of each job, in their order."""
    names = {job["tool"] for job in jobs}
    mains = {name: importlib.import_module(name).main for name in names}
    waiting = list(enumerate(jobs))[::-1]
    running, done = {}, {}
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            place, job = waiting.pop()
            running[place] = start(mains, job)
        for place in list(running):
            outcome = ended(running[place])
            if outcome is not None:
                done[place] = outcome
                del running[place]
        time.sleep(0.005)
    return [done[place] for place in range(len(jobs))]


if __name__ == "__main__":
    outcomes = serve(json.load(sys.stdin))
    json.dump(outcomes, sys.stdout)
