"""Draw training crops with their targets: keypoint browse-data --cfg my.yaml [key=value ...]."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2

from keypoint.commands import cli
from keypoint.commands.options.browse_data import parse
from keypoint.commands.train import build_augmentation
from keypoint.config.load import find_config, load_config
from keypoint.data.batches import TrainDataset
from keypoint.data.coco import find_split, load_persons
from keypoint.data.images.files import require_image_files
from keypoint.data.notes import in_number
from keypoint.drawing.sheets import augmented_sheet
from keypoint.models import create_model
from keypoint.pose.skeleton import load_skeleton


def main(argv: Sequence[str]) -> None:
    """Parse, build, call."""
    args = parse(argv)
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
    print(f"see {picture}: {min(args.pictures, len(persons))} of {count}")
