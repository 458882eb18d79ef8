"""Receptive field of the unit over a person's feet, before and after training."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numbers_of_sweeps import percent, runs_of
from numpy.typing import NDArray

from keypoint.checkpoint.file import load_model
from keypoint.commands.explain import crop_of
from keypoint.drawing.canvas import Image
from keypoint.drawing.heat import draw_field
from keypoint.drawing.persons import picture_sheet
from keypoint.drawing.sheets import stack
from keypoint.evaluation.runs.markdown import table
from keypoint.evaluation.runs.statistics import summarise
from keypoint.explain import input_of
from keypoint.explain.field import ReceptiveField, receptive_field
from keypoint.models import create_model
from keypoint.models.pose_network import PoseNetwork

SITE = "final_layer"  # the heatmaps
BLOCK = "layer4"  # site of the last block
PERSONS = 20  # inputs of a field, Luo et al.'s number
HEAD = 0.25  # upper share of the crop that shows the head: boxes fill 4 / 5 of a crop
FEET = 0.875  # of the crop's height
CELL = (192, 128)  # px


@dataclass(frozen=True)
class Measured:
    """Fields of one point of the sweep.

    Attributes:
        before: Of each seed, with random weights.
        after: Of each seed, trained.
        differs: Of each seed, `difference_of_added`; empty without a block.
    """

    before: list[ReceptiveField]
    after: list[ReceptiveField]
    differs: list[float]


def measure(sweeps: Path, runs: Path) -> dict[str, Measured]:
    """Measure the fields of every run of the sweep "field", and of the usual encoder.

    Args:
        sweeps: Folder of the sweep files.
        runs: Folder of their outputs and of the persons.
    """
    found = runs_of(sweeps / "field.yaml", runs / "field")
    found["stride 32"] = runs_of(sweeps / "places.yaml", runs / "places")["none"]
    return {point: _measure(folders, runs / "persons") for point, folders in found.items()}


def _measure(folders: list[Path], persons: Path) -> Measured:
    before, after, differs = [], [], []
    for folder in folders:
        restored = load_model(folder / "last.pt")
        model = restored.model
        inputs = crops(model, persons)
        at = (int(FEET * model.heatmap_size[0]), model.heatmap_size[1] // 2)
        arguments = restored.config.model.arguments(model.num_keypoints)
        with torch.random.fork_rng([]):
            torch.manual_seed(restored.config.seed)
            fresh = create_model(**arguments)
        for net, fields in ((fresh, before), (model, after)):
            fields.append(receptive_field(net, inputs, SITE, at=at))
        if BLOCK in model.blocks:
            differs.append(difference_of_added(model, inputs))
    return Measured(before, after, differs)


def difference_of_added(model: PoseNetwork, inputs: torch.Tensor) -> float:
    """Share of the squares of what the last block adds that differs between the images, 0 to 1."""
    block = model.blocks[BLOCK]
    with torch.no_grad():
        x = torch.cat([input_of(model, one, f"blocks.{BLOCK}") for one in inputs.split(1)])
        added = block(x) - x
    return float((added - added.mean(dim=0)).square().mean() / added.square().mean())


def crops(model: PoseNetwork, persons: Path) -> torch.Tensor:
    """The first annotated persons of the test set as the network sees them, (PERSONS, 3, H, W)."""
    content = json.loads((persons / "annotations" / "person_keypoints_val2017.json").read_text())
    files = {image["id"]: image["file_name"] for image in content["images"]}
    seen = [
        crop_of(persons / "val2017" / files[a["image_id"]], model.codec.crop_frame, a["bbox"])[0]
        for a in content["annotations"][:PERSONS]
    ]
    return model.normalize(torch.from_numpy(np.stack(seen)))


def from_head(field: ReceptiveField) -> float:
    """Share of the field in the rows that show the head, 0 to 1."""
    rows = int(HEAD * len(field.image))
    return float(field.image[:rows].sum() / field.image.sum())


def to_markdown(measured: dict[str, Measured]) -> str:
    """Size in pixels and share of the head, before and after training."""
    rows = []
    for point, found in measured.items():
        cells = [point, str(len(found.after))]
        for fields in (found.before, found.after):
            size = summarise([field.size for field in fields])
            cells.append(f"{size.mean:.1f} ({size.low:.1f} to {size.high:.1f})")
            cells.append(percent(summarise([from_head(field) for field in fields])))
        cells.append(percent(summarise(found.differs)) if found.differs else "")
        rows.append(cells)
    head = ["blocks", "n"]
    for when in ("before", "after"):
        head += [f"size {when}, px", f"from the head {when}, %"]
    return table(
        [*head, f"share of what the block after {BLOCK} adds that differs between persons, %"], rows
    )


def sheet(measured: dict[str, Measured]) -> Image:
    """Fields as pictures, a column a point: mean over the seeds, before and after training."""
    lines = []
    for when in ("before", "after"):
        cells: list[NDArray[np.uint8]] = []
        for found in measured.values():
            fields = getattr(found, when)
            image = np.mean([field.image / field.image.max() for field in fields], axis=0)
            cells.append(draw_field(image / image.max(), CELL))
        titles = [f"{point}, {when}" for point in measured]
        lines.append(picture_sheet(cells, titles, columns=len(cells), cell_size=CELL))
    return stack(lines)
