"""A forked process is to its test what a fresh one is: words, streams, environment, signals, status, limits."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests import forked

SLEEP = "import time; print('up', flush=True); time.sleep(100)"


def python(program, *arguments, **options):
    return forked.run([sys.executable, "-c", program, *arguments], timeout=100, **options)


def test_words_folder_environment_and_streams_are_its_own(tmp_path):
    program = (
        "import os, sys; print(sys.argv, os.getcwd(), dict(os.environ), sys.stdin.read(), __name__);"
        "print('é', file=sys.stderr); print(os.getsid(0) == os.getpid())"
    )
    done = python(program, "a b", env={"ONLY": "this"}, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"['-c', 'a b'] {tmp_path} {{'ONLY': 'this'}}  __main__\nTrue\n"
    assert done.stderr == "é\n"


def test_files_and_modules_are_run_as_by_python(tmp_path):
    file = tmp_path / "program.py"
    file.write_text("import sys; print(__name__, __file__, sys.argv)")
    done = forked.run([sys.executable, file, 1], timeout=100)
    assert done.stdout == f"__main__ {file} ['{file}', '1']\n"
    done = forked.run([sys.executable, "-m", "keypoint.commands.main", "--version"], timeout=100)
    assert done.stdout.startswith("keypoint ")
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("program", "status", "words"),
    [
        ("import sys; sys.exit(7)", 7, ""),
        ("import sys; sys.exit('stopped')", 1, "stopped\n"),
        ("import sys; sys.exit()", 0, ""),
        ("1 / 0", 1, "ZeroDivisionError"),
        ("import os; os._exit(9)", 9, ""),
        ("import os; os.kill(os.getpid(), 9)", -signal.SIGKILL, ""),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM, ""),
        ("raise KeyboardInterrupt", -signal.SIGINT, "KeyboardInterrupt"),
        ("import atexit, sys; atexit.register(sys.stderr.write, 'at exit')", 0, "at exit"),
    ],
)
def test_the_status_is_that_of_a_fresh_process(program, status, words):
    found = python(program)
    assert (found.returncode, words in found.stderr) == (status, True), found
    fresh = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (fresh.returncode, words in fresh.stderr) == (status, True), fresh


def test_it_runs_until_a_signal_and_may_handle_it(tmp_path):
    handling = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(3));" + SLEEP
    for program, status in ((SLEEP, -signal.SIGTERM), (handling, 3)):
        with (tmp_path / "said").open("w+") as said:
            process = forked.start([sys.executable, "-c", program], stdout=said)
            while not (tmp_path / "said").read_text():
                assert process.poll() is None
                time.sleep(0.01)
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.01)
            process.terminate()
            assert process.wait(60) == process.poll() == status


def test_what_takes_too_long_is_ended_with_what_it_started():
    program = "import os; print(os.getpid(), flush=True); os.fork();" + SLEEP
    with pytest.raises(subprocess.TimeoutExpired) as error:
        forked.run([sys.executable, "-c", program], timeout=1)
    group = int(error.value.stdout.split()[0])
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    raise AssertionError("it lives on")


def test_memory_is_limited_and_measured(tmp_path):
    take = "import sys; bytearray(int(sys.argv[1]) << 20)"
    with (tmp_path / "said").open("w+") as said:
        few, many = (
            forked.start([sys.executable, "-c", take, mib], stderr=said, mib=200)
            for mib in (50, 400)
        )
        assert (few.wait(60), many.wait(60)) == (0, 1)
    assert "MemoryError" in (tmp_path / "said").read_text()
    assert few.mib > 50


def test_ranks_have_a_number_each_and_end_with_the_first_failure(monkeypatch):
    program = "import os; print(os.environ['RANK'], os.environ['WORLD_SIZE'])"
    words = [sys.executable, "-c", program]
    done = forked.run_ranks(words, forked.ranks(3, os.environ), timeout=100)
    assert sorted(done.stdout.splitlines()) == ["0 3", "1 3", "2 3"]
    monkeypatch.setattr(forked, "GRACE", 0.1)
    one_fails = "import os, sys, time; os.environ['RANK'] == '1' and sys.exit(5); time.sleep(100)"
    done = forked.run_ranks(
        [sys.executable, "-c", one_fails], forked.ranks(2, os.environ), timeout=1000
    )
    assert done.returncode == 5


def test_another_program_is_refused():
    with pytest.raises(AssertionError, match="only this Python is forked"):
        forked.start(["ls"])
