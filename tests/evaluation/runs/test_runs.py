"""Runs are read, grouped by what they are, refused if not comparable, and compared."""

import csv
import json

import numpy as np
import pytest
import yaml

from keypoint.action.evaluation.report import save_test
from keypoint.action.evaluation.scores import load_scores
from keypoint.checkpoint.file import KEYS, save_checkpoint
from keypoint.commands.compare import short_names
from keypoint.errors import ConfigError, DataError
from keypoint.evaluation.analysis.analyse import analyse, compare
from keypoint.evaluation.analysis.report import to_dict
from keypoint.evaluation.coco import evaluate_coco
from keypoint.evaluation.runs.group import differences, group_runs, incomparable
from keypoint.evaluation.runs.read import read_run
from keypoint.pose.skeleton import load_skeleton
from tests.action.evaluation import made as videos
from tests.calling import tool
from tests.evaluation.runs.made import analysed, many_images, run

NONE, SRL = (0.700, 0.704, 0.699), (0.709, 0.711, 0.707)


def runs_of(*folders):
    return {folder.name: read_run(folder) for folder in folders}


@pytest.fixture
def seeds(tmp_path):
    """Three seeds each of a network without and with a block."""
    return [
        run(tmp_path / name / f"seed{seed}", ap, seed, blocks=blocks)
        for name, blocks, aps in (("none", None, NONE), ("srl", "srl_fft", SRL))
        for seed, ap in enumerate(aps)
    ]


def test_seeds_are_one_group_and_what_else_differs_is_named(seeds):
    groups = group_runs({f"{f.parent.name}/{f.name}": read_run(f) for f in seeds})
    assert [group.name for group in groups] == ["none", "srl"]
    assert [group.by_seed("AP") for group in groups] == [dict(enumerate(a)) for a in (NONE, SRL)]
    assert differences(groups) == {"model.blocks": (None, "srl_fft")}
    assert incomparable(groups) == []


def test_names_of_before_are_the_same_conditions(tmp_path):
    """A run of 0.1.0 is in one group with a run of today."""
    old = {"images_left_out": 0, "left_out": None}
    a = run(tmp_path / "a", 0.7, conditions={"skipped": None})
    b = run(tmp_path / "b", 0.7, seed=1)
    content = json.loads((b / "metrics.json").read_text())
    del content["conditions"]["images_skipped"]
    content["conditions"] |= old
    (b / "metrics.json").write_text(json.dumps(content))
    assert len(group_runs(runs_of(a, b))) == 1


@pytest.mark.parametrize("change", [{"train": {"lr": 0.1}}, {"conditions": {"flip": False}}])
def test_another_config_or_condition_is_another_group(tmp_path, change):
    a, b = run(tmp_path / "a", 0.7), run(tmp_path / "b", 0.7, seed=1, **change)
    assert len(group_runs(runs_of(a, b))) == 2


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"flip": False}, "flip: True in a, False in b"),
        ({"boxes": "ground truth"}, "boxes: 'detector' in a, 'ground truth' in b"),
        ({"boxes_file": "other.json"}, "'other.json' in b"),
        ({"persons": {"used": 6, "total": 9, "skipped": {"crowd": 3}}}, "persons: 7 in a, 6 in b"),
        ({"decoding": "none"}, "decoding"),
        ({"codec": "dark", "decoding": "none"}, None),
        ({"input_size": [384, 288]}, None),
        ({"boxes_file": "/elsewhere/detections.json"}, None),
        ({"results": {}}, None),
    ],
)
def test_other_conditions_are_refused(tmp_path, change, reason):
    a, b = run(tmp_path / "a", 0.7), run(tmp_path / "b", 0.7, blocks="nl", conditions=change)
    reasons = incomparable(group_runs(runs_of(a, b)))
    assert (reasons == []) if reason is None else (reason in reasons[0])


def checkpoint(folder, epoch=2, **data):
    content = {"format": 1, "model": {}, "epoch": epoch, "batch": 0, "data": data}
    config = yaml.safe_load((folder / "config.yaml").read_text())
    colors = {"color_order": "rgb", "mean": (0.0,) * 3, "std": (1.0,) * 3}
    more = {"config": config, "skeleton": load_skeleton("coco17").to_dict()} | colors
    more["card"] = {"commit": "abc"}
    save_checkpoint(folder / "last.pt", dict.fromkeys(KEYS) | content | more)


def test_data_commit_and_end_are_read_from_the_checkpoint(tmp_path):
    a, b = run(tmp_path / "a", 0.7), run(tmp_path / "b", 0.7, seed=1)
    checkpoint(a, train="t", test="x", truth="u")
    checkpoint(b, epoch=1, train="s", test="x", truth="v")
    groups = group_runs(runs_of(a, b))
    assert differences(groups) == {"train_data": ("t", "s"), "truth": ("u", "v")}
    assert [group.fact("commit") for group in groups] == ["abc", "abc"]
    first, second = incomparable(groups)
    assert first == "annotations or labels scored against: u in a, v in b"
    assert second == "b: training has not ended, epoch 1 of 2"


def test_a_test_of_several_boxes_has_the_config_of_its_run(tmp_path):
    folder = run(tmp_path / "a", 0.7)
    (folder / "truth_boxes").mkdir()
    (folder / "metrics.json").rename(folder / "truth_boxes" / "metrics.json")
    assert read_run(folder / "truth_boxes").config["seed"] == 0


def origin(folder, **facts):
    """Store facts as keypoint test does, in the folder of a test."""
    content = json.loads((folder / "metrics.json").read_text())
    (folder / "metrics.json").write_text(json.dumps(content | {"origin": facts}))
    return folder


def test_a_test_in_its_own_folder_has_its_facts_in_metrics_json(tmp_path):
    facts = {"commit": "abc", "train_data": "t", "truth": "u", "crops": "64", "finished": "unknown"}
    test = origin(run(tmp_path / "test", 0.7), **facts)
    assert facts.items() <= read_run(test).facts.items()
    training = run(tmp_path / "training", 0.6, seed=1)
    checkpoint(training, train="t", truth="u")
    groups = group_runs(runs_of(test, training))
    assert (len(groups), differences(groups), incomparable(groups)) == (1, {}, [])
    # Tested there with other annotations, by a checkpoint that may be any of the training's.
    origin(training, **facts | {"truth": "v"})
    assert read_run(training).facts["truth"] == "v"
    assert read_run(training).facts["finished"] == "yes"


def test_a_test_without_a_config_says_what_to_do(tmp_path, capsys):
    """Those of older versions have none; those of imported weights have no training."""
    known, old = run(tmp_path / "known", 0.7), run(tmp_path / "old", 0.7, conditions={"skeleton": "sign"})  # fmt: skip
    (old / "config.yaml").unlink()
    assert tool("compare", old, known, "--anyway") == 0
    said = capsys.readouterr().out
    remedy = "keypoint test writes it for the checkpoint of a training: run it again, or copy the training's file there"  # fmt: skip
    assert f"no interval: {old}: config.yaml is missing, so the file of the skeleton 'sign' is not known; {remedy}" in said  # fmt: skip
    assert f"\n\nconfig.yaml is missing in {old}, so the seed is not known, and each is a group of its own; {remedy}\n" in said  # fmt: skip
    assert "| measured: skeleton | sign | coco17 |" in said
    assert "input_size" not in said  # both were measured at the same
    assert "model." not in said  # is not known of one
    origin(old, train_data="unknown")
    assert tool("compare", old, known, "--anyway") == 0
    assert "the seed is not known" not in capsys.readouterr().out


def test_without_metrics_the_last_epoch_counts_and_not_the_best(tmp_path):
    a, b = run(tmp_path / "a", 0.6, file="history.json"), run(tmp_path / "b", 0.6, blocks="nl")
    found = read_run(a)
    assert (found.metrics["AP"], "AP_M" in found.metrics) == (0.6, False)
    assert incomparable(group_runs(runs_of(a, b))) == []


def test_a_training_is_not_compared_with_a_test_of_its_best_epoch(tmp_path):
    a, b = run(tmp_path / "a", 0.6), run(tmp_path / "b", 0.6, blocks="nl")
    (b / "card.md").touch()
    (reason,) = incomparable(group_runs(runs_of(a, b)))
    assert reason == "numbers of: training, last evaluation in a, keypoint test in b"


def test_a_single_group_has_the_name_of_its_folder(tmp_path):
    folders = [run(tmp_path / "none" / f"seed{seed}", 0.6, seed) for seed in range(2)]
    assert [group.name for group in group_runs(runs_of(*folders))] == ["none"]


@pytest.mark.parametrize(
    ("folders", "names"),
    [
        (["out/none/seed0", "out/srl/seed1"], ["none/seed0", "srl/seed1"]),
        (["out/none/seed0", "out/none/seed1"], ["seed0", "seed1"]),
        (["out/none", "out/srl"], ["none", "srl"]),
        (["out/none/seed0", "out/srl"], ["none/seed0", "out/srl"]),
        (["a/none/seed0", "b/none/seed1"], ["a/none/seed0", "b/none/seed1"]),
        (["a/none/seed0/x", "a/srl/seed1/x"], ["none/seed0/x", "srl/seed1/x"]),
        (["out/s2", "out/3"], ["s2", "3"]),
    ],
)
def test_names_of_runs_tell_their_configs_apart(tmp_path, folders, names):
    assert short_names([tmp_path / folder for folder in folders]) == names


def test_one_run_twice_is_no_second_measurement(tmp_path):
    both = runs_of(run(tmp_path / "a", 0.7), run(tmp_path / "b", 0.7))
    with pytest.raises(ConfigError, match="a and b have the same config and the same seed, 0"):
        group_runs(both)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"metrics": {"AP": 0.1}}, "not written by this version's keypoint test"),
        ({"metrics": {"AP": float("nan")}, "conditions": {}}, "not finite: AP"),
        ({"metrics": {}, "conditions": {}}, "no number"),
        ({"metrics": {"AR": 0.5}, "conditions": {}}, "has no AP"),
        ([], "not an object"),
        (None, "has neither metrics.json nor history.json"),
    ],
)
def test_folders_that_cannot_be_read(tmp_path, content, words):
    if content is not None:
        (tmp_path / "metrics.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=words):
        read_run(tmp_path)


def test_a_broken_config_is_refused(tmp_path):
    (run(tmp_path / "a", 0.7) / "config.yaml").write_text("seed: [")
    with pytest.raises(DataError, match=r"config\.yaml: not the config of a run"):
        read_run(tmp_path / "a")


def test_the_command_compares_seeds(seeds, tmp_path, capsys):
    for folder in seeds:
        analysed(folder, nose=0.9)
    out = tmp_path / "out"
    assert tool("compare", *seeds, "--output", out) == 0
    said = capsys.readouterr().out
    summary = "* AP: srl - none = +0.0080 (95 % interval +0.0055 to +0.0105, 3 paired seeds)\n\n"
    assert said.startswith(summary)
    assert "| difference | 95 % interval | excludes 0 | interval is |" in said
    assert "Measured on 5000 images, boxes: " in said
    assert " with flip test, OKS sigmas: coco17\n" in said
    mean, std = np.mean(NONE), np.std(NONE, ddof=1)
    assert f"| none | 3 | 0 1 2 | {mean:.4f} +- {std:.4f} |" in said
    # scipy 1.17: ttest_rel(SRL, NONE).confidence_interval()
    assert (
        "| srl | AP | +0.0080 | +0.0055 to +0.0105 | yes | paired over the same 3 seeds, t |"
        in (said)
    )
    assert "| nose | 0.9000 +- 0.0000 | 0.9000 +- 0.0000 |" in said
    assert "| inversion | 0.1000 +- 0.0000 |" in said
    assert "| model.blocks | - | srl_fft |" in said
    assert {path.name for path in out.iterdir()} == {"compare.md", "runs.csv", "runs.png"}
    lines = list(csv.DictReader((out / "runs.csv").open()))
    row = next(line for line in lines if (line["group"], line["number"]) == ("srl", "AP"))
    assert float(row["mean"]) == pytest.approx(np.mean(SRL), abs=1e-6)
    assert (row["n"], row["interval"]) == ("3", "paired t")


NOSE, NOSE_SRL, JITTER, JITTER_SRL = (0.9, 0.91, 0.93), (0.92, 0.915, 0.95), (20, 22, 21), (18, 21, 18)  # fmt: skip


def test_keypoints_and_kinds_of_error_have_intervals_over_seeds(seeds, tmp_path, capsys):
    for folder, nose, jitter in zip(seeds, NOSE + NOSE_SRL, JITTER + JITTER_SRL, strict=True):
        analysed(folder, nose, jitter)
    out = tmp_path / "out"
    assert tool("compare", *seeds, "--output", out) == 0
    said = capsys.readouterr().out
    title = "AP of each keypoint alone"
    first, second = said.split(f"{title}\n\n")[1].split("\n\n")[:3:2]
    assert first.splitlines()[0] == "|  | none | srl |"
    assert "| nose | 0.9133 +- 0.0153 | 0.9283 +- 0.0189 |" in first
    assert second.splitlines()[0] == "|  | srl |"
    # scipy 1.17: ttest_rel(NOSE_SRL, NOSE).confidence_interval()
    assert "| nose | +0.0150 (-0.0065 to +0.0365) |" in second
    assert "left_eye" not in said  # not labelled, so it has no AP
    assert "| jitter | 0.2100 +- 0.0100 | 0.1900 +- 0.0173 |" in said
    # ttest_rel of JITTER / 100
    assert "| jitter | -0.0200 (-0.0448 to +0.0048) |" in said
    assert "| miss | +0.0000 (+0.0000 to +0.0000) |" in said
    rows = {(r["group"], r["number"]): r for r in csv.DictReader((out / "runs.csv").open())}
    row = rows["srl", "AP of nose"]
    keys = ("difference", "low", "high", "difference_std", "interval")
    assert [row[key] for key in keys] == [
        "0.015000", "-0.006513", "0.036513", "0.008660", "paired t",
    ]  # fmt: skip
    assert rows["srl", "share of jitter"]["high"] == "0.004841"
    assert rows["none", "share of good"]["difference"] == ""
    # ttest_1samp(SRL, 0).confidence_interval()
    row = rows["srl", "AP"]
    assert (row["mean_low"], row["mean_high"]) == ("0.704032", "0.713968")


def test_keypoints_of_runs_of_which_one_was_not_analysed(seeds, capsys):
    for folder in seeds[:5]:
        analysed(folder, nose=0.9)
    assert tool("compare", *seeds) == 0
    said = capsys.readouterr().out
    assert "| nose | 0.9000 +- 0.0000 | - |" in said
    assert "The same" not in said


def test_nine_groups_have_a_column_each(tmp_path, capsys):
    folders = []
    for place in range(9):
        for seed in range(2):
            block = f"block{place}" if place else None
            folder = tmp_path / f"group{place}" / f"seed{seed}"
            folders.append(run(folder, 0.7 + seed / 100, seed, blocks=block))
            analysed(folders[-1], nose=0.9 + place / 1000)
    assert tool("compare", *folders) == 0
    said = capsys.readouterr().out
    rows = [line for line in said.splitlines() if line.startswith("| nose")]
    assert [row.count("|") for row in rows] == [11, 10]
    assert "| +0.0080 (+0.0080 to +0.0080) |" in rows[1]


def test_other_seeds_and_too_few_of_them_are_said(seeds, capsys):
    assert tool("compare", *seeds[:2], *seeds[4:]) == 0
    said = capsys.readouterr().out
    assert "the seeds are not the same" in said
    assert said.splitlines()[0].endswith(", 2 and 2 seeds, not paired)")
    assert tool("compare", *seeds[:4]) == 0
    said = capsys.readouterr().out
    assert "no interval: srl/seed0 has one run; train it with more seeds" in said
    assert said.splitlines()[0].endswith(" (no interval)")


def test_how_many_seeds_would_exclude_zero(tmp_path, capsys):
    aps = {"none": (0.70, 0.71, 0.72), "srl": (0.71, 0.70, 0.74), "same": (0.71, 0.70, 0.72)}
    folders = [
        run(tmp_path / name / f"seed{seed}", ap, seed, blocks=name)
        for name, values in aps.items()
        for seed, ap in enumerate(values)
    ]
    assert tool("compare", *folders) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("* AP: srl - none = +0.0067 (")
    # scipy 1.17: t.ppf(0.975, n - 1) * 0.015275 / n**0.5 is 0.00677 for n = 22, 0.00661 for 23
    said = "standard deviation of the differences between seeds 0.0153; if it and the mean difference stay the same, the interval excludes 0 with about 23 seeds in all"  # fmt: skip
    assert lines[1] == f"* srl: {said}"
    assert lines[2].startswith("* AP: same - none = +0.0000 (")
    assert lines[3] == ""


def test_a_folder_of_runs_is_reported_with_what_it_holds(seeds, tmp_path, capsys):
    sweep = seeds[0].parent.parent
    assert tool("compare", sweep) == 3
    said = capsys.readouterr().err
    assert "it contains runs, give these:" in said
    assert str(seeds[0]) in said
    assert tool("compare", seeds[0]) == 2
    assert "a single run" in capsys.readouterr().err


def test_networks_that_learned_nothing_are_not_ranked(tmp_path, capsys):
    bad, worse = run(tmp_path / "bad", 0.009), run(tmp_path / "worse", 0.001, blocks="nl")
    tool("compare", bad, worse)
    assert "\n* WARNING: AP is below 0.01 in every group." in capsys.readouterr().out
    good = run(tmp_path / "good", 0.7, blocks="nl")
    tool("compare", bad, good)
    assert "WARNING" not in capsys.readouterr().out


def test_the_command_refuses_unless_told(tmp_path, capsys):
    a, b = run(tmp_path / "a", 0.7), run(tmp_path / "b", 0.7, conditions={"flip": False})
    assert tool("compare", a, b) == 2
    said = capsys.readouterr().err
    assert "not comparable: flip: True in a, False in b; test them under" in said
    assert tool("compare", a, b, "--anyway") == 0
    said = capsys.readouterr().out
    assert said.startswith("WARNING, not comparable: flip")


def test_single_runs_are_compared_on_the_images_of_their_test(tmp_path, capsys):
    skeleton = load_skeleton("coco17")
    content, sides = many_images(np.random.default_rng(0), (20.0, 4.0), 30, keypoints=17)
    content["categories"][0]["keypoints"] = list(skeleton.keypoints)
    file = tmp_path / "truth.json"
    file.write_text(json.dumps(content))
    folders = []
    for name, blocks, side in (("a", None, sides[0]), ("b", "nl", sides[1])):
        where = {"annotations": str(file)}
        folders.append(run(tmp_path / name, 0.5, blocks=blocks, conditions=where))
        compared = compare(content, side, skeleton)
        analysis = to_dict(analyse(compared, skeleton))
        entry = json.loads((folders[-1] / "metrics.json").read_text())
        entry |= {"metrics": evaluate_coco(content, side), "analysis": analysis}
        (folders[-1] / "metrics.json").write_text(json.dumps(entry))
        (folders[-1] / "results.json").write_text(json.dumps(side))
    out = tmp_path / "out"
    assert tool("compare", *folders, "--output", out) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[0].endswith(", these two networks only, 30 images)")
    only = "b: one run each: the intervals are of these two networks only, not of the method; they do not cover other seeds"  # fmt: skip
    chance = "Each interval is at 95 % on its own: of 20 such intervals between equal networks, one excludes 0 by chance on average"  # fmt: skip
    assert f"\n\n{only}\n\n{chance}\n\nDifference to a\n\n| group |" in said
    rows = [row for row in said.splitlines() if row.startswith("| b | A")]
    names = [row.split(" | ")[1] for row in rows]
    assert names == ["AP", "AP50", "AP75", "AP_M", "AR", "AR50", "AR75", "AR_M"]
    assert all(row.endswith("| bootstrap over 30 images of the test set |") for row in rows)
    with (out / "runs.csv").open() as lines:
        drawn = [r for r in csv.DictReader(lines) if r["group"] == "b"]
    assert {row["interval"] for row in drawn} == {"bootstrap"}
    assert len(drawn) == 8 + 17 + 5
    nose = next(row for row in drawn if row["number"] == "AP of nose")
    cells = [f"{float(nose[key]):+.4f}" for key in ("difference", "low", "high")]
    assert f"| nose | {cells[0]} ({cells[1]} to {cells[2]}) |" in said
    assert said.count("(95 % interval)\n") == 2
    with (out / "images.csv").open() as lines:
        images = list(csv.DictReader(lines))
    assert len(images) == 30
    best = images[0]
    assert float(best["change"]) > 0.1
    title = "Images that differ most between a and b: mean OKS of the image's labelled persons, 0 for a person without a result"  # fmt: skip
    first = said.split(f"{title}\n\n")[1].splitlines()[2]
    assert first.startswith(f"| {best['file_name']} | 1 | {float(best['base_oks']):.3f} |")

    # Kinds of error of persons that were known by their boxes are not those of the results alone.
    entry["analysis"]["errors"]["keypoints"] |= {"good": 1000, "miss": 1000}
    (folders[1] / "metrics.json").write_text(json.dumps(entry))
    assert tool("compare", *folders) == 0
    said = capsys.readouterr().out
    without = "b: no interval for the kinds of error: results.json does not contain boxes, but a test with annotated boxes knows by its box which person a result is of"  # fmt: skip
    assert f"\n\n{only}\n\n{without}\n\n{chance}\n\nDifference to a\n" in said
    assert f"| nose | {cells[0]} ({cells[1]} to {cells[2]}) |" in said
    assert said.count("The same, difference to a (95 % interval)\n") == 1
    assert said.count("The same, difference to a\n") == 1  # the kinds of error
    (folders[1] / "results.json").write_text(json.dumps(sides[0]))
    assert tool("compare", *folders) == 0
    assert "no interval:" in capsys.readouterr().out  # results.json is of another test


def test_runs_of_action_recognition(tmp_path, capsys):
    folders = []
    for name, gain in (("none", 0.5), ("srl", 1.5)):
        for seed in range(2):
            folder = run(tmp_path / name / f"seed{seed}", 0.5, seed, blocks=name)
            save_test(folder, videos.scores(gain=gain, seed=seed))
            folders.append(folder)
    assert tool("compare", *folders, "--output", tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert "| none | 2 | 0 1 |" in said
    assert "| srl | top1 |" in said
    assert "| class | videos | none/seed0 | srl/seed0 | gain |" in said
    assert tool("compare", folders[0], folders[2]) == 0
    said = capsys.readouterr().out
    row = next(line for line in said.splitlines() if "bootstrap over 42 videos of the test" in line)
    tests = [load_scores(folders[place]) for place in (0, 2)]
    gain = np.subtract(*((t.scores.argmax(1) == t.labels).mean() for t in tests[::-1]))
    assert gain > 0.1
    assert f"| srl/seed0 | top1 | {gain:+.4f} |" in row
    rows = [line for line in said.splitlines() if "bootstrap over 42 videos" in line]
    assert [row.split(" | ")[1] for row in rows] == ["top1", "top5", "mean_class"]
    keypoints = run(tmp_path / "k", 0.7)
    assert tool("compare", folders[0], keypoints) == 2
    assert "compare runs of one task" in capsys.readouterr().err
