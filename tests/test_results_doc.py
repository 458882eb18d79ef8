"""docs/reference/results.md: the paper's numbers, configs and commands of every row."""

import os
import re
from pathlib import Path

import pytest

from keypoint.config.load import find_config, load_config
from keypoint.evaluation import published
from keypoint.models.complexity import Count, count_model
from tests.config.test_configs import OTHERS, PUBLISHED, SIZES, name_of
from tests.test_readme import REPOSITORY, help_of

DOCUMENT = REPOSITORY / "docs" / "reference" / "results.md"
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


def test_compare_has_the_same_numbers():
    """All that are printed, of every row, and no other."""
    printed = {}
    for _, row in ROWS:
        numbers = tuple(float(row[key]) for key in SIX if key in row)
        printed[row["name"]] = max(numbers, printed.get(row["name"], ()), key=len)
    assert printed == published.ROWS
    assert tuple(SIX) == published.NUMBERS
    for _, row in ROWS:  # of the rows that several tables print
        assert float(row["AP"]) == published.ROWS[row["name"]][0]


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
