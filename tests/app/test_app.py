"""The web page: its functions, its server over HTTP, and the page in Chromium."""

import io
import json
import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from keypoint.app import picture
from keypoint.app import server as app_server
from keypoint.app.page import Finder
from keypoint.app.picture import (
    describe_found,
    draw_found,
    find_on_picture,
    read_boxes,
    record_of_found,
    write_upright,
)
from keypoint.commands import app as app_command
from keypoint.data.images.upright import read_upright
from keypoint.data.synthetic.samples import IMAGE_SIZE, write_samples
from keypoint.errors import ConfigError, DataError
from keypoint.prediction.stream import whole_image
from tests import tiny_network
from tests.app.browser import WHOLE, chromium, free_port
from tests.calling import tool, words

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:gradio.*")  # pandas 4 is near
META = {"_type": "gradio.FileData"}  # of a file, as gradio marks it
BOXES = np.array([[10.0, 5.0, 40.0, 60.0], [50.0, 20.0, 30.5, 50.0]])


def noise(height, width, seed=0):
    small = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height)))


def photo(path, orientation=6):
    """80 x 120 as stored, 120 x 80 for people."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(noise(80, 120)).save(path, exif=exif, quality=95)
    return path


def network():
    """Its keypoints' scores rise from about 0.1 to about 0.9."""
    made = tiny_network.predictor()
    made.model.final_layer.bias.data += torch.linspace(0.1, 0.9, 17)
    return made


class Counting:
    """A predictor that counts; everything else is the real one's."""

    def __init__(self):
        self.real = network()
        self.calls = 0

    def __call__(self, *given):
        self.calls += 1
        return self.real(*given)

    def __getattr__(self, name):
        return getattr(self.real, name)


def expected(file, boxes=None):
    """The JSON, from the predictor itself."""
    image, orientation = read_upright(file)
    found = network()(image, boxes)
    return {
        "image_id": 1,
        "file": file.name,
        "frame": None,
        "seconds": 0.0,
        "width": image.shape[1],
        "height": image.shape[0],
        "exif_orientation": orientation,
        "boxes": found.boxes.round(3).tolist(),
        "box_scores": [1.0] * len(found.boxes),
        "keypoints": found.keypoints.astype(float).round(3).tolist(),
        "scores": found.scores.astype(float).round(6).tolist(),
        "picture": None,
        "keypoint_names": list(tiny_network.SKELETON.keypoints),
    }


# Functions


@pytest.mark.parametrize("boxes", [None, BOXES])
def test_the_record_is_what_the_predictor_says_of_the_upright_photo(tmp_path, boxes):
    file = photo(tmp_path / "photo.jpg")
    found = find_on_picture(file, network(), whole_image, boxes)
    assert record_of_found(found, tiny_network.SKELETON) == expected(file, boxes)
    assert expected(file)["boxes"] == [[0, 0, 80, 120]]
    assert found.predicted.frame.image is None
    persons = "1 person," if boxes is None else "2 persons,"
    line = describe_found(found, 0.2)
    assert line.startswith(persons)
    assert line.endswith("80 x 120 pixels, turned upright")


def test_a_large_picture_is_drawn_small_at_the_right_places(tmp_path, monkeypatch):
    """Red where the first keypoint is drawn, next to where it is on the large picture."""
    monkeypatch.setattr(picture, "SHOWN_SIDE", 100)
    Image.fromarray(np.full((200, 400, 3), 255, np.uint8)).save(tmp_path / "a.png")
    found = find_on_picture(tmp_path / "a.png", network(), whole_image)
    assert found.shown.shape == (50, 100, 3)
    found.predicted.keypoints[:] = [300.0, 80.0]
    found.predicted.scores[:] = 1
    drawn = draw_found(found, tiny_network.SKELETON, 0.5)
    rows, columns = np.nonzero((drawn < 250).any(axis=2))
    assert (columns.mean(), rows.mean()) == pytest.approx((74.6, 19.6), abs=0.5)
    np.testing.assert_array_equal(found.shown, 255)
    found.predicted.scores[:] = 0.4
    np.testing.assert_array_equal(draw_found(found, tiny_network.SKELETON, 0.5), 255)
    assert describe_found(found, 0.5) == "1 person, 0 of 17 keypoints above 0.50; 400 x 200 pixels"


def test_a_picture_without_persons_is_no_fault(tmp_path):
    file = photo(tmp_path / "photo.jpg")
    found = find_on_picture(
        file, network(), lambda frames: [(np.zeros((0, 4)), np.zeros(0)) for _ in frames]
    )
    assert describe_found(found, 0.2) == "no person was found; 80 x 120 pixels"
    assert record_of_found(found, tiny_network.SKELETON)["keypoints"] == []
    drawn = draw_found(found, tiny_network.SKELETON, 0.2)
    np.testing.assert_array_equal(drawn, read_upright(file)[0])


def test_boxes_of_a_table():
    assert read_boxes([]) is None
    assert read_boxes([["", "", "", ""], [None] * 4]) is None
    rows = [BOXES[0].tolist(), ["", None, "", ""], ["50", 20, 30.5, "50"]]
    np.testing.assert_array_equal(read_boxes(rows), BOXES)
    for row in ([1, 2, 3], [1, 2, 3, 4, 5], [1, 2, 3, "x"], [1, 2, 3, None], [1, 2, 3, [4]]):
        with pytest.raises(DataError, match=r"box 1 is \[.*\]; give x y width height, four"):
            read_boxes([[1, 2, 3, 4], row])
    with pytest.raises(DataError, match=r"101 person boxes are too many; give at most 100"):
        read_boxes([[1, 2, 3, 4]] * 101)


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ([80, 0, 9, 9], "outside the image of 80 x 120 pixels"),
        ([0, -10, 9, 9], "outside the image"),
        ([0, 0, 0, 9], "with positive sides"),
        (["nan", 0, 9, 9], "give finite"),
    ],
)
def test_boxes_that_no_person_can_have(tmp_path, box, words):
    file = photo(tmp_path / "photo.jpg")
    with pytest.raises(DataError, match=f"box 1 is .*{words}"):
        find_on_picture(file, network(), whole_image, read_boxes([[1, 2, 30, 40], box]))


def test_messages_hide_the_folder_of_uploads(tmp_path):
    (tmp_path / "a.jpg").write_text("no picture")
    with pytest.raises(DataError, match=r"^a\.jpg: not a JPEG, PNG, BMP or WebP image"):
        find_on_picture(tmp_path / "a.jpg", network(), whole_image)


@pytest.mark.parametrize("form", ["png", "webp"])
def test_a_picture_that_exif_turns_is_shown_as_it_is_read(tmp_path, form):
    """Chromium leaves a WebP as it is stored; boxes drawn on that would be elsewhere."""
    for orientation in range(2, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        file = tmp_path / f"a{orientation}.{form}"
        Image.fromarray(noise(80, 120)).save(file, exif=exif)
        shown = write_upright(file, tmp_path)
        assert (shown.name, shown.parents[1]) == (f"a{orientation}.png", tmp_path)
        expected, turned = read_upright(file)
        assert turned == orientation
        with Image.open(shown) as image:
            np.testing.assert_array_equal(np.asarray(image), expected)
            assert not image.getexif()


def test_other_pictures_are_shown_as_they_are(tmp_path):
    Image.fromarray(noise(80, 120)).save(tmp_path / "a.webp")
    files = [photo(tmp_path / "turned.jpg"), tmp_path / "a.webp"]
    assert [write_upright(file, tmp_path) for file in files] == [None, None]
    assert sorted(tmp_path.iterdir()) == sorted(files)


def test_samples_show_whole_persons_in_their_boxes(tmp_path):
    alone, *several = write_samples(tmp_path)
    assert len(alone.boxes_xywh) == 0
    assert [len(sample.boxes_xywh) for sample in several] == [2, 2, 3, 3]
    for sample in several:
        with Image.open(sample.path) as image:
            assert image.size == IMAGE_SIZE[::-1]
        low, high = sample.boxes_xywh[:, :2], sample.boxes_xywh[:, :2] + sample.boxes_xywh[:, 2:]
        assert (low > 0).all()
        assert (high < IMAGE_SIZE[::-1]).all()


def test_a_network_that_looks_for_something_else_gets_no_persons_to_try(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    skeleton = SimpleNamespace(name="signs", num_keypoints=3)
    signs = SimpleNamespace(skeleton=skeleton, only_generated=False)
    with app_server.serve(Finder(signs, whole_image, WHOLE), "127.0.0.1", free_port()):
        assert not list(tmp_path.glob("**/*.jpg"))


def test_only_loopback_is_silent():
    assert all(map(app_server.is_loopback, ("127.0.0.1", "127.8.8.8", "::1", "localhost")))
    assert not any(map(app_server.is_loopback, ("0.0.0.0", "::", "10.0.0.3", "box.example")))  # noqa: S104


def test_without_gradio_the_command_says_what_to_install(monkeypatch, capsys):
    for name in app_server.SETTINGS:  # as they were, once this is over
        monkeypatch.setenv(name, "True")
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert tool("app", "--checkpoint", "none.pt") == 2
    said = capsys.readouterr().err
    assert 'pip install -e ".[app]"' in said
    assert len(said.splitlines()) <= 3


@pytest.fixture
def served(monkeypatch):
    """What the command serves, which ends at once instead."""
    finders = []

    @contextmanager
    def note(finder, host, port):
        finders.append(finder)
        yield f"http://{host}:{port}/"
        raise AssertionError("nobody pressed Ctrl-C")

    class Pressed:
        def wait(self):
            raise KeyboardInterrupt

    for name in app_server.SETTINGS:  # as they were, once this is over
        monkeypatch.setenv(name, "True")
    monkeypatch.setattr(app_command, "serve", note)
    monkeypatch.setattr(app_command, "threading", SimpleNamespace(Event=Pressed))
    return finders


def test_the_command_takes_a_checkpoint_or_weights_by_name(served, tmp_path, capsys):
    tiny_network.checkpoint(tmp_path / "model.pt")
    for given in (["--checkpoint", tmp_path / "model.pt"], ["--weights", tmp_path]):
        assert tool("app", *given, "--device", "cpu", "--flip") == 130
    said = "Open http://127.0.0.1:7860/ in a browser; Ctrl-C ends the server.\n"
    assert capsys.readouterr().out == 2 * said
    assert all(finder.predictor.flip_indices is not None for finder in served)
    one, other = (finder.predictor(noise(64, 64)).keypoints for finder in served)
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "one of the arguments --checkpoint --weights is required"),
        (["--checkpoint", "a.pt", "--weights", "b"], "--weights: not allowed with argument"),
    ],
)
def test_the_command_takes_one_network(capsys, words, said):
    with pytest.raises(SystemExit, match="2"):
        tool("app", *words)
    assert said in capsys.readouterr().err


def test_weights_that_do_not_exist(served, capsys):
    assert tool("app", "--weights", "./absent") == 4
    assert "./absent: no such folder; give a folder" in capsys.readouterr().err
    assert served == []


# The server


@pytest.fixture(scope="module")
def contacted():
    """Every address that this process connects to or asks a name server for."""
    seen = []
    connect, ask = socket.socket.connect, socket.getaddrinfo

    def noted_connect(self, address):
        seen.append(address[0] if isinstance(address, tuple) else address)
        return connect(self, address)

    def noted_ask(host, *rest, **options):
        seen.append(host)
        return ask(host, *rest, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", noted_connect)
        patch.setattr(socket, "getaddrinfo", noted_ask)
        yield seen


@pytest.fixture(scope="module")
def counting():
    return Counting()


@pytest.fixture(scope="module")
def address(contacted, counting):
    finder = Finder(counting, whole_image, WHOLE)
    with pytest.MonkeyPatch.context() as patch:
        for name in app_server.SETTINGS:  # as they were, once this is over
            patch.setenv(name, "True")
        with app_server.serve(finder, "127.0.0.1", free_port()) as served:
            yield served


@pytest.fixture(scope="module")
def client(address):
    from gradio_client import Client
    from huggingface_hub import constants

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_OFFLINE", True)  # the client, not the server, asks there
        return Client(address, verbose=False, analytics_enabled=False)


def table(rows):
    """Boxes as the page sends them."""
    return {"headers": ["x", "y", "width", "height"], "data": rows, "metadata": None}


def submit(client, file, boxes=()):
    """A job whose result is the drawn picture's file, the line, the record, the download button."""
    from gradio_client import handle_file

    return client.submit(handle_file(str(file)), table(list(boxes)), 0.2, api_name="/find")


def ask(client, file, boxes=()):
    return submit(client, file, boxes).result(timeout=60)


def test_an_upload_is_answered_as_the_predictor_would(client, tmp_path):
    file = photo(tmp_path / "photo.jpg")
    drawn, line, record, save = ask(client, file, BOXES.tolist())
    assert record == expected(file, BOXES)
    assert Path(save["value"]).name == "photo.keypoints.json"
    assert json.loads(Path(save["value"]).read_text()) == record
    assert "2 persons" in line
    with Image.open(drawn) as image:
        assert image.size == (80, 120)


def test_programs_are_offered_one_endpoint(client):
    offered = client.view_api(return_format="dict", print_info=False)
    assert list(offered["named_endpoints"]) == ["/find"]
    assert offered["unnamed_endpoints"] == {}


def test_visitors_at_one_time_get_their_own(client, tmp_path):
    files = [tmp_path / f"{number}.png" for number in range(6)]
    for number, file in enumerate(files):
        Image.fromarray(noise(80 + 8 * number, 120, number)).save(file)
    for file, job in [(file, submit(client, file)) for file in files]:
        assert job.result(timeout=60)[2] == expected(file)


def test_a_broken_upload_is_reported_and_the_server_continues(client, tmp_path):
    (tmp_path / "cut.jpg").write_bytes(photo(tmp_path / "photo.jpg").read_bytes()[:900])
    drawn, line, record, _ = ask(client, tmp_path / "cut.jpg")
    assert "cut.jpg: truncated JPEG" in line
    assert (drawn, record) == (None, None)
    line = ask(client, tmp_path / "photo.jpg", [["<b>1</b>", 2, 3, 4]])[1]
    assert "box 0 is ['<b>1</b>', 2, 3, 4]; give x y width height" in line
    assert "1 person" in ask(client, tmp_path / "photo.jpg")[1]


def test_pillow_decodes_no_upload(client, tmp_path, monkeypatch):
    """It has other limits, and reads fifty formats that are not checked here."""
    Image.fromarray(noise(80, 120)).save(tmp_path / "a.gif")
    opened = []
    monkeypatch.setattr(Image, "open", lambda file, *_, **__: opened.append(file))
    _, line, _, _ = ask(client, tmp_path / "a.gif")
    assert "a.gif: not a JPEG, PNG, BMP or WebP image" in line
    assert opened == []


def ask_raw(address, given):
    """The server's answer to a program that is not gradio's client, which uploads files itself."""
    import httpx

    where = f"{address}gradio_api/call/find"
    asked = httpx.post(where, json={"data": [given, table([]), 0.2]})
    return httpx.get(f"{where}/{asked.json()['event_id']}", timeout=30).text


@pytest.mark.parametrize("meta", [META, None])
def test_no_file_of_the_server_is_read(client, address, tmp_path, counting, meta):
    """A program may send any path instead of an upload."""
    before = counting.calls
    secret = photo(tmp_path / "secret.jpg")
    said = ask_raw(address, {"path": str(secret)} | ({"meta": meta} if meta else {}))
    assert said.startswith("event: error") or "secret.jpg: was not uploaded" in said
    assert counting.calls == before
    ask(client, secret)  # as an upload it is
    assert counting.calls == before + 1


def test_an_upload_that_is_deleted_by_now(address, tmp_path):
    import httpx

    with photo(tmp_path / "photo.jpg").open("rb") as content:
        where = f"{address}gradio_api/upload"
        [uploaded] = httpx.post(where, files={"files": ("photo.jpg", content)}).json()
    given = {"path": uploaded, "meta": META}
    assert "1 person" in ask_raw(address, given)
    Path(uploaded).unlink()
    assert "photo.jpg: was deleted after 60 minutes; upload it again" in ask_raw(address, given)


def test_no_url_is_fetched(address, contacted):
    given = {"path": "http://192.0.2.1/a.jpg", "meta": META}
    assert "this page does not download URLs" in ask_raw(address, given)
    assert "192.0.2.1" not in contacted


def test_too_large_an_upload_is_refused(client, address, monkeypatch):
    import httpx

    assert app_server.MAX_UPLOAD == 64 * 2**20
    content = bytes(app_server.MAX_UPLOAD + 1)
    answer = httpx.post(f"{address}gradio_api/upload", files={"files": ("a.jpg", content)})
    assert answer.status_code == 413


def test_a_taken_port_is_an_error_of_the_command_line(address, tmp_path):
    finder = Finder(network(), whole_image, WHOLE)
    port = int(address.rstrip("/").rpartition(":")[2])
    with (
        pytest.raises(ConfigError, match="cannot be served .*another --port"),
        app_server.serve(finder, "127.0.0.1", port),
    ):
        pass


def test_files_are_deleted_in_time_and_samples_are_not(tmp_path, monkeypatch):
    """Uploads, drawn pictures and JSON files; also if a sample or a folder was asked for."""
    import httpx

    monkeypatch.setattr(app_server, "SWEEP_S", 1)
    monkeypatch.setattr(app_server, "KEPT_S", 2)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    content = photo(tmp_path / "photo.jpg").read_bytes()

    def files():
        return {file for file in tmp_path.glob("**/*") if file.is_file()}

    with app_server.serve(
        Finder(network(), whole_image, WHOLE), "127.0.0.1", free_port()
    ) as served:
        before = files()
        sample = next(tmp_path.glob("keypoint-app-*/sample_1.jpg"))
        where = f"{served}gradio_api/upload"
        [uploaded] = httpx.post(where, files={"files": ("a.jpg", content)}).json()
        assert Path(uploaded).is_relative_to(tmp_path)
        for folder in (Path(uploaded).parent, sample.parent):  # the upload's, and of all uploads
            assert "was not uploaded" in ask_raw(served, {"path": str(folder), "meta": META})
        for path in (uploaded, str(sample)):
            assert "1 person" in ask_raw(served, {"path": path, "meta": META})
        made = files() - before
        assert sorted(file.suffix for file in made) == [".jpg", ".json", ".json", ".webp", ".webp"]
        end = time.monotonic() + 30
        while files() != before and time.monotonic() < end:
            time.sleep(0.1)
        assert files() == before
    assert list(tmp_path.iterdir()) == [tmp_path / "photo.jpg"]


def test_the_sweep_passes_files_that_it_cannot_delete(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(app_server, "SWEEP_S", 0.01)
    monkeypatch.setattr(app_server, "KEPT_S", 0.05)
    delete = Path.unlink

    def refuse(path, missing_ok=False):
        if path.name == "stuck":
            raise PermissionError(1, "Operation not permitted")
        delete(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    (tmp_path / "sample").touch()
    (tmp_path / "folder.jpg").mkdir()
    with app_server._swept(tmp_path):
        for name in ("a", "stuck", "z", "folder.jpg/b"):
            (tmp_path / name).touch()
        end = time.monotonic() + 30
        while len(list(tmp_path.rglob("*"))) > 3 and time.monotonic() < end:
            time.sleep(0.01)
    left = {path.name for path in tmp_path.rglob("*")}
    assert left == {"sample", "stuck", "folder.jpg"}
    assert "stuck: cannot be deleted (Operation not permitted)" in caplog.messages[0]


def test_the_command_serves_loopback_only_and_leaves_nothing(tmp_path):
    checkpoint = tiny_network.checkpoint(tmp_path / "best.pt")
    port = free_port()
    command = words("app", "--checkpoint", checkpoint)
    process = subprocess.Popen(
        [*command, "--port", str(port)],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert f"Open http://127.0.0.1:{port}/ in a browser" in process.stdout.readline()
        assert list(tmp_path.glob("keypoint-app-*/sample_1.jpg"))
        listening = [
            line.split()[1]
            for table in ("/proc/net/tcp", "/proc/net/tcp6")
            for line in Path(table).read_text().splitlines()[1:]
            if line.split()[3] == "0A" and line.split()[1].endswith(f":{port:04X}")
        ]
        assert listening == [f"0100007F:{port:04X}"]
    finally:
        process.terminate()
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 143, said
    assert said == "stopped by SIGTERM\n"
    assert list(tmp_path.iterdir()) == [checkpoint]


# The page


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


def wait_for_line(page, words):
    page.wait_for_function("words => document.querySelector('#line textarea').value.includes(words)", arg=words)  # fmt: skip


def box_cells(page):
    return page.locator("#boxes [role=gridcell]")


def test_the_page_in_a_browser(browser, address, counting, tmp_path):
    file = photo(tmp_path / "photo.jpg")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    page = browser.new_page(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    requests, faults = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(address)
    upload = page.locator("#picture input[type=file]")
    upload.wait_for(state="attached")
    assert page.locator("#save").is_disabled()

    before = counting.calls
    upload.set_input_files(str(file))
    scores = np.array(expected(file)["scores"])
    shown = [(scores > threshold).sum() for threshold in (0.2, 0.52)]
    assert 17 > shown[0] > shown[1] > 0
    wait_for_line(page, f"{shown[0]} of 17 keypoints above 0.20; 80 x 120 pixels, turned upright")
    assert counting.calls == before + 1
    first = page.locator("#result img").get_attribute("src")

    page.locator("#threshold input[type=number]").fill("0.52")
    wait_for_line(page, f"{shown[1]} of 17 keypoints above 0.52")
    page.wait_for_function("src => document.querySelector('#result img').src != src", arg=first)
    assert counting.calls == before + 1  # drawn again, not predicted again

    with page.expect_download() as download:
        page.locator("#save").click()
    assert download.value.suggested_filename == "photo.keypoints.json"
    assert json.loads(Path(download.value.path()).read_text()) == expected(file)

    page.locator("#samples .gallery-item").nth(3).click()
    wait_for_line(page, "3 persons")
    page.get_by_text("Person boxes").click()
    box_cells(page).nth(11).wait_for()
    assert box_cells(page).count() == 12
    box_cells(page).first.dblclick()
    page.keyboard.press("Control+A")
    page.keyboard.type("-900")
    page.keyboard.press("Enter")
    page.locator("#again").click()
    wait_for_line(page, "box 0 is [-900.0, ")
    assert "outside the image" in page.locator("#line textarea").input_value()
    page.get_by_test_id("toast-body").get_by_text("outside the image").wait_for()

    page.locator("#picture button[aria-label='Remove Image']").click()
    wait_for_line(page, "No picture yet")
    page.wait_for_function("document.querySelectorAll('#boxes [role=gridcell]').length == 4")
    upload.set_input_files(str(tmp_path / "broken.png"))
    wait_for_line(page, "broken.png: truncated PNG")
    assert page.locator("#save").is_disabled()
    assert page.locator("#picture img, #result img").count() == 0
    assert not any(character.isdigit() for character in page.inner_text("#boxes [role=grid]"))

    page.locator("#samples .gallery-item").nth(3).click()
    wait_for_line(page, "3 persons")
    seen = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("L"))
    assert len(np.unique(seen)) > 100  # not one colour and some text
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert faults == []
    outside = [u for u in requests if not u.startswith((address, "data:", f"blob:{address}"))]
    assert outside == []
    assert len(requests) > 20


def test_nothing_of_all_this_left_the_machine(contacted, address):
    """Comes last: this process, server and client, from the import of gradio on."""
    assert {host for host in contacted if host is not None} <= {"127.0.0.1", "localhost", "::1"}
