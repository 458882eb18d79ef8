"""A reader of stdout or stderr that goes away, or streams that are closed, change nothing of the work."""

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from keypoint.commands import cli
from keypoint.commands.process import KeptStream, kept_streams
from keypoint.progress import progress

A_COMMAND = """
import sys, time
from pathlib import Path
from keypoint import progress
from keypoint.commands import cli

progress.STEADY_SECONDS = 0

def main(argv):
    cli.log_to(Path(argv[0]))
    cli.keep_log()
    with progress.progress(3, "work", "step") as bar:
        for step in range(3):
            cli.logger.info("step %d", step)
            bar.update()
            time.sleep(0.05)
    with open(Path(argv[0]) / "result", "w") as file:  # gets no closed stream's number
        sys.stdout.write("printed")
        file.write("made")

sys.exit(cli.run(main))
"""


def broken_pipe():
    """The end to write to of a pipe that no process reads."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


@pytest.mark.parametrize("how", ["no reader", "closed"])
def test_a_command_ends_its_work_when_nothing_reads_what_it_prints(tmp_path, how):
    words = [sys.executable, "-c", A_COMMAND, str(tmp_path)]
    if how == "closed":
        done = subprocess.run(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *words], timeout=60)
    else:
        writing = broken_pipe()
        done = subprocess.run(words, stdout=writing, stderr=writing, timeout=60)
        os.close(writing)
    assert done.returncode == 0
    log = (tmp_path / "log.txt").read_text()
    assert [line.partition(": ")[2] for line in log.splitlines()] == ["step 0", "step 1", "step 2"]
    assert (tmp_path / "result").read_text() == "made"


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_text_that_is_not_read_ends_quietly(arguments):
    writing = broken_pipe()
    done = subprocess.run(
        [sys.executable, "-m", "keypoint.commands.main", *arguments],
        stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60,
    )  # fmt: skip
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_result_that_does_not_fit_on_the_disk_is_an_error():
    code = "import sys; from keypoint.commands import cli; sys.exit(cli.run(lambda argv: print('card')))"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert done.returncode == 1
    assert "unexpected OSError: [Errno 28] No space left on device" in done.stderr
    assert "Exception ignored" not in done.stderr


class Refusing(io.StringIO):
    def __init__(self, number, terminal=False):
        super().__init__()
        self.number, self.isatty = number, lambda: terminal

    def write(self, text):
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("number", [errno.EPIPE, errno.EIO, errno.ENOSPC])
def test_a_progress_bar_outlives_its_terminal(monkeypatch, terminal, number):
    monkeypatch.setattr(sys, "stderr", Refusing(number, terminal))
    monkeypatch.setattr("keypoint.progress.STEADY_SECONDS", 0)
    with kept_streams(), progress(3, "work", "step") as bar:
        bar.set_postfix(loss="1")
        bar.update(3)


def test_streams_that_are_none(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    with progress(3, "work", "step") as bar:
        bar.update(3)
    with kept_streams():
        sys.stdout.write("text")
        sys.stderr.write("text")
    assert sys.stdout is None


def test_a_stream_is_itself_while_it_can_be():
    stream = KeptStream(text := io.StringIO(), OSError)
    stream.write("a\n")
    stream.flush()
    assert text.getvalue() == "a\n"
    assert not stream.isatty()
    with pytest.raises(OSError, match="No space"):
        KeptStream(Refusing(errno.ENOSPC), BrokenPipeError).write("a")


def test_what_would_move_the_terminal_is_escaped_on_stdout(capsys):
    """Commands print names of files; lines and letters of other languages stay as they are."""
    with kept_streams():
        sys.stdout.write("written: x\x1b[31m\r\u202e.onnx\nausführlich: 写真.jpg\n")
        sys.stdout.write("not UTF-8: \udcff.jpg\n")
    assert capsys.readouterr().out == (
        "written: x\\x1b[31m\\r\\u202e.onnx\nausführlich: 写真.jpg\nnot UTF-8: \\udcff.jpg\n"
    )


def test_an_unknown_option_is_printable(capsys):
    with pytest.raises(SystemExit):
        cli.parser("keypoint x", "").parse_args(["--fo\x1b[31m"])
    assert "arguments: --fo\\x1b[31m (" in capsys.readouterr().err
