"""The printed costs of the SRL paper's keypoint networks, each with the cost counted here.

Source: Chi et al., 2019, tables 2 and 3. Those of both papers' video networks are in
keypoint/action/networks/tables.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from keypoint.blocks import build_block
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
    return [srl_table_2(), srl_table_3()]


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
        "counted, which fits no interpretation that keeps the others."
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
        "The GFLOPs of nl, and of cgnl at 384x288, fit no interpretation. rcca counts the layer of "
        "its attention twice, as it is called twice."
    )
    title = "SRL paper, table 3: what three blocks add to the ResNet-50"
    return Table(title, ("GFLOPs", "M parameters"), rows, note)


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
    """Parameters in a unit."""
    return Cell(printed, total.paper.parameters / unit, total.true.parameters / unit)
