"""Count parameters and multiply-adds: keypoint complexity --cfg c2d_res18_srl_fft4.yaml."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from keypoint.action.config import ActionConfig, load_action_config
from keypoint.action.networks.count import count_action_model
from keypoint.action.networks.names import is_c2d
from keypoint.action.networks.tables import action_tables
from keypoint.commands.complexity import number_table_text, parts_text
from keypoint.commands.options.action.complexity import USUAL_CLASSES, parse
from keypoint.commands.options.complexity import LEGEND
from keypoint.config.load import find_config
from keypoint.errors import ConfigError


def main(argv: Sequence[str]) -> None:
    """Parse, count, print."""
    args = parse(argv)
    if args.paper_tables == (args.cfg is not None) or (args.paper_tables and args.overrides):
        raise ConfigError("give either --cfg FILE [key=value ...] or --paper-tables")
    if args.paper_tables:
        if args.classes is not None:
            raise ConfigError("--classes has no effect with --paper-tables; leave it out")
        print("\n\n".join(map(number_table_text, action_tables())))
        return
    config = load_action_config(find_config(args.cfg), args.overrides)
    known = args.classes or classes_of(config)
    num_classes = known or USUAL_CLASSES
    parts = count_action_model(**config.model.arguments(num_classes, config.clips.frames))
    print(parts_text(title_of(config, num_classes, is_assumed=known is None), parts))
    print(LEGEND, end="")


def classes_of(config: ActionConfig) -> int | None:
    """Return the number of classes that the config names; None if it names none."""
    classes = config.data.classes
    if isinstance(classes, str):
        file = Path(config.data.root) / classes
        if not file.is_file():
            raise ConfigError(
                f"data.classes={classes}: no such file in data.root; give --classes N instead"
            )
        return sum(bool(line.strip()) for line in file.read_text(encoding="utf-8").splitlines())
    return None if classes is None else len(classes)


def title_of(config: ActionConfig, num_classes: int, *, is_assumed: bool) -> str:
    """Describe the network, its input and its blocks."""
    model = config.model
    height, width = model.input_size
    form = f" {model.form}" if is_c2d(model.network) else ""
    places = f" at {model.places}" if model.places else ""
    assumed = " (assumed; --classes N counts others)" if is_assumed else ""
    return (
        f"{model.network}{form}, {num_classes} classes{assumed}, input "
        f"{config.clips.frames}x{height}x{width}, blocks: {model.blocks or 'none'}{places}"
    )
