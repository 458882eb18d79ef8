"""Boxes drawn on the page: with the mouse, and with a finger on a phone."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keypoint.app.page import Finder
from keypoint.app.server import SETTINGS, serve
from keypoint.data.synthetic.samples import write_samples
from keypoint.prediction.stream import whole_image
from tests import tiny_network
from tests.app import browser as browser_module
from tests.app.browser import WHOLE, chromium, free_port

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:gradio.*")
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
INSIDE = 0.625  # of a square crop's half side: a box grows to 1.25 of its longer side
# Within a pixel, and the picture has become narrower.
LIES_ON_PICTURE = """() => {
    const [one, other] = ["#picture img", ".drawn-boxes"].map(
        name => document.querySelector(name).getBoundingClientRect());
    return one.width < 450 && ["x", "y", "width", "height"].every(
        side => Math.abs(one[side] - other[side]) <= 1);
}"""


@pytest.fixture(scope="module")
def address():
    network = tiny_network.predictor()
    network.model.final_layer.bias.data += 0.5  # all keypoints are drawn
    finder = Finder(network, whole_image, WHOLE)
    with pytest.MonkeyPatch.context() as patch:
        for name in SETTINGS:  # as they were, once this is over
            patch.setenv(name, "True")
        with serve(finder, "127.0.0.1", free_port()) as served:
            yield served


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def photo(request, tmp_path_factory):
    """A real photo and its person; where there is none, a generated one: this is never skipped."""
    try:
        root = request.getfixturevalue("coco_sample")
    except pytest.skip.Exception:
        sample = write_samples(tmp_path_factory.mktemp("samples"))[1]
        return sample.path, sample.boxes_xywh[0]
    content = json.loads((root / "annotations" / "person_keypoints_sample.json").read_text())
    box = next(one["bbox"] for one in content["annotations"] if one["image_id"] == 785)
    return root / "images" / "000000000785.jpg", np.array(box)


@pytest.fixture
def opened(browser, address):
    """Open the page with these options; any error of a script on it fails the test."""
    contexts, faults = [], []

    def open_page(**options):
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(address)
        page.locator("#picture input[type=file]").wait_for(state="attached")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


def upload(page, file, words="1 person,"):
    page.locator("#picture input[type=file]").set_input_files(str(file))
    wait_for_line(page, words)


def find(page, words):
    """Press the button; the picture is another one once there is another result."""
    before = page.locator("#result img").get_attribute("src")
    page.locator("#again").click()
    page.wait_for_function("src => document.querySelector('#result img').src != src", arg=before)
    wait_for_line(page, words)


def wait_for_line(page, words):
    page.wait_for_function("words => document.querySelector('#line textarea').value.includes(words)", arg=words)  # fmt: skip


def wait_for_boxes(page, number):
    """Each is two rectangles."""
    page.wait_for_function("n => document.querySelectorAll('.drawn-boxes rect').length == 2 * n", arg=number)  # fmt: skip


def corners(page, file, box):
    """Two corners of a box of the picture, on the screen."""
    with Image.open(file) as image:
        size = np.array(image.size)
    shown = page.locator("#picture img").bounding_box()
    low, inner = np.array([shown["x"], shown["y"]]), np.array([shown["width"], shown["height"]])
    scale = (inner / size).min()
    low = low + (inner - scale * size) / 2
    return low + scale * box[:2], low + scale * (box[:2] + box[2:])


def draw(page, start, end):
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*(start + end) / 2)
    page.mouse.move(*end)
    page.mouse.up()


def touch(page, paths):
    """Fingers that go along paths (F, steps, 2) on the screen."""
    session = page.context.new_cdp_session(page)
    for number, fingers in enumerate(np.swapaxes(paths, 0, 1)):
        points = [{"x": x, "y": y, "id": finger} for finger, (x, y) in enumerate(fingers)]
        kind = "touchMove" if number else "touchStart"
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_timeout(400)  # Chromium takes a tap that comes sooner for the second of two


def draw_by_finger(page, start, end):
    touch(page, [np.linspace(start, end, 6)])


def saved(page):
    """The JSON that a visitor downloads."""
    with page.expect_download() as download:
        page.locator("#save").click()
    return json.loads(Path(download.value.path()).read_text())


def require_one_person_in(record, box):
    """The box that was drawn, to 2 px, and keypoints within its crop."""
    assert np.shape(record["keypoints"]) == (1, 17, 2)
    np.testing.assert_allclose(record["boxes"], [box], atol=2)
    away = np.abs(np.array(record["keypoints"]) - (box[:2] + box[2:] / 2))
    assert away.max() <= INSIDE * max(box[2:]) + 2


def test_boxes_are_drawn_with_the_mouse_and_removed(opened, photo):
    file, box = photo
    page = opened(viewport={"width": 1280, "height": 900})
    upload(page, file)
    start, end = corners(page, file, box)
    draw(page, end, start)  # from any corner
    wait_for_boxes(page, 1)
    find(page, "1 person,")
    require_one_person_in(saved(page), box)

    draw(page, start, start + 3)  # a click
    wait_for_boxes(page, 1)
    draw(page, start, end + 3000)  # further than the picture
    wait_for_boxes(page, 2)
    find(page, "2 persons,")
    x, y, width, height = saved(page)["boxes"][1]
    with Image.open(file) as image:
        assert (x + width, y + height) == image.size
    page.locator("#remove-last").click()
    wait_for_boxes(page, 1)
    page.set_viewport_size({"width": 900, "height": 900})
    page.wait_for_function(LIES_ON_PICTURE)
    page.locator("#remove-all").click()
    wait_for_boxes(page, 0)
    find(page, "1 person,")
    with Image.open(file) as image:
        assert saved(page)["boxes"] == [[0, 0, *image.size]]
    draw(page, start, end)
    wait_for_boxes(page, 1)
    page.locator("#picture button[aria-label='Remove Image']").click()
    wait_for_line(page, "No picture yet")
    assert page.locator(".drawn-boxes").count() == 0
    upload(page, file)
    page.locator(".drawn-boxes").wait_for()
    wait_for_boxes(page, 0)


def test_the_picture_is_shown_as_it_is_read(opened, tmp_path):
    """80 x 120 for people; Chromium would show this WebP 120 x 80, and boxes would be elsewhere."""
    turned = Image.Exif()
    turned[0x0112] = 6
    pixels = np.random.default_rng(0).integers(0, 256, (80, 120, 3), np.uint8)
    page = opened()
    for name in ("a.jpg", "a.png", "a.webp"):
        Image.fromarray(pixels).save(tmp_path / name, exif=turned)
        upload(page, tmp_path / name, "80 x 120 pixels, turned upright")
        page.wait_for_function("document.querySelector('.drawn-boxes')?.getAttribute('viewBox') == '0 0 80 120'")  # fmt: skip


def test_a_phone(opened, photo, tmp_path):
    file, box = photo
    page = opened(**PHONE, color_scheme="dark")
    upload(page, file)
    start, end = corners(page, file, box)
    draw_by_finger(page, start, end)
    wait_for_boxes(page, 1)
    assert page.evaluate("scrollY") == 0
    draw_by_finger(page, *corners(page, file, np.array([5, 5, 40, 60])))
    wait_for_boxes(page, 2)
    page.locator("#remove-last").tap()
    wait_for_boxes(page, 1)
    find(page, "1 person,")
    require_one_person_in(saved(page), box)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    for name in ("picture", "result", "remove-last", "remove-all", "again", "save", "threshold"):
        place = page.locator(f"#{name}").bounding_box()
        assert 0 <= place["x"] < place["x"] + place["width"] <= 390
        assert place["height"] >= 40  # a finger's width is 7 to 10 mm
    shown = page.locator("#picture img").bounding_box()
    assert shown["x"] >= 0
    assert shown["x"] + shown["width"] <= 390

    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    page.locator("#picture button[aria-label='Remove Image']").tap()
    wait_for_line(page, "No picture yet")
    upload(page, tmp_path / "broken.png", "broken.png: truncated PNG")
    toast = page.get_by_test_id("toast-body").bounding_box()
    assert 0 <= toast["x"] < toast["x"] + toast["width"] <= 390
    assert page.locator("#picture img, .drawn-boxes").count() == 0

    upload(page, file)
    start, end = corners(page, file, box)
    centre = (start + end) / 2
    touch(page, [np.linspace(centre - 10, start, 6), np.linspace(centre + 10, end, 6)])
    assert page.evaluate("visualViewport.scale") > 1.2
    wait_for_boxes(page, 0)


@pytest.mark.parametrize(("set_by_ci", "outcome"), [("", pytest.skip), ("1", pytest.fail)])
def test_without_a_browser_these_tests_are_skipped_but_fail_in_ci(monkeypatch, set_by_ci, outcome):
    monkeypatch.setenv("REQUIRE_BROWSER", set_by_ci)
    monkeypatch.setattr(browser_module, "PROGRAMS", ("no-such-browser",))
    outcomes = (pytest.skip.Exception, pytest.fail.Exception)  # a skip in here must not skip this
    with pytest.raises(outcomes, match="apt install chromium") as raised, chromium():
        pass
    assert raised.type is outcome.Exception
