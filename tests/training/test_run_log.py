"""Writing a log or events may fail, which is reported; the run continues."""

import errno
import logging
import os
import threading

import numpy as np
import pytest
from tensorboard.summary.writer.record_writer import RecordWriter

from keypoint.commands import cli
from keypoint.training.log import RunLog


def full(*arguments):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("from_the_start", [True, False])
def test_events_on_a_full_disk_are_reported_once(
    tmp_path, monkeypatch, warnings, capsys, from_the_start
):
    if from_the_start:
        monkeypatch.setattr(RecordWriter, "write", full)
    log = RunLog(tmp_path, enabled=True)
    log.scalars({"a": 1.0}, 1)
    monkeypatch.setattr(RecordWriter, "write", full)
    for step in range(100):
        log.scalars({"a": 1.0}, step)
        log.picture("b", np.zeros((4, 4, 3), np.uint8), step)
    for thread in threading.enumerate():
        if type(thread).__name__ == "_AsyncWriterThread":
            thread.join(timeout=10)
    log.scalars({"a": 1.0}, 100)
    log.close()
    assert warnings.text.count("tensorboard events cannot be written") == 1
    assert "(No space left on device); continuing without them" in warnings.text
    assert "Traceback" not in capsys.readouterr().err


def test_a_log_file_on_a_full_disk_is_reported_once(tmp_path, capsys):
    (tmp_path / "log.txt").symlink_to("/dev/full")
    cli.log_to(tmp_path)
    cli.keep_log()
    for number in range(5):
        logging.getLogger("keypoint.x").info("line %d", number)
    said = capsys.readouterr().err
    cli.log_to()
    assert said.count("can no longer be written (") == 1
    assert "No space left on device" in said
    assert [line for line in said.splitlines() if line.startswith("line")] == [
        f"line {number}" for number in range(5)
    ]
    assert "Traceback" not in said


def test_a_link_to_a_log_that_does_not_exist_yet_stays(tmp_path):
    (tmp_path / "log.txt").symlink_to(tmp_path / "elsewhere.txt")
    cli.log_to(tmp_path)
    assert not (tmp_path / "elsewhere.txt").exists()
    cli.keep_log()
    logging.getLogger("keypoint.x").info("begun")
    cli.log_to()
    assert "begun" in (tmp_path / "elsewhere.txt").read_text()
    assert (tmp_path / "log.txt").is_symlink()
