#!/usr/bin/env python
"""Draw the README's pictures: tools/benchmarks/readme_pictures.py --checkpoint FILE."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from keypoint.commands import cli
from keypoint.data.images.read import warp
from keypoint.data.synthetic.demo_set import synthesize_image
from keypoint.drawing.canvas import PAPER, RIM, Image
from keypoint.drawing.persons import (
    draw_keypoints,
    fit_picture,
    heatmap_overlay,
    picture_sheet,
)
from keypoint.drawing.sheets import with_legend
from keypoint.drawing.text import draw_text
from keypoint.errors import ConfigError
from keypoint.models.inference import predict_heatmaps
from keypoint.prediction.predictor import Predictor

IMAGE_SIZE = (1152, 1536)  # (height, width) generated
CELL_SIZE = (288, 384)  # (height, width) shown and predicted on: of the demo's images
SCENES, COLUMNS = 6, 3
SEED = 5  # of the pictures, none of which the demo is trained on
PORTRAIT = 3  # image whose largest person is shown with the heatmaps
PANEL_WIDTH = 288  # of that person's crop
SINGLE = ("left_wrist", "right_wrist", "left_ankle", "right_ankle")
JPEG_QUALITY = 88

EPILOG = """examples:
  make demo
  tools/benchmarks/readme_pictures.py --checkpoint output/demo/best.pt

Writes predictions.jpg and heatmaps.jpg: keypoints of the demo's network on generated images that it
has not seen, given the persons' true boxes: the first images of a seed with two to four persons,
and the largest person of one of them.
"""


def main(argv: Sequence[str]) -> None:
    """Parse, build, call."""
    parser = cli.parser(
        "tools/benchmarks/readme_pictures.py",
        "Draw the README's two pictures from generated images.",
        EPILOG,
    )
    cli.add_checkpoint(parser, "the demo's best.pt")
    parser.add_argument(
        "--output", type=Path, default=Path("docs/images"), metavar="DIR", help="docs/images"
    )
    parser.add_argument("--seed", type=cli.whole_number(0), default=SEED, help=f"default: {SEED}")
    args = parser.parse_args(argv)
    predictor = Predictor.from_checkpoint(args.checkpoint, "cpu", flip=True)
    if predictor.skeleton.name != "coco17":
        raise ConfigError(
            f"{args.checkpoint}: is for {predictor.skeleton.name}, but the generated persons have "
            "coco17's keypoints; give the checkpoint of `make demo`"
        )
    cli.make_folder(args.output, "--output")
    scenes = make_scenes(args.seed)
    write_jpeg(args.output / "predictions.jpg", predictions_picture(predictor, scenes))
    image, boxes = scenes[PORTRAIT]
    largest = boxes[boxes[:, 2:].prod(axis=1).argmax()]
    write_jpeg(args.output / "heatmaps.jpg", heatmaps_picture(predictor, image, largest))


def make_scenes(seed: int) -> list[tuple[Image, NDArray[np.float64]]]:
    """The first images of a seed that show two to four persons, and the persons' boxes (P, 4)."""
    scenes: list[tuple[Image, NDArray[np.float64]]] = []
    number = 0
    while len(scenes) < SCENES:
        image, persons = synthesize_image(np.random.default_rng([seed, number]), IMAGE_SIZE)
        if 2 <= len(persons) <= 4:
            scenes.append((image, np.array([person["bbox"] for person in persons], float)))
        number += 1
    return scenes


def predictions_picture(
    predictor: Predictor, scenes: Sequence[tuple[Image, NDArray[np.float64]]]
) -> Image:
    """Predictions, drawn at the size of the pictures."""
    pictures = []
    for image, boxes in scenes:
        picture, factor = fit_picture(image, CELL_SIZE)
        found = predictor(picture, boxes * factor)
        pictures.append(draw_keypoints(picture, found.keypoints, found.scores, predictor.skeleton))
    sheet = picture_sheet(pictures, columns=COLUMNS, cell_size=CELL_SIZE)
    return with_legend(sheet, "faint: a low score", occlusion=False)


def heatmaps_picture(predictor: Predictor, image: Image, box: NDArray[np.float64]) -> Image:
    """One person: the crop, all heatmaps, four of them alone, the keypoints with their names."""
    picture, factor = fit_picture(image, CELL_SIZE)
    input_size = predictor.model.input_size
    matrix = predictor.crop_frame(box[None] * factor).matrices()[0]
    crop = torch.from_numpy(warp(picture, matrix, input_size)[None])
    with torch.inference_mode():
        heatmaps = predict_heatmaps(predictor.model, crop, predictor.flip_indices)
    codec, names = predictor.model.codec, predictor.skeleton.keypoints
    found, scores = codec.decode(heatmaps)
    maps = heatmaps[0].numpy()
    # Sharper than the network's input, cut from the original image.
    times = PANEL_WIDTH / input_size[1]
    height, width = round(times * input_size[0]), PANEL_WIDTH
    matrix = predictor.crop_frame(box[None]).matrices()[0]
    large = warp(image, times * matrix, (height, width))
    points = found.numpy() * (width / maps.shape[2])
    singles = []
    for name in SINGLE:
        half = cv2.resize(large, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        single = heatmap_overlay(half, maps[[names.index(name)]])
        draw_text(single, name, (5, 4), 9, (255, 255, 255), RIM)
        singles.append(single)
    four = np.vstack([np.hstack(singles[:2]), np.hstack(singles[2:])])
    four[height // 2 - 1 : height // 2 + 1] = four[:, width // 2 - 1 : width // 2 + 1] = PAPER
    named = draw_keypoints(large, points, scores.numpy(), predictor.skeleton, labels=names)
    titles = ("a person", "17 heatmaps", "four of them", "the decoded keypoints")
    panels = [large, heatmap_overlay(large, maps), four, named]
    return picture_sheet(panels, titles, columns=4, cell_size=(height, width))


def write_jpeg(path: Path, picture: Image) -> None:
    """Write a picture; by imencode, as imwrite does not say why it failed."""
    content = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[
        1
    ].tobytes()
    try:
        path.write_bytes(content)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror}); give --output") from None
    print(f"{path}: {picture.shape[1]} x {picture.shape[0]}, {len(content) / 1000:.0f} kB")


if __name__ == "__main__":
    raise SystemExit(cli.run(main))
