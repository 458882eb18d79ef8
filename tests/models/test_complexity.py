"""Costs: the integers of the papers' tables, closed forms for the true column, and the command."""

import copy
import math
import re

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from keypoint.action.networks.tables import srl_tables_8_and_9
from keypoint.blocks import CGNL, PNL, RCCA, SRL, DoubleAttention, NonLocal, build_block
from keypoint.blocks.build import BLOCKS
from keypoint.commands import cli
from keypoint.models import create_model
from keypoint.models.complexity import Cost, Count, count, count_model
from keypoint.models.complexity.formulas import FORMULAS
from keypoint.models.complexity.tables import Cell, paper_tables
from tests.calling import command
from tests.test_readme import REPOSITORY

DECODER = {256: [(16, 12), (32, 24), (64, 48)], 384: [(24, 18), (48, 36), (96, 72)]}
DECODER[512] = [(32, 24), (64, 48), (128, 96)]


def total(counts):
    return sum(counts, Count.zero())


def three_blocks(name, height, **options):
    with FakeTensorMode():
        return total(
            count(build_block(name, 256, size, **options), torch.zeros(1, 256, *size))
            for size in DECODER[height]
        )


def giga(cost):
    return round(cost.multiply_adds / 2**30, 3)


@pytest.mark.parametrize(
    ("encoder", "parameters"),
    [("resnet50", 33_999_697), ("resnet101", 52_991_825), ("resnet152", 68_635_473)],
)
def test_parameters_of_the_networks(encoder, parameters):
    counted = total(count_model(encoder, input_size=(64, 64)).values())
    assert counted.paper.parameters == counted.true.parameters == parameters


def test_true_cost_of_resnet50():
    parts = count_model("resnet50", input_size=(256, 192))
    counted = total(parts.values())
    assert counted.true.multiply_adds == 5_426_380_800
    assert counted.paper.multiply_adds / 2**30 == pytest.approx(8.9912, abs=1e-4)
    too_much = 0
    for i, channels in enumerate([2048, 256, 256]):
        positions = 8 * 6 * 4**i
        true = channels * 256 * 16 * positions
        assert parts[f"deconv{i + 1}"].true.multiply_adds == true
        assert parts[f"deconv{i + 1}"].paper.multiply_adds == 4 * true
        too_much += 3 * true
    # Nothing else is counted differently: no norm, no pooling.
    assert counted.paper.multiply_adds - too_much == counted.true.multiply_adds


@pytest.mark.parametrize(
    ("name", "parameters", "true_parameters", "gigas"),
    [
        ("srl_fft", 102_912, 107_171, {256: 0.086, 384: 0.196, 512: 0.353}),
        ("srl_lo", 100_608, 117_075, {256: 0.310}),  # not in the tables
        ("nl", 394_752, 394_752, {256: 2.892, 384: 13.254}),
        ("a2", 196_608, 196_608, {256: 0.277, 384: 0.623}),
        ("cgnl", 307_200, 308_736, {256: 0.388, 384: 0.874}),
        ("rcca", 917_856, 902_259, {256: 1.199, 384: 2.756}),
    ],
)
def test_three_blocks(name, parameters, true_parameters, gigas):
    for height in gigas:
        counted = three_blocks(name, height)
        assert counted.paper.parameters == parameters
        if height == 256:  # w and b of SRL grow with the map
            assert counted.true.parameters == true_parameters
        assert giga(counted.paper) == gigas[height]


def test_single_variant_counts_the_same():
    single = three_blocks("srl_fft", 256, variant="single")
    assert single.paper == three_blocks("srl_fft", 256).paper
    assert single.true.parameters == 102_915  # and alpha


def test_pnl_parameters():
    """Three blocks; a shared operation is one in truth and four to a counter of calls."""
    for options, paper, true in (
        ({}, 114_240, 37_920),
        ({"share": False}, 114_240, 114_240),
        ({"combine": "concatenation"}, 101_760, 25_440),
    ):
        counted = three_blocks("pnl", 256, **options)
        assert (counted.paper.parameters, counted.true.parameters) == (paper, true)


@pytest.fixture(scope="module")
def tables():
    return paper_tables()


def test_tables_are_equal_but_for_these_cells(tables):
    different = {
        (table.title.split(":")[0], row.split(" (")[0], quantity): (cell.printed, cell.shown)
        for table in tables
        for row, cells in table.rows.items()
        for quantity, cell in zip(table.quantities, cells, strict=True)
        if not cell.equal
    }
    two, three = (f"SRL paper, table {n}" for n in (2, 3))
    assert different == {
        (two, "resnet50 512x384", "GFLOPs"): ("35.97", "35.96"),
        (two, "resnet101 512x384", "GFLOPs"): ("49.52", "49.51"),
        (three, "nl 256x192", "GFLOPs"): ("2.90", "2.89"),
        (three, "nl 384x288", "GFLOPs"): ("13.26", "13.25"),
        (three, "cgnl 384x288", "GFLOPs"): ("0.88", "0.87"),
    }
    assert [len(table.rows) for table in tables] == [18, 10]


def test_cells():
    assert Cell("8.10", 8.1049, 0).equal
    assert not Cell("8.10", 8.1051, 0).equal
    assert Cell("7.911", 7.9, 0).shown == "7.900"
    assert Cell("2.00", 1.99, 0).miss == pytest.approx(-0.5)


# What our tables do not hold, by hand.


def paper(block, *size):
    return count(block, torch.zeros(1, 32, *size)).paper


def test_non_local_options_by_the_papers_rule():
    n, m = 7 * 9, 4 * 5  # pooling rounds up
    convs = 32 * 16
    assert paper(NonLocal(32), 7, 9).multiply_adds == 4 * convs * n + 2 * n * n * 16
    before = paper(NonLocal(32, subsample=2), 7, 9).multiply_adds
    assert before == 2 * convs * n + 2 * convs * m + 2 * n * m * 16
    after = paper(NonLocal(32, subsample=2, subsample_before=False), 7, 9).multiply_adds
    assert after == 4 * convs * n + 2 * n * m * 16
    gaussian = paper(NonLocal(32, pairwise="gaussian"), 7, 9).multiply_adds
    assert gaussian == 2 * convs * n + n * n * (32 + 16)
    concatenation = paper(NonLocal(32, pairwise="concatenation"), 7, 9)
    assert concatenation.multiply_adds == 4 * convs * n + n * n * (32 + 16)
    assert concatenation.parameters == 4 * convs + 2 * 32 + 32
    clip = paper(NonLocal(32, dims=3, subsample=2), 3, 7, 9).multiply_adds  # time is not pooled
    assert clip == 3 * (2 * convs * n + 2 * convs * m) + 9 * 2 * n * m * 16


def test_pnl_by_the_papers_rule():
    expected = 0
    for k in range(4):
        n = 2 * (8 >> k) * max(6 >> k, 1)
        expected += 4 * 8 * 4 * n + 2 * n * n * 4
    assert paper(PNL(32, dims=3, combine="concatenation"), 2, 8, 6).multiply_adds == expected
    expected += 4 * 2 * 8 * 4 + 16 * 4 + 4 * 32 * 2 * 48
    assert paper(PNL(32, dims=3), 2, 8, 6).multiply_adds == expected


def test_learned_orthogonal_by_the_papers_rule():
    block = paper(SRL(32, size=(6, 4), transform="lo"), 6, 4)
    assert block.multiply_adds == 2 * 32 * 24 * 10 + 2 * (32 * 16 // 2) * 24
    assert block.parameters == 2 * (32 * 16 // 2) + 2 * 16 + 2 * 32


def test_kernel_and_recurrence_by_the_papers_rule():
    dot = paper(CGNL(32, kernel="dot"), 6, 4).multiply_adds
    assert dot == (3 * 32 * 16 + 32 * 16 // 8 + 2 * 16) * 24
    first = paper(CGNL(32, order=1), 6, 4).multiply_adds
    assert first == dot + 2 * 16 * 24
    once, twice = (paper(RCCA(32, recurrence=r), 6, 4) for r in (1, 2))
    assert twice.parameters - once.parameters == 8 * (1 + 1 + 8) + 10
    assert twice.multiply_adds - once.multiply_adds == 8 * 10 * 24 + (1 + 8) * 24 * 10


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_the_papers_column_does_not_depend_on_what_is_run(name):
    x = torch.randn(1, 32, 16, 12)
    torch.manual_seed(0)
    block = build_block(name, 32, (16, 12))
    with FakeTensorMode():
        fake = count(build_block(name, 32, (16, 12)), torch.zeros(1, 32, 16, 12))
    real = count(block, x)
    assert real == fake, "a fake forward takes another way than a real one"
    assert count(block.eval(), x).paper == fake.paper
    assert real.true.parameters == sum(p.numel() for p in block.parameters())
    assert not any(module._forward_hooks for module in block.modules())


def test_another_form_of_the_transform_is_seen_in_the_true_column_alone():
    fft, matmul = (three_blocks("srl_fft", 256, matmul=matmul) for matmul in (False, True))
    assert fft.paper == matmul.paper
    assert fft.true.multiply_adds != matmul.true.multiply_adds


# The true column.


def multiply_adds(function, *arguments):
    """Plain PyTorch's count, and ours."""
    found = []
    for formulas in ({}, FORMULAS):
        with FlopCounterMode(display=False, custom_mapping=formulas) as counter:
            function(*arguments)
        found.append(counter.get_total_flops() / 2)
    return tuple(found)


def test_ffts_are_missed_by_pytorchs_counter_and_counted_here():
    x = torch.randn(2, 3, 16, 12)
    real = round(1.25 * 6 * 192 * math.log2(192))
    assert multiply_adds(torch.fft.rfft2, x) == (0, pytest.approx(real, abs=1))
    half = torch.fft.rfft2(x)
    inverse = multiply_adds(lambda z: torch.fft.irfft2(z, s=(16, 12)), half)
    assert inverse[0] == 0
    # The columns of the half spectrum, then the rows.
    by_hand = 2.5 * 6 * 16 * 7 * math.log2(16) + 1.25 * 6 * 16 * 12 * math.log2(12)
    assert inverse[1] in (pytest.approx(by_hand, abs=2), pytest.approx(real, abs=1))
    columns = multiply_adds(lambda z: torch.fft.ifft(z, dim=-2), half)
    assert columns == (0, pytest.approx(2.5 * 6 * 16 * 7 * 4, abs=1))
    rows = multiply_adds(lambda z: torch.fft.irfft(z, n=12), half)
    assert rows == (0, pytest.approx(1.25 * 6 * 16 * 12 * math.log2(12), abs=1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_attention_on_a_cpu_is_counted_by_every_version(dtype, monkeypatch):
    """PyTorch before 2.15 has no formula for it."""
    op = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    monkeypatch.delitem(flop_registry, op, raising=False)
    q, k, v = (torch.randn(2, 3, n, 8, dtype=dtype) for n in (20, 30, 30))
    plain, ours = multiply_adds(F.scaled_dot_product_attention, q, k, v)
    assert (plain, ours) == (0, 6 * 20 * 30 * (8 + 8))


def test_products_one_by_one():
    x = torch.randn(2, 4, 3, 5)
    assert multiply_adds(lambda x: x * x[:1], x) == (0, 120)
    assert multiply_adds(lambda x: torch.addcmul(x, x, x) / 3, x) == (0, 240)
    assert multiply_adds(lambda x: x.clone().mul_(2), x) == (0, 120)
    assert multiply_adds(lambda x: x * 1j, x) == (0, 480)
    assert multiply_adds(lambda x: x * 2, torch.arange(9)) == (0, 0)  # an index
    assert multiply_adds(lambda x: x + x.exp() - x.cumsum(1), x) == (0, 0)
    assert multiply_adds(lambda x: F.group_norm(x, 2), x) == (0, 240)
    assert multiply_adds(lambda x: F.interpolate(x, (6, 10), mode="bilinear"), x) == (0, 1920)
    assert multiply_adds(lambda x: x[0, 0] @ x[1, 1, 0], x) == (0, 15)
    assert multiply_adds(lambda x: torch.einsum("bchw,bdhw->bcd", x, x), x) == (480, 480)
    assert multiply_adds(nn.Linear(5, 7), x) == (840, 840)


def test_true_cost_of_blocks_by_hand():
    size, n = (6, 4), 24
    x = torch.randn(1, 32, *size)
    assert count(NonLocal(32), x).true.multiply_adds == 4 * 32 * 16 * n + 2 * n * n * 16
    # By reassociation, and g / N.
    dot = count(NonLocal(32, pairwise="dot"), x).true.multiply_adds
    assert dot == 4 * 32 * 16 * n + 2 * n * 16 * 16 + n * 16
    a2 = count(DoubleAttention(32), x).true.multiply_adds
    assert a2 == 4 * 32 * 8 * n + 2 * 8 * 8 * n
    rcca = count(RCCA(32), x).true.multiply_adds
    gates = 2 * 8 * n
    assert rcca == paper(RCCA(32), *size).multiply_adds + gates
    # The spectral convolutions and at least the two transforms.
    srl = count(SRL(32, size=size), x).true.multiply_adds
    assert srl > 2 * (64 * 32 // 8) * 6 * 3 + 2 * 1.25 * 32 * n * math.log2(n)


# Modules and networks.


def test_a_layer_that_is_called_twice_counts_twice_in_the_papers_column():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)
            self.again = nn.Sequential(self.conv)
            self.head = nn.Linear(5, 2)

        def forward(self, x):
            return self.head(self.again(self.conv(x)))

    counted = count(Twice(), torch.randn(1, 3, 4, 5))
    linear = 12 * 10
    assert counted.paper == Cost(2 * 84 + 12, 2 * 81 * 20 + linear)
    assert counted.true == Cost(84 + 12, 2 * 81 * 20 + linear)


def test_parts_are_the_network():
    blocks = {"layer3": "nl", "deconv1": {"type": "srl_lo"}, "deconv3": "a2"}
    parts = count_model("resnet18", blocks=blocks, input_size=(64, 96), num_keypoints=5)
    assert list(parts) == [
        "stem", "layer1", "layer2", "layer3", "block at layer3", "layer4",
        "deconv1", "block at deconv1", "deconv2", "deconv3", "block at deconv3", "head",
    ]  # fmt: skip
    model = create_model("resnet18", blocks=blocks, input_size=(64, 96), num_keypoints=5)
    before = copy.deepcopy(model.state_dict())
    whole = count(model.eval(), torch.zeros(1, 3, 64, 96))
    assert total(parts.values()).paper == whole.paper
    assert total(parts.values()).true.parameters == whole.true.parameters
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_smallest_input():
    assert total(count_model("resnet18", input_size=(32, 32)).values()).true.multiply_adds > 0


def test_refuses_a_batch():
    with pytest.raises(ValueError, match="x is a batch of 2; give a batch of 1"):
        count(nn.Conv2d(3, 3, 1), torch.zeros(2, 3, 4, 4))


@pytest.fixture
def tool():
    return command("complexity")


def test_command_prints_parts_of_a_config(tool, capsys):
    arguments = ["--cfg", "res50_384x288_srl3.yaml", "model.encoder=resnet18"]
    assert cli.run(tool.main, [*arguments, "model.input_size=[64,96]"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("resnet18, input 64x96, blocks: srl_fft\n")
    lines = {line[:20].strip(): line[20:].split() for line in out.splitlines()}
    assert lines["head"][0] == "4,369"
    parts = count_model("resnet18", blocks="srl_fft", input_size=(64, 96))
    whole = total(parts.values())
    assert lines["total"] == [
        f"{whole.paper.parameters:,}", f"{whole.paper.multiply_adds / 2**30:.4f}",
        f"{whole.true.parameters:,}", f"{whole.true.multiply_adds / 1e9:.4f}",
    ]  # fmt: skip
    assert "G is 2^30" in out


def test_command_prints_the_papers_tables(tool, tables, monkeypatch, capsys):
    monkeypatch.setattr(tool, "paper_tables", lambda: tables)
    video = srl_tables_8_and_9()
    monkeypatch.setattr(tool, "action_tables", lambda: [video])
    assert cli.run(tool.main, ["--paper-tables"]) == 0
    lines = capsys.readouterr().out.splitlines()

    def row(start):
        return next(line for line in lines if line.startswith(start)).split()

    resnet = "resnet50 512x384 35.97 35.96 -0.0143 % 21.71 34.00 34.00 = 34.00"
    assert " ".join(row("resnet50 512x384")) == resnet
    assert " ".join(row("rcca 256x192")) == "rcca 256x192 1.20 1.20 = 1.29 0.92 0.92 = 0.90"
    of_fft = "SRL-FFT, 4 blocks 88,128 86.06 = 83,711,792 0.08 = 90,260 11,471,972"
    assert " ".join(row("SRL-FFT, 4")) == of_fft
    assert " ".join(row("NL, 4")).endswith("1.23 +146 % 329,216 11,710,928")
    assert max(map(len, lines)) <= 110
    section = (
        (REPOSITORY / "docs" / "explanation" / "blocks.md")
        .read_text()
        .split("## Costs")[1]
        .split("\n## ")[0]
    )
    excerpt = section.split("```")[3].strip("\n").splitlines()
    assert len(excerpt) == 7
    assert all(line in lines for line in excerpt), "docs/explanation/blocks.md shows other numbers"
    for table in [*tables, video]:
        assert re.search("fits? no (reading|interpretation)", table.note)
        assert table.note in " ".join(lines)


@pytest.mark.parametrize(
    "arguments",
    [[], ["--paper-tables", "--cfg", "demo.yaml"], ["--paper-tables", "model.blocks=nl"]],
)
def test_command_refuses_what_it_would_ignore(tool, arguments, capsys):
    assert cli.run(tool.main, arguments) == 2
    assert "give either --cfg FILE" in capsys.readouterr().err


def test_counting_changes_no_statistics():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).train()
    before = {name: buffer.clone() for name, buffer in net.named_buffers()}
    count(net, torch.rand(1, 3, 64, 64))
    assert before
    assert all(torch.equal(buffer, before[name]) for name, buffer in net.named_buffers())
