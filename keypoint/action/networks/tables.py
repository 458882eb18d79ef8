"""The printed costs of both papers' video networks, each with the number counted here.

Sources: SRL (Chi et al., 2019), tables 8 and 9; PNL (Xu et al., 2020), tables 3, 5 and 6. Units in
the SRL paper: K is 1024, G 2^30; in PNL: M is 10^6, G 10^9, by the rule in count.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from keypoint.action.networks.build import create_model
from keypoint.action.networks.count import OF_A_NORM, layer_multiply_adds
from keypoint.action.networks.network import ActionNetwork
from keypoint.models.complexity import count_parts
from keypoint.models.complexity.tables import PAPER_GIGA, TRUE_GIGA, Cell, add

KILO, MEGA = 1024, 10**6
BLOCK = "block at "

Arguments = dict[str, Any]
R18 = {"network": "c2d_resnet18"}
R50 = {"network": "c2d_resnet50"}
PNL_R50 = {"network": "c2d_resnet50", "num_classes": 200, "frames": 16, "form": "32x2"}
PNL_MFNET = {"network": "mfnet", "num_classes": 200, "frames": 16}
NL = {"type": "nl", "conv_bias": True}
PNL = {"type": "pnl", "share": False, "ratio": 8}
CONCATENATION = {"type": "pnl", "share": False, "combine": "concatenation"}


@dataclass(frozen=True)
class Number:
    """A counted integer, and the number printed in a paper, in its unit, or None."""

    counted: int
    printed: str = ""
    unit: float = MEGA

    @property
    def cell(self) -> Cell | None:
        """Both numbers in the printed unit."""
        if not self.printed:
            return None
        number = self.counted / self.unit
        return Cell(self.printed, number, number)


@dataclass(frozen=True)
class NumberTable:
    """Rows by their label, with a number per quantity or None, and a note."""

    title: str
    quantities: tuple[str, ...]
    rows: Mapping[str, tuple[Number | None, ...]]
    note: str


def action_tables() -> list[NumberTable]:
    """Count all tables."""
    return [networks(), srl_tables_8_and_9(), srl_table_10(), pnl_mfnet(), pnl_resnet50()]


def networks() -> NumberTable:
    """Count networks without blocks."""
    rows: dict[str, tuple[Number | None, ...]] = {}
    for label, arguments, millions, giga in (
        ("C2D R18 8x8, 400 classes", R18, "", ""),
        ("C2D R18 8x8, 200 classes", R18 | {"num_classes": 200}, "", None),
        ("C2D R18 8x8, 101 classes", R18 | {"num_classes": 101}, "", None),
        ("C2D R50 8x8, 400 classes", R50, "24.3", "19"),
        ("C2D R50 32x2, 400 classes", R50 | {"frames": 32, "form": "32x2"}, "", ""),
        ("C2D R50 8x8, 200 classes", R50 | {"num_classes": 200}, "", None),
        ("C2D R50 8x8, 101 classes", R50 | {"num_classes": 101}, "", None),
        ("C2D R101 8x8, 400 classes", {"network": "c2d_resnet101"}, "43.3", None),
        ("MFNet, 400 classes", PNL_MFNET | {"num_classes": 400}, "", ""),
        ("MFNet, 200 classes", PNL_MFNET, "7.843", ""),
        ("MFNet, 101 classes", PNL_MFNET | {"num_classes": 101}, "", ""),
    ):
        model = model_of(arguments)
        cost = None
        if giga is not None:
            cost = Number(layer_multiply_adds(model), giga, TRUE_GIGA)
        rows[label] = (parameters_of(model, millions), cost)
    note = (
        "All parameters; multiply-adds of convolutions and classifier, G = 10^9. The 24.3 M, 19 G "
        "and 43.3 M are mmaction2's; the 7.843 M are the PNL paper's, whose network has 200 "
        "classes."
    )
    return NumberTable(
        "Video networks without blocks", ("parameters (M)", "multiply-adds (G)"), rows, note
    )


def srl_tables_8_and_9() -> NumberTable:
    """Count the cost of blocks in the C2D ResNet-18."""
    fft = "srl_fft"
    rows = {
        label: added(R18 | {"blocks": blocks, "places": places}, *printed)
        for label, blocks, places, *printed in (
            ("NL, 4 blocks", "nl", "each", "321.50", "1.23"),
            ("SRL-LO, 4 blocks", "srl_lo", "each", "86.89", "0.21"),
            ("SRL-FFT, 4 blocks", fft, "each", "86.06", "0.08"),
            ("SRL-FFT, 1 block", fft, "res4", "", ""),
            ("SRL-FFT, 2 blocks", fft, "res3+res4", "", ""),
            ("groups 1, 4 blocks", {"type": fft, "groups": 1}, "each", "", ""),
            ("channel only, 4 blocks", {"type": fft, "ops": "channel"}, "each", "", ""),
            ("time only, 4 blocks", {"type": fft, "ops": "time"}, "each", "", ""),
            ("CGNL, 4 blocks", "cgnl", "each", "", ""),
            ("A2, 4 blocks", "a2", "each", "", ""),
            ("PNL, 4 blocks", "pnl", "each", "", ""),
        )
    }
    note = (
        "Added parameters as the paper counts them: convolutions, norms and linear layers, and P "
        "and Q of SRL-LO; of PNL the shared operation once a scale; K is 1024, G is 2^30. All "
        "added: w, b and alpha too, each parameter once. The 1.23 GFLOPs of NL fit no reading "
        "(sub-sampled after the convolutions 1.04, before them 0.90); the 0.21 of SRL-LO just "
        "miss, and are 0.22 of 10^9."
    )
    return NumberTable(
        "SRL paper, tables 8 and 9: what blocks add to the C2D ResNet-18", ADDED, rows, note
    )


ADDED = ("parameters (K)", "FLOPs (G)", "all added", "network")


def srl_table_10() -> NumberTable:
    """Count the cost of blocks in the C2D ResNet-50; the paper does not give their sites."""
    ungrouped = {"type": "srl_fft", "groups": 1}
    rows = {
        label: added(R50 | {"blocks": blocks, "places": places})
        for label, blocks, places in (
            ("SRL-FFT, 2 blocks", "srl_fft", "res3+res4"),
            ("SRL-FFT, 5 blocks", "srl_fft", "five"),
            ("SRL-FFT*, 5 blocks", ungrouped, "five"),
            ("SRL-FFT, 10 blocks", "srl_fft", "each"),
            ("SRL-FFT*, 10 blocks", ungrouped, "each"),
            ("NL, 5 blocks", NL, "five"),
        )
    }
    note = (
        "The paper prints no costs here, nor how many blocks there are and where. SRL-FFT* has one "
        "group; NL has biases."
    )
    return NumberTable(
        "SRL paper, table 10: what blocks add to the C2D ResNet-50", ADDED, rows, note
    )


def pnl_mfnet() -> NumberTable:
    """Count MFNet with PNL or NL blocks, for 200 classes."""
    shared = {"type": "pnl"}
    concatenation = {"type": "pnl", "combine": "concatenation"}
    rows = {
        label: whole(PNL_MFNET | {"blocks": blocks, "places": places}, *printed)
        for label, blocks, places, *printed in (
            ("table 3: MFNet", None, None, "7.843", "11.176"),
            ("table 3: concatenation", CONCATENATION, "x1", "7.911", "11.208"),
            ("table 3: self-attention", PNL, "x1", "7.92", "11.218"),
            ("table 5: MFNet", None, None, "7.84", "11.17"),
            ("table 5: MFNet-NL", NL, "x1", "8.15", "11.66"),
            ("table 5: MFNet-PNL(x1)", PNL, "x1", "7.92", "11.22"),
            ("table 5: MFNet-PNL(x5)", PNL, "x5", "8.12", "11.38"),
            ("concatenation, shared", concatenation, "x1", "", ""),
            ("PNL(x1), shared", shared, "x1", "", ""),
            ("PNL(x5), shared", shared, "x5", "", ""),
        )
    }
    note = (
        "200 classes. The printed numbers have an operation for each scale and q and k of width "
        "C'/8 (share: false, ratio: 8); by default it is shared, as the text says. GFLOPs: a "
        "multiply-add of convolutions and linear layers, 2 an element of a batch norm, no matrix "
        "products, G = 10^9; the 11.17 is cut off instead of rounded. The 7.911 and 8.15 fit no "
        "reading, nor do the GFLOPs with blocks, of which the 11.22 agrees by rounding."
    )
    return NumberTable("PNL paper, tables 3 and 5: MFNet", WHOLE, rows, note)


WHOLE = ("parameters (M)", "FLOPs (G)")


def pnl_resnet50() -> NumberTable:
    """Count the C2D ResNet-50 of tables 5 and 6."""
    of_101 = PNL_R50 | {"num_classes": 101}
    rows = {
        label: whole(network | {"blocks": blocks, "places": "x1" if blocks else None}, *printed)
        for label, network, blocks, *printed in (
            ("table 6: R-50", PNL_R50, None, "23.92", "10.29"),
            ("table 6: R-50 + NL", PNL_R50, NL, "26.38", "18.72"),
            ("table 6: R-50 + CGNL", PNL_R50, "cgnl", "26.22", "18.23"),
            ("table 6: R-50 + PNL(x1)", PNL_R50, PNL, "24.46", "13.31"),
            ("R-50 + PNL(x1), shared", PNL_R50, "pnl", "", ""),
            ("101 classes: R-50", of_101, None, "", ""),
            ("101 classes: R-50 + NL", of_101, NL, "", ""),
            ("101 classes: R-50 + CGNL", of_101, "cgnl", "", ""),
            ("101 classes: R-50 + PNL", of_101, PNL, "", ""),
            ("101 classes: shared PNL", of_101, "pnl", "", ""),
        )
    }
    of_1000 = {"network": "c2d_resnet50", "num_classes": 1000}
    for label, block, printed in (
        ("table 5: Res50-NL", "nl", "27.66"),
        ("table 5: Res50-CGNL", "cgnl", "27.2"),
    ):
        rows[label] = whole(of_1000 | {"blocks": block, "places": "x1"}, printed, "")
    note = (
        "The network of table 6 has 200 classes, although its caption says UCF101 (101 classes: "
        "23.71 M), and 16 frames in the form 32x2, although the text says 32 (20.58 G). The 26.38 "
        "and 26.22 M and the GFLOPs with blocks fit no reading. Table 5 quotes its Res50 from "
        "elsewhere: its parameters are those of 1000 classes, its GFLOPs are not counted here."
    )
    return NumberTable("PNL paper, tables 5 and 6: C2D ResNet-50", WHOLE, rows, note)


def model_of(arguments: Arguments) -> ActionNetwork:
    """Build a network on the meta device, in eval mode, without computing values."""
    with torch.device("meta"):
        return create_model(**arguments).eval()


def parameters_of(model: ActionNetwork, printed: str) -> Number:
    """Return all parameters of a network, in millions."""
    return Number(sum(parameter.numel() for parameter in model.parameters()), printed)


def added(arguments: Arguments, kilo: str = "", giga: str = "") -> tuple[Number, ...]:
    """Return the numbers of `ADDED`: the cost of the blocks, and all parameters."""
    with torch.device("meta"):
        parts = count_parts(model_of(arguments))
    blocks = add(part for name, part in parts.items() if name.startswith(BLOCK))
    return (
        Number(blocks.paper.parameters, kilo, KILO),
        Number(blocks.paper.multiply_adds, giga, PAPER_GIGA),
        Number(blocks.true.parameters),
        Number(add(parts.values()).true.parameters),
    )


def whole(arguments: Arguments, millions: str, giga: str) -> tuple[Number | None, ...]:
    """Return the numbers of `WHOLE`: parameters, and the cost by PNL's rule if it is printed."""
    model = model_of(arguments)
    cost = Number(layer_multiply_adds(model, OF_A_NORM), giga, TRUE_GIGA) if giga else None
    return parameters_of(model, millions), cost
