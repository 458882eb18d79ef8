"""Write a network for use without this toolkit: keypoint export --checkpoint FILE --output FILE."""

from __future__ import annotations

from collections.abc import Sequence

from keypoint import __version__
from keypoint.action.checkpoint import load_action
from keypoint.action.evaluation.protocol import protocol_of
from keypoint.action.export.card import ClipCard
from keypoint.action.export.write import export_classifier
from keypoint.commands import cli
from keypoint.commands.options.action.export import parse
from keypoint.export.write import check_form


def main(argv: Sequence[str]) -> None:
    """Parse, build, call."""
    args = parse(argv)
    cli.log_to()
    cli.refuse_existing(args, args.checkpoint)
    check_form(args.output)
    restored = load_action(cli.chosen_checkpoint(args))
    protocol = protocol_of(restored.config)
    card = ClipCard(
        version=__version__,
        classes=restored.classes,
        frames=restored.model.frames,
        input_size=protocol.crops.crop_size,  # of three crops, larger than in training
        input=args.input,
        test=protocol.conditions(),
    )
    cli.make_folder(args.output.parent, "--output")
    result = export_classifier(restored.model, card, args.output)
    print(f"{result.describe()}\nwritten: {args.output}, {args.output.stat().st_size / 1e6:.1f} MB")
    print("\n".join(f"  {name}: {text}" for name, text in card.describe().items()))
