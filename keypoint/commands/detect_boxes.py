"""Write person boxes of a detector: keypoint detect-boxes --images FOLDER --output boxes.json."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from keypoint import distributed
from keypoint.commands import cli
from keypoint.errors import ConfigError
from keypoint.files import write_json
from keypoint.prediction.detector import DETECTORS, load_detector
from keypoint.prediction.image_list import detect_boxes, list_folder, read_image_list
from keypoint.progress import progress

BATCH_SIZE = 4  # images
BOX_THRESHOLD = 0.05

EPILOG = """examples:
  keypoint detect-boxes --annotations data/coco/annotations/person_keypoints_val2017.json \\
      --images data/coco/val2017 --output boxes.json
      then: keypoint test --checkpoint best.pt test.boxes=boxes.json
  keypoint detect-boxes --annotations image_info_test-dev2017.json --images test2017 --output b.json
      test-dev: images without annotations
  keypoint detect-boxes --images holiday --output boxes.json
      any folder; boxes_images.json says which image has which id

Published numbers use other boxes (person AP 56.4 on val2017): an AP with these is not comparable.
--detector hog finds far fewer persons than the others: for a first look only.
"""


def main(argv: Sequence[str]) -> None:
    """Parse, build, call."""
    parser = cli.parser(
        "keypoint detect-boxes", "Detect persons and write their boxes as COCO results.", EPILOG
    )
    parser.add_argument(
        "--images", required=True, type=Path, metavar="DIR", help="the folder of the images"
    )
    parser.add_argument(
        "--annotations",
        type=Path,
        metavar="FILE",
        help="COCO annotations or image_info: which images; default: all in the folder",
    )
    cli.add_output_file(parser, "JSON file to write")
    cli.add_detector(parser, "the first, whose weights torchvision downloads once")
    cli.add_box_threshold(parser, f"{BOX_THRESHOLD}", BOX_THRESHOLD)
    cli.add_batch_size(parser, f"images (default: {BATCH_SIZE})", BATCH_SIZE)
    cli.add_device(parser)
    args = parser.parse_args(argv)
    cli.refuse_existing(args)
    if not args.output.absolute().parent.is_dir():
        raise ConfigError(f"--output {args.output}: its folder does not exist; make it first")

    cli.log_to()
    images = (
        list_folder(args.images)
        if args.annotations is None
        else read_image_list(args.annotations, args.images)
    )
    model = load_detector(args.detector or DETECTORS[0], args.box_threshold)
    model.to(distributed.choose_device(args.device))
    with progress(len(images.entries), "detect", "image") as bar:
        boxes, report = detect_boxes(model, images, batch_size=args.batch_size, progress=bar.update)
    write_json(args.output, boxes)
    print(f"{report}\nwritten: {args.output}")
    if args.annotations is None:
        listed = args.output.with_name(f"{args.output.stem}_images.json")
        person = {"id": images.category_id, "name": "person"}
        write_json(listed, {"images": list(images.entries), "categories": [person]})
        print(f"image ids: {listed}")
