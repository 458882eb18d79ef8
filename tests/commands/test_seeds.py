"""keypoint train --seeds: a training each, resumed as a whole, printed for a scheduler."""

import shlex

import pytest

from keypoint.checkpoint.file import KEYS, save_checkpoint
from keypoint.commands import runs
from keypoint.config.load import dump_config, load_config
from keypoint.pose.skeleton import load_skeleton
from tests.action import tiny_action
from tests.calling import tool

COLORS = {"color_order": "rgb", "mean": (0.0,) * 3, "std": (1.0,) * 3}


class Ended:
    """A process that has ended."""

    def __init__(self, status):
        self.status = status

    def poll(self):
        return self.status

    def terminate(self):
        pass


@pytest.fixture
def begin(tmp_path, monkeypatch):
    """Starts keypoint train on a config; gives the exit status and the words of the trainings."""
    cfg = tmp_path / "a.yaml"
    cfg.write_text(f"output: {tmp_path}/out\ntrain: {{epochs: 3}}\n")
    started = []

    def start(words, statuses):
        started.append(words[1:])
        return Ended(statuses.pop(0) if statuses else 0)

    def begin(*words, statuses=()):
        started.clear()
        left = list(statuses)
        monkeypatch.setattr(runs, "start", lambda words, log, threads: start(words, left))
        return tool("train", "--cfg", cfg, *words), [list(words) for words in started]

    return begin


def end(output, seed, *, epoch=3, **changes):
    """Leave what a training to this epoch leaves."""
    folder = output / f"seed{seed}"
    folder.mkdir(parents=True)
    cfg = output.parent / "a.yaml"
    config = load_config(cfg, [f"seed={seed}", f"output={folder}", *changes.get("typed", ())])
    (folder / "config.yaml").write_text(dump_config(config))
    (folder / "history.json").write_text("[]")
    content = {"format": 1, "model": {}, "epoch": epoch, "batch": 0, "config": config.to_dict()}
    skeleton = load_skeleton("coco17").to_dict()
    save_checkpoint(
        folder / "last.pt", dict.fromkeys(KEYS) | content | {"skeleton": skeleton} | COLORS
    )


def test_each_seed_is_a_training_of_its_own(begin, tmp_path, capsys):
    out = tmp_path / "out"
    # The file's own output, typed: the folders of the seeds take its place.
    typed = ["train.lr=0.1", f"output={out}", "--device", "cpu", "--seeds", 0, 7]
    status, started = begin(*typed)
    assert status == 0
    common = ["--cfg", str(tmp_path / "a.yaml"), "train.lr=0.1"]
    assert started == [
        [*common, f"seed={seed}", f"output={out}/seed{seed}", "--device", "cpu"] for seed in (0, 7)
    ]
    capsys.readouterr()
    status, none = begin(*typed, "--dry-run")
    lines = capsys.readouterr().out.splitlines()
    assert [shlex.split(line)[2:] for line in lines] == started
    assert (status, none, out.exists()) == (0, [], False)


def test_what_is_done_is_not_done_again(begin, tmp_path, capsys):
    out = tmp_path / "out"
    end(out, 0)
    end(out, 1, epoch=2)
    assert begin("--seeds", 0, 1) == (2, [])  # as of a single run: nothing is replaced unasked
    assert "contains another run; --resume continues it" in capsys.readouterr().err
    status, started = begin("--resume", "--seeds", 0, 1, 3)
    assert status == 0
    assert [words[2] for words in started] == ["seed=1", "seed=3"]
    assert all("--resume" in words for words in started)
    assert f"seed 0: done, {out}/seed0" in capsys.readouterr().out
    status, started = begin("--overwrite", "--seeds", 0, 1)
    assert [words[2] for words in started] == ["seed=0", "seed=1"]


def test_a_key_that_a_later_version_added_does_not_make_it_another_config(begin, tmp_path):
    end(tmp_path / "out", 0)
    written = tmp_path / "out" / "seed0" / "config.yaml"
    lines = written.read_text().splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith("  log_every:")]
    assert len(kept) == len(lines) - 1
    written.write_text("".join(kept))
    assert begin("--resume", "--seeds", 0) == (0, [])


def test_another_config_is_refused_before_the_first_begins(begin, tmp_path, capsys):
    end(tmp_path / "out", 1, epoch=2, typed=["train.lr=0.5"])
    assert begin("--resume", "--seeds", 0, 1) == (4, [])
    assert "train.lr=0.001 (was 0.5)" in capsys.readouterr().err
    status, started = begin("--resume", "--allow-changed", "--seeds", 0, 1)
    assert (status, len(started)) == (0, 2)


def test_a_failure_ends_it_with_the_same_status(begin, capsys):
    status, started = begin("--seeds", 0, 1, 2, statuses=[0, 3])
    assert (status, len(started)) == (3, 2)
    assert "the training with seed 1 ended with status 3" in capsys.readouterr().err
    assert begin("--seeds", 0, 1, statuses=[130])[0] == 130
    assert "ended with status" not in capsys.readouterr().err  # the user's own Ctrl-C


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--seeds", 1, 1], "1 is given twice"),
        (["seed=4", "--seeds", 1], "seed= has no effect with --seeds"),
        (["--seeds", 1, "--process-timeout", 9], "--process-timeout is for torchrun"),
        (["--dry-run"], "--dry-run has no effect without --seeds"),
    ],
)
def test_refused(begin, words, said, capsys):
    assert begin(*words) == (2, [])
    assert said in capsys.readouterr().err


def test_not_under_torchrun(begin, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert begin("--seeds", 0, 1)[0] == 2
    assert "give torchrun the commands" in capsys.readouterr().err


def test_action_recognition(tmp_path, monkeypatch, capsys, one_thread):
    """In this process instead of two of their own."""
    cfg, out = tiny_action.write_config(tmp_path), tmp_path / "out"
    started = []

    def start(words, log, threads):
        started.append(words)
        return Ended(tool(*words))

    monkeypatch.setattr(runs, "start", start)
    small = ["model.network=c2d_tiny", "train.epochs=1", "train.lr_drops=[]", f"output={out}"]
    words = ["train", "--cfg", cfg, *small, "--device", "cpu", "--seeds", 0, 1]
    assert tool(*words, "--resume") == 0  # nothing is there to resume
    assert "seed1/last.pt does not exist, starting\n" in capsys.readouterr().err
    assert (len(started), {path.name for path in out.iterdir()}) == (2, {"seed0", "seed1"})
    assert tool(*words) == 2
    assert tool(*words, "--resume") == 0
    assert len(started) == 2
    assert f"seed 1: done, {out}/seed1" in capsys.readouterr().out


def test_a_folder_without_a_checkpoint_is_not_done(begin, tmp_path, capsys):
    end(tmp_path / "out", 0)
    (tmp_path / "out" / "seed0" / "last.pt").unlink()
    assert begin("--resume", "--seeds", 0) == (2, [])
    assert "no last.pt to resume from" in capsys.readouterr().err
