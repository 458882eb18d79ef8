"""Chromium without a window, and a picture of the web page by it, for the documentation:

python -m tests.app.browser output/demo/best.pt docs/images/app.jpg
"""

import os
import shutil
import socket
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from keypoint.app.page import Finder
from keypoint.app.server import serve
from keypoint.prediction.predictor import Predictor
from keypoint.prediction.stream import whole_image

WHOLE = "Without boxes, one person fills the picture"
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
QUIET = (  # nothing of a browser's own business
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    "--no-sandbox",  # as root it does not start with one
)


@contextmanager
def chromium():
    """A browser with an empty profile; without one the test is skipped, or fails in CI."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        without('no playwright; pip install -e ".[test]"')
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        without("no chromium on PATH; on Debian: apt install chromium")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=found, args=list(QUIET))
        yield browser
        browser.close()


def without(reason):
    """A test that never runs proves nothing: `.ci/run` sets REQUIRE_BROWSER."""
    if os.environ.get("REQUIRE_BROWSER"):
        pytest.fail(f"{reason} (REQUIRE_BROWSER is set, so this is no reason to skip)")
    pytest.skip(reason)


def free_port():
    """Of 127.0.0.1, at this moment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def take_picture(checkpoint, picture):
    """The page with the fourth sample."""
    finder = Finder(Predictor.from_checkpoint(checkpoint), whole_image, WHOLE)
    with serve(finder, "127.0.0.1", free_port()) as address, chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(address)
        page.locator("#samples .gallery-item").nth(3).click()
        page.locator("#result img").wait_for()
        page.locator(".drawn-boxes rect").first.wait_for()
        page.mouse.move(0, 0)
        page.evaluate("scrollTo(0, 0)")
        page.wait_for_timeout(2000)  # everything has faded in
        picture.parent.mkdir(exist_ok=True)
        page.screenshot(path=picture, type="jpeg", quality=82)


if __name__ == "__main__":
    take_picture(*map(Path, sys.argv[1:]))
