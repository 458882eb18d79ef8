"""Downloads from a local server that fails as servers do: cut connections, no ranges, other files, refusals."""

import fcntl
import hashlib
import http.server
import io
import os
import re
import shutil
import threading
import zipfile
from pathlib import Path

import pytest

from keypoint.commands import cli
from keypoint.data.download import fetch as download
from keypoint.data.download.archives import Archive, obtain, unpack
from keypoint.data.download.fetch import fetch
from keypoint.errors import DataError
from tests.calling import command


class Server(http.server.ThreadingHTTPServer):
    """Files by path, and the faults of each request."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.cuts: list[int | None] = []  # per request: close after so many bytes of the body
        self.statuses: list[int] = []  # per request: answer this and nothing else
        self.ranges = self.lengths = True
        self.content_type: str | None = None
        self.log: list[tuple[str, str | None]] = []
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def url(self, path=""):
        return f"http://127.0.0.1:{self.server_address[1]}/{path}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, path = self.server, self.path.lstrip("/")
        asked = self.headers.get("Range")
        server.log.append((path, asked))
        if server.statuses:
            self.send_error(server.statuses.pop(0))
            return
        if path not in server.files:
            self.send_error(404)
            return
        body = server.files[path]
        start = 0
        if asked and server.ranges:
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
            if start >= len(body):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(body)}")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        if server.content_type:
            self.send_header("Content-Type", server.content_type)
        if server.lengths:
            self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        cut = server.cuts.pop(0) if server.cuts else None
        self.wfile.write(body[start:] if cut is None else body[start : start + cut])
        self.close_connection = True

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, "FIRST_WAIT", 0.01)
    made = Server()
    yield made
    made.shutdown()
    made.server_close()


BODY = os.urandom(50_000)
SIZE = len(BODY)


@pytest.mark.parametrize("lengths", [True, False])
def test_a_cut_connection_is_resumed_where_it_broke(server, tmp_path, monkeypatch, lengths):
    monkeypatch.setattr(download, "ATTEMPTS", 2)  # without a new byte between them
    server.files["a.zip"], server.cuts, server.lengths = BODY, [20_000, 0, 1, 0], lengths
    fetch(server.url("a.zip"), tmp_path / "a.zip", SIZE)
    assert (tmp_path / "a.zip").read_bytes() == BODY
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]  # no part
    asked = [range_ for _, range_ in server.log]
    assert asked == [None, *["bytes=20000-"] * 2, *["bytes=20001-"] * 2]


def test_a_second_run_resumes_the_part_of_the_first(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "ATTEMPTS", 2)
    server.files["a.zip"], server.cuts = BODY, [30_000, 0, 0]
    with pytest.raises(DataError, match=r"2 times in a row; 30000 bytes are kept .* to resume"):
        fetch(server.url("a.zip"), tmp_path / "a.zip", SIZE)
    assert not (tmp_path / "a.zip").exists()
    fetch(server.url("a.zip"), tmp_path / "a.zip", SIZE)
    assert (tmp_path / "a.zip").read_bytes() == BODY
    assert server.log[-1] == ("a.zip", "bytes=30000-")


@pytest.mark.parametrize(("more", "requests"), [(b"", 0), (b"more", 1)])
def test_a_part_as_long_as_the_file_is_taken_and_a_longer_one_starts_over(
    server, tmp_path, more, requests
):
    server.files["a.zip"] = BODY
    (tmp_path / "a.zip.part").write_bytes(BODY + more)
    fetch(server.url("a.zip"), tmp_path / "a.zip", SIZE)
    assert (tmp_path / "a.zip").read_bytes() == BODY
    assert server.log == [("a.zip", None)] * requests


def test_a_server_without_ranges_starts_over(server, tmp_path):
    server.files["a.zip"], server.cuts, server.ranges = BODY, [20_000], False
    fetch(server.url("a.zip"), tmp_path / "a.zip", SIZE)
    assert (tmp_path / "a.zip").read_bytes() == BODY
    assert server.log[1] == ("a.zip", "bytes=20000-")  # asked, and ignored


def test_refusals_are_reported_at_once_and_busy_servers_are_asked_again(
    server, tmp_path, monkeypatch
):
    with pytest.raises(DataError, match=r"b\.zip: the server responded 404 .*check the address"):
        fetch(server.url("b.zip"), tmp_path / "b.zip", SIZE)
    assert len(server.log) == 1
    server.files["a.zip"], server.statuses = BODY, [503, 429]
    fetch(server.url("a.zip"), tmp_path / "a.zip", SIZE)
    assert (tmp_path / "a.zip").read_bytes() == BODY
    server.shutdown()
    server.server_close()
    monkeypatch.setattr(download.time, "sleep", None)
    with pytest.raises(
        DataError, match=r"cannot be reached \(.*[Rr]efused\); check the connection"
    ):
        fetch(server.url("a.zip"), tmp_path / "c.zip", SIZE)
    with pytest.raises(DataError, match=r"cannot be reached"):
        fetch("http://nowhere.invalid/a.zip", tmp_path / "c.zip", SIZE)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_another_size_is_refused_before_a_byte(server, tmp_path):
    server.files["a.zip"] = BODY
    with pytest.raises(DataError, match="announces 50000 bytes, but the file has 49999"):
        fetch(server.url("a.zip"), tmp_path / "a.zip", SIZE - 1)
    assert not list(tmp_path.iterdir())


def test_places_that_cannot_be_written_are_seen_before_a_byte(server, tmp_path):
    (tmp_path / "val2017.zip").mkdir()
    with pytest.raises(DataError, match=r"val2017\.zip: is a folder; move it away"):
        obtain(archive_of(CONTENT), tmp_path, server.url())
    with pytest.raises(DataError, match=r"cannot be written \(File name too long\)"):
        fetch(server.url("a.zip"), tmp_path / ("a" * 300), SIZE)
    assert not server.log
    assert [path.name for path in tmp_path.iterdir()] == ["val2017.zip"]


@pytest.mark.parametrize("first", ["finished", "cut off", "failed"])
def test_two_runs_do_not_write_one_part(server, tmp_path, warnings, first):
    """The second waits; it takes the first's file, continues what the first left, or begins."""
    server.files["a.zip"] = BODY
    part, target = tmp_path / "a.zip.part", tmp_path / "a.zip"
    other = part.open("ab")
    fcntl.flock(other, fcntl.LOCK_EX)
    second = threading.Thread(target=fetch, args=(server.url("a.zip"), target, SIZE))
    second.start()
    while "another process is downloading it" not in warnings.text:
        assert second.is_alive()
    assert not server.log
    if first == "failed":
        part.unlink()
    else:
        other.write(BODY[: SIZE if first == "finished" else 20_000])
        other.flush()
    if first == "finished":
        part.replace(target)
    other.close()
    second.join()
    assert target.read_bytes() == BODY
    asked = {"finished": [], "cut off": [("a.zip", "bytes=20000-")], "failed": [("a.zip", None)]}
    assert server.log == asked[first]
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def sha256(content):
    return hashlib.sha256(content).hexdigest()[:8]


@pytest.mark.parametrize("lengths", [True, False])
def test_a_file_of_unknown_size_is_checked_by_its_hash(server, tmp_path, lengths):
    server.files["a.pth"], server.lengths, server.cuts = BODY, lengths, [20_000] if lengths else []
    fetch(server.url("a.pth"), tmp_path / "a.pth", sha256=sha256(BODY))
    assert (tmp_path / "a.pth").read_bytes() == BODY


def test_a_cut_without_an_announced_length_is_not_taken_for_the_file(server, tmp_path):
    server.files["a.pth"], server.lengths, server.cuts = BODY, False, [20_000]
    with pytest.raises(DataError, match=rf"begins with {sha256(BODY[:20_000])}, that of the file"):
        fetch(server.url("a.pth"), tmp_path / "a.pth", sha256=sha256(BODY))
    assert not list(tmp_path.iterdir())


def test_a_whole_part_of_unknown_size_is_taken(server, tmp_path):
    server.files["a.pth"] = BODY
    (tmp_path / "a.pth.part").write_bytes(BODY)
    fetch(server.url("a.pth"), tmp_path / "a.pth", sha256=sha256(BODY))
    assert server.log == [("a.pth", f"bytes={SIZE}-")]
    assert [path.name for path in tmp_path.iterdir()] == ["a.pth"]


@pytest.mark.parametrize("begun", [b"other" * 100, b"longer" * SIZE])
def test_a_part_of_another_file_starts_over(server, tmp_path, begun):
    server.files["a.pth"] = BODY
    (tmp_path / "a.pth.part").write_bytes(begun)
    fetch(server.url("a.pth"), tmp_path / "a.pth", sha256=sha256(BODY))
    assert (tmp_path / "a.pth").read_bytes() == BODY


def test_a_web_page_with_status_200_is_not_a_file(server, tmp_path):
    server.files["a.pth"] = b"<html>Please log in"
    server.content_type = "text/html; charset=utf-8"
    with pytest.raises(DataError, match="the server sent a web page instead of the file"):
        fetch(server.url("a.pth"), tmp_path / "a.pth", sha256=sha256(BODY))
    server.content_type = None
    with pytest.raises(DataError, match="the SHA-256 of what the server sent begins with"):
        fetch(server.url("a.pth"), tmp_path / "a.pth", sha256=sha256(BODY))
    assert not list(tmp_path.iterdir())


def test_a_disk_too_small_for_the_announced_size_is_seen_before_a_byte(
    server, tmp_path, monkeypatch
):
    server.files["a.pth"] = BODY
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: usage._replace(free=2**28))
    with pytest.raises(DataError, match=r"0.3 GB free; free some space"):
        fetch(server.url("a.pth"), tmp_path / "a.pth", sha256=sha256(BODY))
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_seen_before_unpacking(tmp_path, monkeypatch):
    (tmp_path / "a.zip").write_bytes(CONTENT)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: usage._replace(free=2**28))
    with pytest.raises(DataError, match=r"0.3 GB needed, 0.3 GB free"):
        unpack(tmp_path / "a.zip", tmp_path)
    assert not (tmp_path / "val2017").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_disk_that_fills_up_is_reported(server, tmp_path):
    server.files["a.zip"] = BODY
    (tmp_path / "a.zip.part").symlink_to("/dev/full")
    with pytest.raises(DataError, match=r"cannot be written \((No space|Invalid)"):
        fetch(server.url("a.zip"), tmp_path / "a.zip", SIZE)


# -- archives ------------------------------------------------------------------------------------


def zipped(files, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


IMAGES = {f"val2017/{i:012d}.jpg": os.urandom(300 + i) for i in range(5)}
CONTENT = zipped({"val2017/": b"", **IMAGES})


def archive_of(content, files=5, **changes):
    values = {
        "path": "zips/val2017.zip", "size": len(content), "md5": hashlib.md5(content, usedforsecurity=False).hexdigest(),
        "pattern": "val2017/*.jpg", "files": files,
    }  # fmt: skip
    return Archive(**values | changes)


def test_an_archive_is_fetched_checked_unpacked_and_left_in_peace_afterwards(server, tmp_path):
    server.files["zips/val2017.zip"], server.cuts = CONTENT, [700]
    archive = archive_of(CONTENT)
    obtain(archive, tmp_path, server.url())
    for name, content in IMAGES.items():
        assert (tmp_path / name).read_bytes() == content
    requests = len(server.log)
    kept, gone = (tmp_path / name for name in list(IMAGES)[:2])
    before = kept.stat().st_mtime_ns
    gone.unlink()
    obtain(archive, tmp_path, server.url())
    assert gone.exists()  # unpacked again, without a request
    assert kept.stat().st_mtime_ns == before
    (tmp_path / "val2017.zip").unlink()
    obtain(archive, tmp_path, server.url())
    assert len(server.log) == requests  # all files are there: nothing to fetch


def test_a_wrong_check_sum_moves_the_file_aside_and_unpacks_nothing(server, tmp_path):
    server.files["zips/val2017.zip"] = CONTENT
    with pytest.raises(DataError, match=r"its MD5 is [0-9a-f]{32} instead of 0{32}; moved to val2017.zip.damaged1"):  # fmt: skip
        obtain(archive_of(CONTENT, md5="0" * 32), tmp_path, server.url())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["val2017.zip.damaged1"]
    assert (tmp_path / "val2017.zip.damaged1").read_bytes() == CONTENT


def test_a_users_partial_file_under_the_final_name_is_moved_and_fetched(server, tmp_path):
    server.files["zips/val2017.zip"] = CONTENT
    (tmp_path / "val2017.zip").write_bytes(CONTENT[:1000])
    obtain(archive_of(CONTENT), tmp_path, server.url())
    assert (tmp_path / "val2017.zip.damaged1").read_bytes() == CONTENT[:1000]
    assert len(list((tmp_path / "val2017").iterdir())) == 5


def test_too_few_files(server, tmp_path):
    server.files["zips/val2017.zip"] = CONTENT
    with pytest.raises(DataError, match=r"val2017/\*\.jpg: 5 files, COCO has 6"):
        obtain(archive_of(CONTENT, files=6), tmp_path, server.url())


def test_damaged_zips_are_reported_and_leave_no_damaged_file(tmp_path):
    first = list(IMAGES)[0]
    damaged = bytearray(CONTENT)
    place = CONTENT.index(IMAGES[first])
    damaged[place] ^= 1  # one bit of an image
    (tmp_path / "a.zip").write_bytes(damaged)
    with pytest.raises(DataError, match=r"a\.zip: damaged or not a zip file \(Bad CRC-32"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    assert not (tmp_path / "out" / first).exists()
    assert not list((tmp_path / "out" / "val2017").glob(".*"))
    for content in (CONTENT[:-30], b"<html>not found</html>", b""):
        (tmp_path / "a.zip").write_bytes(content)
        with pytest.raises(DataError, match="damaged or not a zip file"):
            unpack(tmp_path / "a.zip", tmp_path / "out2")


@pytest.mark.parametrize("name", ["../escaped.txt", "/escaped.txt", "a/../../escaped.txt", "..\\escaped.txt", "C:/escaped.txt"])  # fmt: skip
def test_no_file_leaves_the_folder(tmp_path, name):
    (tmp_path / "a.zip").write_bytes(zipped({"val2017/good.jpg": b"good", name: b"bad"}))
    with pytest.raises(DataError, match="points outside the folder or is a link; nothing was"):
        unpack(tmp_path / "a.zip", tmp_path / "out" / "deep")
    assert [path.name for path in tmp_path.rglob("*")] == ["a.zip"]


def test_links_are_refused(tmp_path):
    link = zipfile.ZipInfo("val2017/link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(DataError, match="is a link"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


def test_files_of_another_size_stay_and_are_reported(tmp_path):
    (tmp_path / "a.zip").write_bytes(CONTENT)
    (tmp_path / "val2017").mkdir()
    mine = tmp_path / list(IMAGES)[2]
    mine.write_bytes(b"mine")
    with pytest.raises(DataError, match=r"1 files exist with another size .*000000000002.jpg"):
        unpack(tmp_path / "a.zip", tmp_path)
    assert mine.read_bytes() == b"mine"
    mine.unlink()
    assert unpack(tmp_path / "a.zip", tmp_path) == (1, 4)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mine/image.jpg", r"out/mine: cannot be read or written \(File exists"),
        ("mine/deep/image.jpg", r"out/mine/deep: cannot be read or written \(Not a directory"),
        ("a/" + "b" * 300, r"bbb.part: cannot be read or written \(File name too long\); free"),
    ],
)
def test_places_that_cannot_be_written_are_reported(tmp_path, name, words):
    (tmp_path / "a.zip").write_bytes(zipped({name: b"image"}))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_bytes(b"mine")
    with pytest.raises(DataError, match=words):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    with pytest.raises(DataError, match=r"b\.zip: cannot be read or written \(No such file"):
        unpack(tmp_path / "b.zip", tmp_path)
    assert (tmp_path / "out" / "mine").read_bytes() == b"mine"


def test_the_command(server, tmp_path, monkeypatch, capsys):
    tool = command("download_coco")
    annotations = zipped({f"annotations/person_keypoints_{split}2017.json": b"{}" for split in ("train", "val")}, zipfile.ZIP_DEFLATED)  # fmt: skip
    server.files |= {"m/zips/val2017.zip": CONTENT, "m/annotations/a.zip": annotations}
    small = archive_of(annotations, 2, path="annotations/a.zip", pattern="annotations/*.json")
    monkeypatch.setattr(tool, "SPLITS", {"val": (small, archive_of(CONTENT)), "train": (small,)})
    arguments = ["--root", str(tmp_path / "coco"), "--base-url", server.url("m"), "val", "train"]
    assert cli.run(tool.main, arguments) == 0
    assert sorted(path for path, _ in server.log) == ["m/annotations/a.zip", "m/zips/val2017.zip"]
    assert (tmp_path / "coco" / "annotations" / "person_keypoints_val2017.json").is_file()
    shown = capsys.readouterr()
    assert f"data.root={tmp_path / 'coco'}" in shown.out
    assert shown.err.count(" files unpacked, ") == 2  # the annotations of both splits once
    assert cli.run(tool.main, ["--base-url", "ftp://x", "val"]) == 2
    server.files.clear()
    assert cli.run(tool.main, ["--root", str(tmp_path / "b"), "--base-url", server.url(), "val"]) == 3  # fmt: skip
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    assert cli.run(tool.main, arguments[:1] + [str(tmp_path / "c")] + arguments[2:]) == 3
    assert not (tmp_path / "c" / "a.zip.part").exists()  # seen before the first byte
