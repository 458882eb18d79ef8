"""Look at training crops with their targets: keypoint browse-data --cfg my.yaml [key=value ...]."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2

from keypoint.commands import cli
from keypoint.commands.train import build_augmentation
from keypoint.config.load import find_config, load_config
from keypoint.data.batches import TrainDataset
from keypoint.data.coco import find_split, load_persons
from keypoint.data.images.files import require_image_files
from keypoint.data.notes import in_number
from keypoint.drawing.sheets import augmented_sheet
from keypoint.models import create_model
from keypoint.pose.skeleton import load_skeleton

EPILOG = """examples:
  keypoint browse-data --cfg res50_256x192.yaml data.root=/data/coco
      8 persons, each augmented three times
  keypoint browse-data --cfg my.yaml --pictures 20 seed=7 augment.flip_probability=1
      others, and all mirrored

A row is one person in epochs 0, 1 and 2, exactly as training with this config and seed draws it:
the crop with its keypoints, and next to it the target heatmaps. A number is the keypoint's place in
the skeleton, named on top: each must lie on the part that it is named after. On a mirrored crop the
person's left must still be orange; skin must not be blue, or the color order is wrong. The picture
is OUTPUT/browse_data.jpg.
"""


def main(argv: Sequence[str]) -> None:
    """Parse, build, call."""
    parser = cli.parser(
        "keypoint browse-data", "Draw augmented training crops with their targets.", EPILOG
    )
    cli.add_config(parser, required=True)
    cli.add_pictures(parser, 8, "persons to draw; default: 8", least=1)
    args = parser.parse_intermixed_args(argv)

    config = load_config(find_config(args.cfg), args.overrides)
    assert config.output is not None  # load_config fills it in
    output = Path(config.output)
    cli.log_to(output)
    skeleton = load_skeleton(config.data.skeleton, config.data.root)
    files = find_split(
        Path(config.data.root), config.data.train_annotations, config.data.train_images, "train2017"
    )
    given = config.data
    policy: Any = {"category": given.category, "on_bad": given.on_bad, "max_bad": given.max_bad}
    persons = load_persons(*files, skeleton, **policy)
    require_image_files(persons)
    cli.logger.info("train %s", persons.report)
    codec = create_model(**config.model.arguments(skeleton.num_keypoints)).codec
    dataset = TrainDataset(persons, build_augmentation(config, skeleton, codec), config.seed)
    sheet = augmented_sheet(dataset, skeleton, codec, args.pictures)
    cli.keep_log()
    picture = output / "browse_data.jpg"
    count = in_number(len(persons), "persons")
    cv2.imwrite(str(picture), sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
    print(f"look at {picture}: {min(args.pictures, len(persons))} of {count}")
