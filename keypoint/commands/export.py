"""Write a network for use without this toolkit: keypoint export --checkpoint FILE --output FILE."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keypoint import __version__
from keypoint.checkpoint.file import Restored, load_model
from keypoint.commands import cli
from keypoint.commands.options.export import MOST_CROPS, parse
from keypoint.data.batches import EvaluationDataset
from keypoint.data.coco import load_persons
from keypoint.errors import ConfigError, DataError
from keypoint.export.card import ExportCard
from keypoint.export.write import LEAST_CROPS, check_choice, export_network


def main(argv: Sequence[str]) -> None:
    """Parse, build, call."""
    args = parse(argv)
    if (args.annotations is None) != (args.images is None):
        raise ConfigError("--annotations and --images belong together; give both or neither")
    cli.log_to()
    cli.refuse_existing(args, args.checkpoint)
    restored = load_model(cli.chosen_checkpoint(args))
    card = ExportCard(
        version=__version__,
        skeleton=restored.skeleton,
        input_size=restored.model.input_size,
        input=args.input,
        outputs=args.outputs,
        codec=restored.model.codec.name,
        decoding=restored.decoding(cli.chosen_decoding(args)),
        flip=args.flip,
        precision=args.precision,
        stride=restored.model.codec.stride,
    )
    check_choice(card, args.output, args.annotations)
    crops = None
    if args.annotations is not None:
        crops = person_crops(restored, args.annotations, args.images)
    cli.make_folder(args.output.parent, "--output")
    result = export_network(restored.model, card, args.output, crops)
    print(f"{result.describe()}\nwritten: {args.output}, {args.output.stat().st_size / 1e6:.1f} MB")
    print("\n".join(f"  {name}: {text}" for name, text in card.describe().items()))


def person_crops(restored: Restored, annotations: Path, images: Path) -> NDArray[np.uint8]:
    """Return crops of the first annotated persons, (N, H, W, 3) uint8.

    Raises:
        DataError: The files cannot be used, or contain too few persons.
    """
    persons = load_persons(
        annotations, images, restored.skeleton, category=restored.config.data.category
    )
    dataset = EvaluationDataset(persons, codec=restored.model.codec, batch_size=1)
    crops = [batch.crops.numpy() for batch in islice(dataset, MOST_CROPS)]
    if len(crops) < LEAST_CROPS:
        raise DataError(
            f"--annotations {annotations}: {len(crops)} persons are too few for int8; "
            f"give at least {LEAST_CROPS}"
        )
    return np.concatenate(crops)
