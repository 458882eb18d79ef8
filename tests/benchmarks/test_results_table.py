"""docs/results.md: the paper's numbers, configs and commands of every row; who may fill "ours"."""

import os
import re
from pathlib import Path

import pytest

from keypoint.checkpoint.file import KEYS, save_checkpoint
from keypoint.commands import cli
from keypoint.config.load import find_config, load_config
from keypoint.files import write_json
from keypoint.models.complexity import Count, count_model
from keypoint.pose.skeleton import load_skeleton
from tests.config.test_configs import OTHERS, PUBLISHED, SIZES, name_of
from tests.test_readme import REPOSITORY, help_of

DOCUMENT = REPOSITORY / "docs" / "results.md"
PAPER = Path(os.environ.get("KEYPOINT_PAPERS", REPOSITORY.parent / "shared" / "papers")) / "srl.txt"
DETECTIONS = "COCO_val2017_detections_AP_H_56_person.json"
BLOCKS = {"none": "", "NL": "_nl3", "A2": "_a2x3", "CGNL": "_cgnl3", "RCCA": "_rcca3"}
BLOCKS |= {"SRL-FFT": "_srl3", "SRL-LO": "_srllo3", "SimpleBaseline": ""}
SIX = ["AP", "AP50", "AP75", "AP_M", "AP_L", "AR"]


def cells(line):
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def sections():
    """By table number: rows as dicts, and the commands below."""
    found = {}
    for number, text in re.findall(
        r"^## Table (\d).*?\n(.*?)(?=^## |\Z)", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL
    ):
        head, _, *rows = [cells(line) for line in text.splitlines() if line.startswith("|")]
        commands = re.search(r"```\n(.*?)```", text, re.DOTALL)[1].splitlines()
        rows = [dict(zip(head, row, strict=True)) for row in rows]
        for row in rows:
            row["name"] = re.fullmatch(r"`(\w+)\.yaml`", row["config"])[1]
        found[int(number)] = (rows, commands)
    return found


TABLES = sections()
ROWS = [(number, row) for number, (rows, _) in TABLES.items() for row in rows]


def expected_name(number, row):
    """The config that a row's words ask for."""
    if number in (2, 3, 6):
        encoder = row.get("backbone", "ResNet-50").replace("ResNet-", "resnet")
        return name_of(encoder, BLOCKS[row.get("block") or row["network"]], row["input"])
    label = row.get("network") or row["blocks"]
    whole = {"baseline": "", "none": "", "+3 @ d1 / d2 / d3": "_srl3"}
    by_label = {given: suffix for suffix, (_, table, given, _) in OTHERS.items() if table == number}
    return f"res50_384x288{(whole | by_label)[label]}"


def test_all_tables_are_there():
    assert {number: len(rows) for number, (rows, _) in TABLES.items()} == {2: 18, 3: 12, 4: 6, 5: 6, 6: 12}  # fmt: skip
    used = {row["name"] for _, row in ROWS}
    assert used == {  # every config of the folder but those beyond the paper's tables
        path.stem for path in (REPOSITORY / "configs" / "coco").glob("*.yaml")
    } - {f"res50_512x384{suffix}" for suffix in ("_nl3", "_a2x3", "_cgnl3", "_rcca3", "_srllo3")}


@pytest.mark.parametrize(("number", "row"), ROWS)
def test_a_row_has_its_config_and_the_typed_ap(number, row):
    assert row["name"] == expected_name(number, row)
    config = load_config(find_config(row["name"]))
    assert config.train.recipe == "paper"
    assert config.model.input_size == SIZES[row.get("input", "384x288")]
    suffix = re.sub(r"res\d+_\d+x\d+", "", row["name"])
    if suffix in OTHERS:
        ap = OTHERS[suffix][3]
    else:
        aps = PUBLISHED[config.model.encoder, suffix]
        ap = aps[list(SIZES.values()).index(config.model.input_size)]
    assert row["AP"] == f"{ap:.1f}"


@pytest.mark.parametrize("number", TABLES)
def test_each_row_has_its_two_commands(number):
    rows, commands = TABLES[number]
    expected = []
    for row in rows:
        name = row["name"]
        expected += [
            f"torchrun --nproc_per_node 8 tools/train.py --cfg {name}.yaml",
            f"keypoint test --checkpoint output/{name}/last.pt test.boxes={DETECTIONS}",
        ]
        assert load_config(find_config(name)).output == f"output/{name}"
    assert commands == expected


def test_the_commands_options_exist():
    assert "--cfg" in help_of("train")
    assert "--checkpoint" in help_of("test")
    load_config(find_config("res50_256x192"), [f"test.boxes={DETECTIONS}"])
    assert "FOLDER" in help_of("tools/benchmarks/results_table.py")


def printed_tables():
    """Rows of cells of the paper's text, by the number of the table; empty cells are the above."""
    lines, tables = PAPER.read_text().splitlines(), {}
    for number in TABLES:
        end = next(i for i, line in enumerate(lines) if line.startswith(f"Table {number}:"))
        body = []
        for line in reversed(lines[:end]):
            if "\t" in line:
                body.append(line.split("\t"))
            elif body:
                break
        tables[number] = body[::-1]
    return tables


@pytest.mark.skipif(not PAPER.is_file(), reason=f"the paper's text is not at {PAPER}")
def test_numbers_are_the_papers_text():
    printed = printed_tables()

    def numbers(row, *keys):
        return [row[key] for key in keys]

    rows = [row for row in printed[2][1:] if row[0] or row[1] or row[2]]
    first = next(i for i, row in enumerate(rows) if row[0].startswith("SimpleBaseline"))
    millions = ""
    for row, ours in zip(rows[first:], TABLES[2][0], strict=True):
        millions = row[4] or millions
        found = [row[3], millions, *row[5:]]
        assert found == numbers(ours, "GFLOPs", "M params", *SIX)
        assert row[2].replace(" × ", "x") == ours["input"]
        assert row[1] in ("", ours["backbone"])
        assert row[0].split(" [")[0] in ("", ours["network"])
    for row, ours in zip(printed[3][1:], TABLES[3][0], strict=True):
        assert row[2:] == numbers(ours, "GFLOPs", "M params", "AP")
        assert row[0].replace(" × ", "x") in ("", ours["input"])
        name = row[1].split(" [")[0].replace("A ²", "A2").replace("-", "none", row[1] == "-")
        assert name == ours["block"]
    for number, key in ((4, "network"), (5, "blocks")):
        for row, ours in zip(printed[number][1:], TABLES[number][0], strict=True):
            assert row[1:] == numbers(ours, *SIX)
            name = "none" if row[0] == "-" else row[0].split(" [")[0]
            assert name == ours[key]
    backbone = ""
    flat = []
    for row in printed[6][1:]:
        backbone = row[0] or backbone
        names = zip(("none", "SRL-LO", "SRL-FFT"), row[2:], strict=True)
        flat += [[backbone, row[1].replace("×", "x"), name, ap] for name, ap in names]
    assert flat == [numbers(row, "backbone", "input", "block", "AP") for row in TABLES[6][0]]


@pytest.mark.parametrize("row", TABLES[4][0], ids=lambda row: row["network"])
def test_costs_of_table_4_are_counted(row):
    model = load_config(find_config(row["name"])).model
    options = {"encoder_stride": model.encoder_stride, "dilated": model.dilated}
    parts = count_model(model.encoder, blocks=model.blocks, input_size=model.input_size, **options)
    total = sum(parts.values(), Count.zero())
    assert row["counted M params"] == f"{total.paper.parameters / 1e6:.2f}"
    assert row["counted GFLOPs"] == f"{total.paper.multiply_adds / 2**30:.2f}"
    assert row["true G mult-adds"] == f"{total.true.multiply_adds / 1e9:.2f}"


def test_ours_is_empty_or_a_number():
    """A number is written by the tool alone; as long as no run was measured there is none."""
    assert all(re.fullmatch(r"|\d\d\.\d", row["ours"]) for _, row in ROWS)


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(REPOSITORY / "tools/benchmarks"))
    import results_table

    return results_table


def persons(used=104_100, images=5000, **skipped):
    """What metrics.json says of the boxes."""
    skipped = {"with a bbox without area": 25} | skipped
    total = {"total": images, "used": images, "skipped": {}}
    return {"source": DETECTIONS, "total": used + sum(skipped.values()), "used": used, "skipped": skipped, "images": total}  # fmt: skip


@pytest.fixture
def finished(tmp_path):
    """Writes a finished run of res50_256x192, with what is to be different."""

    def write(name="res50_256x192", overrides=(), metrics=None, conditions=None, **content):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        config = load_config(find_config("res50_256x192"), list(overrides))
        checkpoint = dict.fromkeys(KEYS) | {
            "format": 1,
            "model": {},
            "color_order": "rgb",
            "mean": [0.5] * 3,
            "std": [0.5] * 3,
            "epoch": config.train.epochs,
            "world_size": 8,
            "config": config.to_dict(),
            "skeleton": load_skeleton("coco17").to_dict(),
        }
        save_checkpoint(folder / "last.pt", checkpoint | content)
        had = {
            "boxes": "detector", "boxes_file": f"somewhere/{DETECTIONS}", "box_score_threshold": 0.0,
            "annotations": "/coco/annotations/person_keypoints_val2017.json", "images_left_out": 0,
            "codec": "heatmap", "flip": True, "decoding": "quarter offset", "oks_nms": "hard at 0.9",
            "keypoint_threshold": 0.2, "input_size": [256, 192], "persons": persons(),
        }  # fmt: skip
        had |= conditions or {}
        card = {"metrics": {"AP": 0.70349} | (metrics or {}), "conditions": had}
        write_json(folder / "metrics.json", card)
        return folder

    return write


@pytest.fixture
def document(tmp_path):
    path = tmp_path / "results.md"
    path.write_text(DOCUMENT.read_text())
    return path


def test_a_measured_number_fills_its_rows_in_all_tables(tool, finished, document, capsys):
    before = document.read_text().splitlines()
    free = ["data.root=/elsewhere", "data.workers=0", "data.val_images=images/val2017", "seed=3"]
    folder = finished(overrides=["train.amp=bf16", "train.log_every=7", *free])
    assert cli.run(tool.main, [str(folder), "--document", str(document)]) == 0
    assert "res50_256x192: AP 70.3 in 3 rows" in capsys.readouterr().out
    after = document.read_text().splitlines()
    changed = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    assert len(changed) == 3
    for old, new in changed:
        assert cells(new) == [*cells(old)[:-1], "70.3"]
        assert "`res50_256x192.yaml`" in new
        assert len(old) == len(new)


def test_one_device_with_accumulation_is_the_same_step(tool, finished, document):
    folder = finished(overrides=["train.accumulate=8"], world_size=1)
    assert cli.run(tool.main, [str(folder), "--document", str(document)]) == 0


@pytest.mark.parametrize(
    ("different", "status", "words"),
    [
        ({"overrides": ["train.epochs=1"]}, 2, "train.epochs=1 (the row's: 210)"),
        ({"overrides": ["train.recipe=mmpose"]}, 2, "train.lr=0.0005 (the row's: 0.001)"),
        ({"overrides": ["model.blocks=srl_fft"]}, 2, "model.blocks=srl_fft (the row's: None)"),
        ({"world_size": 1}, 2, "32 crops a step (the row's: 256)"),
        ({"epoch": 209}, 2, "epoch 209 of 210"),
        ({"name": "res50_384x288"}, 2, "model.input_size=[256, 192] (the row's: [384, 288])"),
        ({"conditions": {"boxes": "ground truth"}}, 3, "boxes 'ground truth' (the paper's: 'detector')"),
        ({"conditions": {"boxes_file": "a/own.json"}}, 3, "boxes_file 'own.json'"),
        ({"conditions": {"flip": False}}, 3, "flip False"),
        ({"conditions": {"decoding": "dark"}}, 3, "decoding 'dark'"),
        ({"conditions": {"oks_nms": None}}, 3, "oks_nms None"),
        ({"conditions": {"input_size": [384, 288]}}, 3, "input_size [384, 288]"),
        ({"overrides": ["data.train_annotations=annotations/small.json"]}, 2, "data.train_annotations=annotations/small.json (the row's: annotations/person_keypoints_train2017.json)"),
        ({"overrides": ["data.val_annotations=annotations/part.json"]}, 2, "data.val_annotations="),
        ({"overrides": ["data.skeleton=own.yaml"]}, 2, "data.skeleton=own.yaml (the row's: coco17)"),
        ({"overrides": ["data.on_bad=skip"]}, 2, "data.on_bad=skip (the row's: error)"),
        ({"conditions": {"annotations": "a/part.json"}}, 3, "annotations 'part.json' (the paper's: 'person_keypoints_val2017.json')"),
        ({"conditions": {"images_left_out": 3}}, 3, "images_left_out 3 (the paper's: 0)"),
        ({"conditions": {"persons": persons(images=605)}}, 3, "images_in_annotations 605 (the paper's: 5000)"),
        ({"conditions": {"persons": persons(used=104_000)}}, 3, "boxes_in_file 104025 (the paper's: 104125)"),
        ({"conditions": {"persons": persons(faulty=1)}}, 3, "boxes_in_file 104126 (the paper's: 104125)"),
        ({"conditions": {"box_score_threshold": 0.3}}, 3, "box_score_threshold 0.3 (the paper's: 0.0)"),
        ({"conditions": {"keypoint_threshold": 0.9}}, 3, "keypoint_threshold 0.9 (the paper's: 0.2)"),
        ({"conditions": {"keypoint_threshold": None}}, 3, "keypoint_threshold None"),
        ({"conditions": {"codec": "udp"}}, 3, "codec 'udp'"),
        ({"conditions": {"persons": 7}}, 3, "not written by this version's keypoint test"),
        ({"metrics": {"AP": -1.0}}, 3, "AP -1.000 was not measured"),
        ({"metrics": {"AP": None}}, 3, "not written by this version's keypoint test"),
    ],
)  # fmt: skip
def test_another_run_or_another_ap_fills_nothing(
    tool, finished, document, capsys, different, status, words
):
    good = finished()
    other = finished(**({"name": "res50_256x192"} | different))
    folders = [str(good), str(other)] if other != good else [str(other)]
    before = document.read_text()
    assert cli.run(tool.main, [*folders, "--document", str(document)]) == status
    assert words in capsys.readouterr().err
    assert document.read_text() == before


def test_a_config_of_no_row_is_refused(tool):
    with pytest.raises(tool.ConfigError, match=r"demo: no row of docs/results.md"):
        tool.fill(DOCUMENT.read_text(), "demo", 0.5)
