"""Fixtures that many tests use."""

import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)

REPOSITORY = Path(__file__).parents[1]
# Files of 25 s of CPU and more, the longest first: one that is begun last keeps one of two processes busy alone.
LONGEST = (
    "blocks/test_contract.py",
    "export/test_export.py",
    "readme/test_commands.py",
    "end_to_end/test_processes.py",
    "end_to_end/test_kill.py",
    "end_to_end/test_signs.py",
    "end_to_end/test_train.py",
    "end_to_end/test_predict.py",
    "hostile/test_hostile_predict.py",
    "export/test_onnx_predictor.py",
    "models/test_complexity.py",
)
DISK_BYTES = 5e9  # free at the start; at most 3.2 were seen in use at a time


@pytest.fixture(scope="session")
def coco_sample() -> Path:
    """The folder of 39 real COCO images with annotations; it is not part of the project."""
    folder = Path(os.environ.get("KEYPOINT_COCO_SAMPLE", REPOSITORY.parent / "shared" / "coco"))
    if not (folder / "annotations" / "person_keypoints_sample.json").is_file():
        pytest.skip(f"the COCO sample is not at {folder}; set KEYPOINT_COCO_SAMPLE")
    return folder


@pytest.fixture
def warnings(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> pytest.LogCaptureFixture:
    """The toolkit's warnings, in `warnings.text`."""
    monkeypatch.setattr(logging.getLogger("keypoint"), "propagate", True)
    caplog.set_level(logging.WARNING, "keypoint")
    return caplog


@pytest.fixture(autouse=True)
def decoder_as_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands silence FFmpeg by a variable of the process, which later tests would inherit."""
    monkeypatch.delenv("OPENCV_FFMPEG_LOGLEVEL", raising=False)


@pytest.fixture(scope="module", autouse=True)
def leave_nothing(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Remove what a file's fixtures wrote, unless a test of it failed: together it is 8 GB.

    Folders of a whole session's fixtures begin with `session_` and stay.
    """
    base = tmp_path_factory.getbasetemp()
    before, failed = set(base.iterdir()), request.session.testsfailed
    yield
    if request.session.testsfailed == failed:
        for folder in set(base.iterdir()) - before:
            if not folder.name.startswith("session_"):
                shutil.rmtree(folder, ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the files of `LONGEST` first, the others in the order of their names."""
    places = {REPOSITORY / "tests" / file: place for place, file in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


def pytest_sessionstart(session: pytest.Session) -> None:
    """A full disk fails hundreds of tests, each with another message: said once, beforehand."""
    folder = Path(tempfile.gettempdir())
    free = shutil.disk_usage(folder).free
    if "MIN_TESTS" in os.environ and free < DISK_BYTES:
        pytest.exit(
            f"{folder} has {free / 1e9:.1f} GB free, the tests need {DISK_BYTES / 1e9:.0f}; free some "
            "space or set TMPDIR to another folder",
            returncode=1,
        )


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """`make test` says how many tests there must be, so that nothing can hide some of them."""
    least = int(os.environ.get("MIN_TESTS", "0"))
    whole = len(session.config.args) == 1 and session.config.args[0].endswith("tests")
    if whole and exitstatus == 0 and session.testscollected < least:
        sys.stdout.write(f"\nonly {session.testscollected} tests collected, MIN_TESTS={least}\n")
        session.exitstatus = 1
