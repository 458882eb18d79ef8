#!/usr/bin/env python
"""Fill "ours" of docs/results.md: tools/benchmarks/results_table.py output/NAME ..."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from keypoint.checkpoint.file import read_checkpoint
from keypoint.commands import cli
from keypoint.config.load import config_from_dict, find_config, load_config
from keypoint.config.recipe import RECIPES
from keypoint.errors import ConfigError, DataError
from keypoint.evaluation.published import CONDITIONS
from keypoint.files import read_json

DOCUMENT = Path(__file__).parents[2] / "docs" / "results.md"
DETECTIONS = "COCO_val2017_detections_AP_H_56_person.json"
# Entries of that file (HRNet's log counts them too) and images of val2017; a file cut short, or
# another one of the same name, has others.
BOXES, IMAGES = 104_125, 5000
# What may differ from a row's config: what changes no number beyond rounding, or is checked apart.
FREE = {"batch_size", "accumulate", "amp", "compile", "channels_last"}
FREE |= {"evaluate_every", "save_every", "log_every"}
FREE |= {"root", "workers", "train_images", "val_images"}  # of data: where the same files lie
EPILOG = """examples:
  tools/benchmarks/results_table.py output/res50_256x192 output/res50_256x192_srl3
      each folder is named after its config and holds last.pt of the last epoch and the
      metrics.json of keypoint test

A run is refused if its config, its data, its number of crops a step or the conditions of its AP
are not the row's: 5,000 images, none left out, and the 104,125 boxes of the field's file. Then
nothing is written.
"""


def main(argv: Sequence[str]) -> None:
    """Parse, check, write."""
    parser = cli.parser(
        "tools/benchmarks/results_table.py",
        "Write measured AP into the column ours of docs/results.md.",
        EPILOG,
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="of a run")
    parser.add_argument("--document", type=Path, default=DOCUMENT, help="docs/results.md")
    args = parser.parse_args(argv)

    text = args.document.read_text(encoding="utf-8")
    for folder in args.folders:
        ap = measured_ap(folder)
        text, rows = fill(text, folder.name, ap)
        print(f"{folder.name}: AP {100 * ap:.1f} in {rows} rows")
    args.document.write_text(text, encoding="utf-8")


def measured_ap(folder: Path) -> float:
    """AP of a finished run of the config that the folder is named after, 0 to 1.

    Raises:
        ConfigError: It was trained otherwise, or not to the end.
        CheckpointError: last.pt cannot be read.
        DataError: No metrics.json, or an AP under other conditions than the paper's.
    """
    checkpoint = read_checkpoint(folder / "last.pt")
    config = config_from_dict(checkpoint["config"], source=str(folder / "last.pt"))
    row = load_config(find_config(folder.name))
    given, wanted = config.to_dict(), row.to_dict()
    different = [
        f"{section}.{key}={value} (the row's: {wanted[section][key]})"
        for section in ("data", "augment", "model", "train")
        for key, value in given[section].items()
        if value != wanted[section][key] and key not in FREE
    ]
    crops = config.train.batch_size * config.train.accumulate * checkpoint["world_size"]
    expected = RECIPES[row.train.recipe].crops_per_step
    if crops != expected:
        different.append(f"{crops} crops a step (the row's: {expected})")
    if checkpoint["epoch"] != config.train.epochs:
        different.append(f"epoch {checkpoint['epoch']} of {config.train.epochs}")
    if different:
        raise ConfigError(
            f"{folder}: not the run of its row: {', '.join(different)}; train it with "
            f"--cfg {folder.name}.yaml as docs/results.md says"
        )
    path = folder / "metrics.json"
    card = read_json(path, "metrics")
    try:
        ap, had = float(card["metrics"]["AP"]), dict(card["conditions"])
        had |= {key: Path(str(had[key])).name for key in ("boxes_file", "annotations")}
        persons = had["persons"]
        had["boxes_in_file"] = persons["used"] + sum(persons["skipped"].values())
        had["images_in_annotations"] = persons["images"]["total"]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: not written by this version's keypoint test ({error!r}); run it again"
        ) from None
    conditions = CONDITIONS | {
        "input_size": list(row.model.input_size),
        "boxes_file": DETECTIONS,
        "boxes_in_file": BOXES,
        "annotations": Path(row.data.val_annotations).name,
        "images_in_annotations": IMAGES,
    }
    wrong = [
        f"{key} {had.get(key)!r} (the paper's: {value!r})"
        for key, value in conditions.items()
        if had.get(key) != value
    ]
    if wrong or not 0 <= ap <= 1:
        raise DataError(
            f"{path}: AP {ap:.3f} was not measured as the paper's: {', '.join(wrong)}; run "
            f"keypoint test --checkpoint {folder}/last.pt test.boxes={DETECTIONS}"
        )
    return ap


def fill(text: str, name: str, ap: float) -> tuple[str, int]:
    """The document with the AP in the last cell of every row of this config, and how many.

    Raises:
        ConfigError: No row has it.
    """
    rows = rf"^(\|.*\| `{re.escape(name)}\.yaml` *\|)[^|\n]*\|$"
    text, count = re.subn(rows, rf"\g<1> {100 * ap:.1f} |", text, flags=re.MULTILINE)
    if not count:
        raise ConfigError(f"{name}: no row of docs/results.md has the config {name}.yaml")
    return text, count


if __name__ == "__main__":
    raise SystemExit(cli.run(main))
