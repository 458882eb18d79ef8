"""keypoint demo --task action, with a few clips and one network."""

from functools import partial

import pytest
import torch

from keypoint.commands import main, make_clip_data
from keypoint.commands.action import demo
from keypoint.errors import ConfigError

SMALL = ["train.epochs=1", "train.batch_size=4", "data.workers=0"]


@pytest.fixture
def small(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, value in {"TRAIN_CLIPS": 8, "VAL_CLIPS": 4, "REVERSED_CLIPS": 2}.items():
        monkeypatch.setattr(demo, name, value)
    few = partial(make_clip_data.train_on_frames, pictures=18, steps=2)
    monkeypatch.setattr(make_clip_data, "train_on_frames", few)
    monkeypatch.setattr(demo, "BLOCKS", ("srl_fft",))
    called = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def call(command, *words):
        called.append(command)
        assert main.call(command, words) == 0

    monkeypatch.setattr(demo, "call", call)
    yield called
    torch.set_num_threads(threads)


def test_it_goes_from_clips_to_a_table(small, capsys):
    demo.main(SMALL)
    assert small == ["train", "test"]
    names = {path.name for path in demo.OUTPUT.iterdir()}
    assert names == {"data", "classes.jpg", "frames.pth", "srl_fft", "table.md"}
    table = (demo.OUTPUT / "table.md").read_text()
    assert "| srl_fft | " in table
    assert table in capsys.readouterr().out
    weights = (demo.OUTPUT / "frames.pth").stat().st_mtime_ns
    demo.main(["--resume", *SMALL])
    assert (demo.OUTPUT / "frames.pth").stat().st_mtime_ns == weights
    out = capsys.readouterr().out
    assert "are complete" in out
    assert table in out


@pytest.mark.parametrize("override", ["model.blocks=nl", "output=there", "data.root=there"])
def test_keys_that_the_demo_sets_are_refused(override):
    with pytest.raises(ConfigError, match="the demo sets .* itself; train one network with"):
        demo.check_overrides([override])


def test_a_mistyped_key_is_reported_at_once():
    with pytest.raises(ConfigError, match="epochs"):
        demo.check_overrides(["train.epoch=3"])
