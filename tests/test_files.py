"""JSON files: what is refused and with which words, and that a write is whole or not at all."""

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from keypoint import files as json_file
from keypoint.errors import CheckpointError, DataError, NumericsError, OutputError
from keypoint.files import read_json, whole_file, write_json

GOOD = '{"images": [{"id": 1, "name": "caf\u00e9"}], "x": [1.5, null]}'
FAULTS = {
    "zero bytes": (b"", r"empty \(0 bytes\), not JSON; download or copy the file of boxes again"),
    "blank": (b" \n ", r"empty \(3 bytes\)"),
    "lfs": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00",
        "Git LFS pointer.*git lfs pull",
    ),
    "html": (b"\n<!DOCTYPE html><html>404</html>", "a web page, not JSON"),
    "latin-1": (
        GOOD.encode("latin-1"),
        f"cannot decode byte {GOOD.index(chr(0xE9))} as UTF-8; save the boxes as JSON in UTF",
    ),
    "utf-16": (GOOD.encode("utf-16"), "cannot decode byte 0 as UTF-8"),
    "cut in a list": (GOOD.encode()[:-12], "JSON cut off after 46 bytes; download or copy"),
    "cut in a text": (GOOD.encode()[:6], "JSON cut off after 6 bytes"),
    "cut between": (b'{"a": 1,\n', "JSON cut off after 9 bytes"),
    "no json": (b'{"a": 1,\n "b": x}', "not JSON, at line 2 column 7: Expecting value"),
    "two": (b"[1] [2]", "not JSON, at line 1 column 5: Extra data"),
    "deep": (b"[" * 200_000, "JSON nested too deeply to be boxes"),
    "key twice": (
        b'{"a": 1, "b": {"c": 1, "d": 2, "c": 3}}',
        "duplicate key 'c' in one JSON object",
    ),
    "digits": (b"[" + b"1" * 10_000 + b"]", "fix the file of boxes"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_file_is_refused_by_name(fault, tmp_path):
    file = tmp_path / "boxes.json"
    content, message = FAULTS[fault]
    file.write_bytes(content)
    with pytest.raises(DataError, match=f"^{file}: .*{message}"):
        read_json(file, "boxes")
    assert file.read_bytes() == content


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path):
    with pytest.raises(DataError, match=f"^{tmp_path}/a.json: no such file of boxes; check"):
        read_json(tmp_path / "a.json", "boxes")
    with pytest.raises(
        DataError, match=f"^{tmp_path}: cannot read the boxes: Is a directory; give"
    ):
        read_json(tmp_path, "boxes")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_good_files_are_read_as_pythons_reader_reads_them(tmp_path, encoding):
    file = tmp_path / "boxes.json"
    file.write_text(GOOD, encoding=encoding)
    assert read_json(file, "boxes") == json.loads(GOOD)


@pytest.mark.parametrize(
    "content",
    [[], {}, [{"a": 1.25}, {"b": [1, 2]}, 3], {"metrics": {"AP": 0.1 + 0.2}, "list": []}, "text"],
)
def test_what_is_written_is_read_again(tmp_path, content):
    file = tmp_path / "metrics.json"
    write_json(file, content)
    assert read_json(file, "metrics") == content
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]


def test_a_list_is_written_one_entry_per_line(tmp_path):
    write_json(tmp_path / "results.json", [{"a": [1, 2]}, {"b": 3}])
    lines = (tmp_path / "results.json").read_text().splitlines()
    assert lines == ["[", '{"a": [1, 2]},', '{"b": 3}', "]"]


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ([{"score": 1.0}, {"score": float("nan")}], r"\[1\]\['score'\] = nan"),
        ({"metrics": {"AP": (1.0, float("-inf"))}}, r"\['metrics'\]\['AP'\]\[1\] = -inf"),
    ],
)
def test_numbers_that_are_not_finite_are_not_written(tmp_path, content, place):
    file = tmp_path / "metrics.json"
    file.write_text("old")
    with pytest.raises(NumericsError, match=f"^{file}: not written, {place} is not finite"):
        write_json(file, content)
    assert file.read_text() == "old"


def test_a_key_that_is_not_finite_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {float("nan"): 1})
    assert not list(tmp_path.iterdir())


def refusing(number):
    def refuse(*arguments):
        raise OSError(number, os.strerror(number))

    return refuse


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    file = tmp_path / "metrics.json"
    file.write_text("old")
    monkeypatch.setattr(json_file.os, "fsync", refusing(errno.ENOSPC))
    words = (
        r"cannot write the file \(No space left on device; \d+ bytes free there\); the old file is "
    )
    with pytest.raises(OutputError, match=f"^{file}: {words}unchanged: free some space and try"):
        write_json(file, {"AP": 0.5})
    assert file.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]


def test_free_bytes_are_counted_while_the_temporary_file_takes_its_part(tmp_path, monkeypatch):
    statvfs, seen = os.statvfs, []

    def counted(folder):
        seen.extend(path.name for path in Path(folder).iterdir())
        return statvfs(folder)

    monkeypatch.setattr(json_file.os, "fsync", refusing(errno.ENOSPC))
    monkeypatch.setattr(json_file.os, "statvfs", counted)
    with pytest.raises(OutputError, match="no file existed before: free some space"):
        write_json(tmp_path / "metrics.json", {"AP": 0.5})
    assert seen == [f".metrics.json.{os.getpid()}.tmp"]
    assert not list(tmp_path.iterdir())


def test_a_rename_that_reports_an_error_is_looked_at(tmp_path, monkeypatch):
    file = tmp_path / "metrics.json"
    write_json(file, {"AP": 0.4})
    replace = Path.replace
    monkeypatch.setattr(Path, "replace", refusing(errno.EIO))
    with pytest.raises(
        OutputError, match="Input/output error; .* the old file is unchanged: check"
    ):
        write_json(file, {"AP": 0.5})

    def done(temporary, path):
        replace(temporary, path)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "replace", done)
    with pytest.raises(
        OutputError, match="the new file is in place, but the disk may lose it: che"
    ):
        write_json(file, {"AP": 0.5})
    assert read_json(file, "metrics") == {"AP": 0.5}

    def lost(temporary, path):
        path.unlink()
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "replace", lost)
    with pytest.raises(OutputError, match="no file exists now: check the disk"):
        write_json(file, {"AP": 0.6})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("when", ["before", "while it is written"])
def test_a_folder_that_is_gone_is_reported(tmp_path, when):
    folder = tmp_path / "run"
    folder.mkdir()
    words = r"cannot write the checkpoint \(No such file.* its folder is gone; give another folder"
    if when == "before":
        folder.rmdir()

    def write():
        with whole_file(folder / "last.pt", "checkpoint", CheckpointError) as file:
            file.write(b"x")
            shutil.rmtree(folder)

    with pytest.raises(CheckpointError, match=words) as caught:
        write()
    assert caught.value.exit_status == OutputError.exit_status == 4


@pytest.mark.parametrize(("number", "fails"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_a_folder_that_cannot_be_synced_is_no_error_but_a_failing_disk_is(
    tmp_path, monkeypatch, number, fails
):
    fsync = os.fsync

    def of_files(opened):
        if os.path.isdir(f"/proc/self/fd/{opened}"):  # noqa: PTH112
            refusing(number)()
        fsync(opened)

    monkeypatch.setattr(json_file.os, "fsync", of_files)
    if fails:
        with pytest.raises(OutputError, match="the new file is in place, but"):
            write_json(tmp_path / "a.json", [])
    else:
        write_json(tmp_path / "a.json", [])
    assert read_json(tmp_path / "a.json", "list") == []
