"""Integers of both papers' video networks, and the cells that they explain or do not."""

import pytest

from keypoint.action import create_model
from keypoint.action.networks import tables
from keypoint.action.networks.count import count_action_model
from keypoint.commands import cli
from keypoint.models.complexity import Count, count
from tests.calling import command


def numbers(table):
    return {
        label: tuple(number.counted if number else None for number in row)
        for label, row in table.rows.items()
    }


def unequal(table):
    return {
        (label, quantity): number.printed
        for label, row in table.rows.items()
        for quantity, number in zip(table.quantities, row, strict=True)
        if number and number.cell and not number.cell.equal
    }


def test_networks():
    table = tables.networks()
    assert numbers(table) == {
        "C2D R18 8x8, 400 classes": (11_381_712, 9_576_194_048),
        "C2D R18 8x8, 200 classes": (11_279_112, None),
        "C2D R18 8x8, 101 classes": (11_228_325, None),
        "C2D R50 8x8, 400 classes": (24_327_632, 19_493_191_680),
        "C2D R50 32x2, 400 classes": (24_327_632, 20_437_303_296),
        "C2D R50 8x8, 200 classes": (23_917_832, None),
        "C2D R50 8x8, 101 classes": (23_714_981, None),
        "C2D R101 8x8, 400 classes": (43_319_760, None),
        "MFNet, 400 classes": (7_996_368, 11_045_449_728),
        "MFNet, 200 classes": (7_842_568, 11_045_296_128),
        "MFNet, 101 classes": (7_766_437, 11_045_220_096),
    }
    assert not unequal(table)


def test_srl_tables_8_and_9():
    table = tables.srl_tables_8_and_9()
    counted = numbers(table)
    assert {label: row[0:1] + row[2:] for label, row in counted.items()} == {
        "NL, 4 blocks": (329_216, 329_216, 11_710_928),
        "SRL-LO, 4 blocks": (88_976, 92_900, 11_474_612),
        "SRL-FFT, 4 blocks": (88_128, 90_260, 11_471_972),
        "SRL-FFT, 1 block": (34_832, 35_057, 11_416_769),
        "SRL-FFT, 2 blocks": (44_064, 45_130, 11_426_842),
        "groups 1, 4 blocks": (661_568, 663_700, 12_045_412),
        "channel only, 4 blocks": (84_992, 87_124, 11_468_836),
        "time only, 4 blocks": (3_136, 5_268, 11_386_980),
        "CGNL, 4 blocks": (256_000, 257_536, 11_639_248),
        "A2, 4 blocks": (163_840, 163_840, 11_545_552),
        "PNL, 4 blocks": (95_808, 31_776, 11_413_488),
    }
    giga = {label.split(",")[0]: row[1] / 2**30 for label, row in counted.items()}
    assert giga["NL"] == pytest.approx(3.021, abs=5e-4)
    assert giga["SRL-LO"] == pytest.approx(0.2049, abs=5e-5)
    # conv_c of 2C maps in 8 groups and conv_t of T x T, on the half spectrum; two real FFTs.
    conv_c = sum(2 * (2 * c) ** 2 // 8 * 4 * n * (n // 2 + 1) for c, n in ((128, 28), (256, 14)))
    assert conv_c / 2**30 == pytest.approx(0.0530, abs=5e-5)
    assert unequal(table) == {
        ("NL, 4 blocks", "FLOPs (G)"): "1.23",
        ("SRL-LO, 4 blocks", "FLOPs (G)"): "0.21",
    }


def test_srl_table_10():
    assert {label: row[2] for label, row in numbers(tables.srl_table_10()).items()} == {
        "SRL-FFT, 2 blocks": 668_746,
        "SRL-FFT, 5 blocks": 1_870_213,
        "SRL-FFT*, 5 blocks": 14_715_269,
        "SRL-FFT, 10 blocks": 3_740_426,
        "SRL-FFT*, 10 blocks": 29_430_538,
        "NL, 5 blocks": 7_358_464,
    }


def test_pnl_mfnet():
    table = tables.pnl_mfnet()
    counted = numbers(table)
    assert {label: row[0] for label, row in counted.items()} == {
        "table 3: MFNet": 7_842_568,
        "table 3: concatenation": 7_918_024,
        "table 3: self-attention": 7_920_352,
        "table 5: MFNet": 7_842_568,
        "table 5: MFNet-NL": 8_139_208,
        "table 5: MFNet-PNL(x1)": 7_920_352,
        "table 5: MFNet-PNL(x5)": 8_115_688,
        "concatenation, shared": 7_861_432,
        "PNL(x1), shared": 7_870_744,
        "PNL(x5), shared": 7_941_448,
    }
    assert counted["table 3: MFNet"][1] == 11_045_296_128 + 2 * 65_529_856 == 11_176_355_840
    assert unequal(table) == {
        ("table 3: concatenation", "parameters (M)"): "7.911",
        ("table 3: concatenation", "FLOPs (G)"): "11.208",
        ("table 3: self-attention", "FLOPs (G)"): "11.218",
        ("table 5: MFNet", "FLOPs (G)"): "11.17",
        ("table 5: MFNet-NL", "parameters (M)"): "8.15",
        ("table 5: MFNet-NL", "FLOPs (G)"): "11.66",
        ("table 5: MFNet-PNL(x5)", "FLOPs (G)"): "11.38",
    }


def test_pnl_resnet50():
    table = tables.pnl_resnet50()
    counted = numbers(table)
    assert {label: row[0] for label, row in counted.items()} == {
        "table 6: R-50": 23_917_832,
        "table 6: R-50 + NL": 26_019_592,
        "table 6: R-50 + CGNL": 25_558_280,
        "table 6: R-50 + PNL(x1)": 24_463_176,
        "R-50 + PNL(x1), shared": 24_115_848,
        "101 classes: R-50": 23_714_981,
        "101 classes: R-50 + NL": 25_816_741,
        "101 classes: R-50 + CGNL": 25_355_429,
        "101 classes: R-50 + PNL": 24_260_325,
        "101 classes: shared PNL": 23_912_997,
        "table 5: Res50-NL": 27_656_232,
        "table 5: Res50-CGNL": 27_197_480,
    }
    assert counted["table 6: R-50"][1] / 1e9 == pytest.approx(10.290, abs=5e-4)
    assert set(unequal(table)) == {
        ("table 6: R-50 + NL", "parameters (M)"), ("table 6: R-50 + NL", "FLOPs (G)"),
        ("table 6: R-50 + CGNL", "parameters (M)"), ("table 6: R-50 + CGNL", "FLOPs (G)"),
        ("table 6: R-50 + PNL(x1)", "FLOPs (G)"),
    }  # fmt: skip


def total(counts):
    return sum(counts, Count.zero())


def test_parts_are_the_network():
    """Frames folded or not; a real pass of one clip counts the same."""
    for network, parts in (
        ("c2d_resnet18", ["stem", "layer1", "layer2", "layer3", "layer4", "head"]),
        ("mfnet", ["stem", "conv2", "conv3", "conv4", "conv5", "head"]),
    ):
        options = {"num_classes": 5, "frames": 4, "input_size": (32, 48)}
        counted = count_action_model(network=network, **options)
        assert list(counted) == parts
        model = create_model(network, **options, dropout=0.0)
        whole = count(model.eval(), model.example())
        assert total(counted.values()) == whole
        assert whole.paper == whole.true  # nothing but layers


def test_blocks_anywhere_are_parts():
    blocks = {"layer3.1": "srl_fft", "layer4.0.conv1": "nl"}
    counted = count_action_model(
        network="c2d_resnet18", frames=2, input_size=(32, 32), blocks=blocks
    )
    assert [name for name in counted if name.startswith("block")] == [
        "block at layer3.1", "block at layer4.0.conv1",
    ]  # fmt: skip
    assert counted["block at layer4.0.conv1"].true.parameters == 4 * 512 * 256 + 2 * 512


@pytest.fixture
def tool():
    return command("action.complexity")


def test_command_prints_parts_of_a_config(tool, capsys):
    assert cli.run(tool.main, ["--cfg", "c2d_res18_srl_fft4.yaml", "clips.frames=2"]) == 0
    out = capsys.readouterr().out
    head = "c2d_resnet18 8x8, 400 classes (assumed; --classes N counts others), input 2x224x224, "
    head += "blocks: srl_fft at each\n"
    assert out.startswith(head)
    lines = {line[:20].strip(): line[20:].split() for line in out.splitlines()}
    assert lines["block at layer3.1"][2] == f"{35_057 - 16 + 1:,}"  # conv_t of 1 frame
    assert lines["head"][:1] == ["205,200"]
    arguments = ["--cfg", "c2d_res18.yaml", "--classes", "101", "clips.frames=2"]
    assert cli.run(tool.main, arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("c2d_resnet18 8x8, 101 classes, input")
    assert next(line for line in lines if line.startswith("total")).split()[1] == "11,228,325"


def test_command_takes_the_number_of_classes_from_the_config(tool, tmp_path, capsys):
    names = tmp_path / "names.txt"
    names.write_text("jump\nrun\n\nsit\n")
    for classes, number in (("[a, b]", 2), (names, 3), ("names.txt", 3)):
        keys = [f"data.root={tmp_path}", f"data.classes={classes}"]
        arguments = ["--cfg", "c2d_res18.yaml", "clips.frames=2", *keys]
        assert cli.run(tool.main, arguments) == 0
        assert f"c2d_resnet18 8x8, {number} classes, input" in capsys.readouterr().out
    assert cli.run(tool.main, ["--cfg", "c2d_res18.yaml", "data.classes=nowhere.txt"]) == 2
    assert "no such file in data.root; give --classes N" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [[], ["--paper-tables", "--cfg", "c2d_res18.yaml"], ["--paper-tables", "seed=1"]]
)
def test_command_refuses_what_it_would_ignore(tool, arguments, capsys):
    assert cli.run(tool.main, arguments) == 2
    assert "give either --cfg FILE" in capsys.readouterr().err
    assert cli.run(tool.main, ["--paper-tables", "--classes", "3"]) == 2
    assert "--classes has no effect" in capsys.readouterr().err
