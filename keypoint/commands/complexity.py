"""Count parameters and multiply-adds: keypoint complexity --cfg res50_384x288_srl3.yaml."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from keypoint.action.networks.tables import NumberTable, action_tables
from keypoint.commands.options.complexity import LEGEND, parse
from keypoint.config.load import Config, find_config, load_config
from keypoint.errors import ConfigError
from keypoint.models.complexity import Count, count_model
from keypoint.models.complexity.tables import PAPER_GIGA, TRUE_GIGA, Cell, Table, paper_tables
from keypoint.pose.skeleton import load_skeleton


def main(argv: Sequence[str]) -> None:
    """Parse, count, print."""
    args = parse(argv)
    if args.paper_tables == (args.cfg is not None) or (args.paper_tables and args.overrides):
        raise ConfigError("give either --cfg FILE [key=value ...] or --paper-tables")
    if args.paper_tables:
        texts = [paper_table_text(table) for table in paper_tables()]
        print("\n\n".join([*texts, *map(number_table_text, action_tables())]))
    else:
        config = load_config(find_config(args.cfg), args.overrides)
        num_keypoints = load_skeleton(config.data.skeleton, config.data.root).num_keypoints
        print(model_text(config, count_model(**config.model.arguments(num_keypoints))))
    print(LEGEND, end="")


def model_text(config: Config, parts: Mapping[str, Count]) -> str:
    """Return one line per part of a keypoint network, and their sum."""
    height, width = config.model.input_size
    name = config.model.network
    if name == "simple_baseline":
        stride = config.model.encoder_stride
        name = config.model.encoder + ("" if stride == 32 else f" of stride {stride}")
    form = ", dilated" if config.model.dilated else ""
    title = f"{name}{form}, input {height}x{width}, blocks: {config.model.blocks or 'none'}"
    return parts_text(title, parts)


def parts_text(title: str, parts: Mapping[str, Count]) -> str:
    """Return one line per part, and their sum."""
    lines = [
        title,
        f"{'':20}{'paper':>27}{'true':>27}",
        f"{'':20}" + 2 * f"{'parameters':>15}{'G mult-adds':>12}",
    ]
    total = sum(parts.values(), Count.zero())
    for name, part in {**parts, "total": total}.items():
        giga = part.paper.multiply_adds / PAPER_GIGA, part.true.multiply_adds / TRUE_GIGA
        lines.append(
            f"{name:20}{part.paper.parameters:15,}{giga[0]:12.4f}"
            f"{part.true.parameters:15,}{giga[1]:12.4f}"
        )
    return "\n".join(lines)


def paper_table_text(table: Table) -> str:
    """Return printed, counted and true numbers; "=" if the first two agree in every digit."""
    label = max(len(row) for row in table.rows)
    lines = [
        table.title,
        " " * label + "".join(f"{quantity:>36}" for quantity in table.quantities),
        " " * label + f"{'printed':>10}{'paper':>8}{'':10}{'true':>8}" * len(table.quantities),
    ]
    for row, cells in table.rows.items():
        line = f"{row:{label}}"
        for cell in cells:
            line += f"{cell.printed:>10}{cell.shown:>8} {mark(cell):9}{cell.rounded(cell.true):>8}"
        lines.append(line)
    return "\n".join([*lines, *textwrap.wrap(table.note, 100)])


def number_table_text(table: NumberTable) -> str:
    """Return counted and printed integers, with "=" if they agree in every digit."""
    columns = [["", *table.rows]]
    for quantity, numbers in zip(
        table.quantities, zip(*table.rows.values(), strict=True), strict=True
    ):
        columns.append([quantity, *(f"{n.counted:,}" if n else "" for n in numbers)])
        cells = [number.cell if number else None for number in numbers]
        if any(cells):
            columns.append(["printed", *(cell.printed if cell else "" for cell in cells)])
            columns.append(["", *(mark(cell) if cell else "" for cell in cells)])
    widths = [max(map(len, column)) for column in columns]
    lines = [table.title]
    for texts in zip(*columns, strict=True):
        fields = [
            f"{text:{'>' if i > 0 and columns[i][0] else '<'}{widths[i]}}"
            for i, text in enumerate(texts)
        ]
        lines.append("  ".join(fields).rstrip())
    return "\n".join([*lines, *textwrap.wrap(table.note, 100)])


def mark(cell: Cell) -> str:
    """Return an equals sign, or the relative error of the counted number."""
    return "=" if cell.equal else f"{cell.miss:+.3g} %"
