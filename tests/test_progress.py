"""Plain lines of progress, whatever the total is worth."""

from keypoint.progress import PlainProgress


def test_more_than_expected(capsys):
    """The number of a video's frames may be an estimate."""
    with PlainProgress(3, "predict", "image") as bar:
        bar.update(2)
        bar._write(bar._begin + 1)
        bar.update(5)
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("predict: 2/3, 2 image/s")
    assert first.endswith("00:00 to go")
    assert last.startswith("predict: 7, ")
    assert "to go" not in last
