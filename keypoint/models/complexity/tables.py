"""The printed costs of the SRL and PNL papers, each with the cost counted here.

Sources: SRL (Chi et al., 2019), tables 2, 3 and 8; PNL (Xu et al., 2020), tables 3, 5 and 6. Of the
two papers' video networks the blocks alone are built here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from keypoint.blocks import PNL, NonLocal, build_block
from keypoint.models.complexity.count import Count, count, count_model
from keypoint.models.names import DECONV_SITES, STRIDES_OF_SITES

PAPER_GIGA, TRUE_GIGA = 2**30, 10**9
DECONV_STRIDES = [STRIDES_OF_SITES[32][site] for site in DECONV_SITES]

# Printed: GFLOPs for the three sizes without blocks, and with three SRL-FFT; M parameters of both.
SIZES = ((256, 192), (384, 288), (512, 384))
TABLE_2 = {
    "resnet50": (("8.99", "20.23", "35.97"), ("9.08", "20.43", "36.32"), ("34.00", "34.10")),
    "resnet101": (("12.38", "27.85", "49.52"), ("12.46", "28.05", "49.86"), ("52.99", "53.09")),
    "resnet152": (("15.76", "35.47", "63.06"), ("15.85", "35.67", "63.41"), ("68.64", "68.74")),
}
# GFLOPs at 256 x 192 and at 384 x 288, M parameters; of three blocks.
TABLE_3 = {
    "nl": ("2.90", "13.26", "0.39"),
    "a2": ("0.28", "0.62", "0.20"),
    "cgnl": ("0.39", "0.88", "0.31"),
    "rcca": ("1.20", "2.76", "0.92"),
    "srl_fft": ("0.09", "0.20", "0.10"),
}
# GFLOPs, K parameters; of four blocks.
TABLE_8 = {"nl": ("1.23", "321.50"), "srl_lo": ("0.21", "86.89"), "srl_fft": ("0.08", "86.06")}
TABLE_8_STAGES = ((128, 28), (256, 14))  # channels and side after res3 and res4; two blocks each
TABLE_8_FRAMES = 4
# M parameters of networks with PNL; 200 classes, as the printed base networks have.
MFNET = 7_842_568
C2D_RESNET50 = 23_508_032 + 2048 * 200 + 200  # torchvision's ResNet-50 without classifier, and one


@dataclass(frozen=True)
class Cell:
    """A printed number and the counted one, in the printed unit; `true` in a unit of its own."""

    printed: str
    counted: float
    true: float

    @property
    def shown(self) -> str:
        """The counted number with as many decimals as the printed one has."""
        return self.rounded(self.counted)

    @property
    def miss(self) -> float:
        """Difference of the counted from the printed number, in percent of the printed one."""
        return 100 * (self.counted / float(self.printed) - 1)

    @property
    def equal(self) -> bool:
        """Whether they agree in every printed digit."""
        return self.shown == self.printed

    def rounded(self, number: float) -> str:
        """With as many decimals as the printed number has."""
        return f"{number:.{len(self.printed.partition('.')[2])}f}"


@dataclass(frozen=True)
class Table:
    """Rows by their label, each with a cell per quantity, and a note."""

    title: str
    quantities: tuple[str, ...]
    rows: Mapping[str, tuple[Cell, ...]]
    note: str


def paper_tables() -> list[Table]:
    """All tables, counted now."""
    return [srl_table_2(), srl_table_3(), srl_table_8(), pnl_tables()]


def srl_table_2() -> Table:
    """Networks without and with three SRL-FFT blocks."""
    rows = {}
    for encoder, (plain_giga, srl_giga, millions) in TABLE_2.items():
        for index, size in enumerate(SIZES):
            parts = count_model(encoder, blocks="srl_fft", input_size=size)
            plain = add(part for name, part in parts.items() if not name.startswith("block"))
            for blocks, total, giga, million in (
                ("", plain, plain_giga[index], millions[0]),
                (" + srl_fft", add(parts.values()), srl_giga[index], millions[1]),
            ):
                label = f"{encoder}{blocks} {size[0]}x{size[1]}"
                rows[label] = (giga_cell(giga, total), parameter_cell(million, total, 1e6))
    note = (
        "All rows with blocks are equal. Two of the networks without are printed .01 higher than "
        "they count, and that fits no reading which keeps the others."
    )
    title = "SRL paper, table 2: networks without and with three SRL-FFT blocks"
    return Table(title, ("GFLOPs", "M parameters"), rows, note)


def srl_table_3() -> Table:
    """Cost that three blocks add to the ResNet-50."""
    rows = {}
    for index, (height, width) in enumerate(SIZES[:2]):
        for name, printed in TABLE_3.items():
            sizes = [(height // stride, width // stride) for stride in DECONV_STRIDES]
            with FakeTensorMode():
                blocks = [build_block(name, 256, size) for size in sizes]
                total = count_blocks(blocks, [(256, *size) for size in sizes])
            rows[f"{name} {height}x{width}"] = (
                giga_cell(printed[index], total),
                parameter_cell(printed[2], total, 1e6),
            )
    note = (
        "The GFLOPs of nl, and of cgnl at 384x288, fit no reading. rcca counts the layer of its "
        "attention twice, as it is called twice."
    )
    title = "SRL paper, table 3: what three blocks add to the ResNet-50"
    return Table(title, ("GFLOPs", "M parameters"), rows, note)


def srl_table_8() -> Table:
    """Four blocks in the C2D ResNet-18, the video network; without the network."""
    rows = {}
    for name, (giga, kilo) in TABLE_8.items():
        blocks, shapes = [], []
        with FakeTensorMode():
            for channels, side in TABLE_8_STAGES:
                for _ in range(2):
                    size = (side, side)
                    blocks.append(build_block(name, channels, size, frames=TABLE_8_FRAMES))
                    shapes.append((channels, TABLE_8_FRAMES, side, side))
            total = count_blocks(blocks, shapes)
        rows[f"{name} ({total.paper.parameters:,})"] = (
            giga_cell(giga, total),
            parameter_cell(kilo, total, 1024),
        )
    note = (
        "In brackets the parameters; K is 1024; P and Q of srl_lo count. The GFLOPs of nl fit no "
        "reading, and those of srl_lo (0.2049) just miss."
    )
    title = "SRL paper, table 8: four blocks in the C2D ResNet-18"
    return Table(title, ("GFLOPs", "K parameters"), rows, note)


def pnl_tables() -> Table:
    """Parameters of networks with PNL or NL blocks."""

    def pnl(channels: int) -> PNL:
        return PNL(channels, dims=3, ratio=8)

    with FakeTensorMode():
        entries: list[tuple[str, str, int, list[PNL | NonLocal]]] = [
            ("table 3: MFNet + PNL", "7.92", MFNET, [pnl(384)]),
            ("table 3: the same by concatenation", "7.911", MFNET,
             [PNL(384, dims=3, combine="concatenation")]),
            ("table 5: MFNet + 5 PNL", "8.12", MFNET,
             [pnl(channels) for channels in (192, 192, 384, 384, 384)]),
            ("table 5: MFNet + NL", "8.15", MFNET, [NonLocal(384, dims=3)]),
            ("table 6: C2D ResNet-50", "23.92", C2D_RESNET50, []),
            ("table 6: C2D ResNet-50 + PNL", "24.46", C2D_RESNET50, [pnl(1024)]),
            ("table 6: C2D ResNet-50 + NL", "26.38", C2D_RESNET50, [NonLocal(1024, dims=3)]),
        ]  # fmt: skip
        rows = {}
        for label, printed, base, blocks in entries:
            shapes = [(block.channels, 2, 8, 8) for block in blocks]  # of any size
            total = count_blocks(blocks, shapes)
            counted, true = base + total.paper.parameters, base + total.true.parameters
            blocks_alone = f" ({total.paper.parameters:,})" if blocks else ""
            rows[label + blocks_alone] = (Cell(printed, counted / 1e6, true / 1e6),)
    note = (
        "In brackets the blocks alone. The printed numbers count the operation that the scales "
        "share once for each, and have q and k of width C'/8 (the text names none; ratio=8). The "
        "row by concatenation and the two with NL fit no reading. MFNet itself is taken to have "
        f"{MFNET:,} parameters, for 200 classes, and C2D {C2D_RESNET50:,}."
    )
    return Table("PNL paper: networks with PNL", ("M parameters",), rows, note)


def count_blocks(blocks: Iterable[nn.Module], shapes: Iterable[tuple[int, ...]]) -> Count:
    """Cost of blocks on maps of these shapes, without the batch."""
    pairs = zip(blocks, shapes, strict=True)
    return add(count(block, torch.zeros(1, *shape)) for block, shape in pairs)


def add(counts: Iterable[Count]) -> Count:
    """Sum of counts."""
    return sum(counts, Count.zero())


def giga_cell(printed: str, total: Count) -> Cell:
    """GFLOPs of the paper's giga, 2^30; the true ones of 10^9."""
    paper, true = total.paper.multiply_adds, total.true.multiply_adds
    return Cell(printed, paper / PAPER_GIGA, true / TRUE_GIGA)


def parameter_cell(printed: str, total: Count, unit: float) -> Cell:
    """Parameters in millions, or for video in units of 1024."""
    return Cell(printed, total.paper.parameters / unit, total.true.parameters / unit)
