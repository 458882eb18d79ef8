"""Write person boxes of a detector: keypoint detect-boxes --images FOLDER --output boxes.json."""

from __future__ import annotations

from collections.abc import Sequence

from keypoint import distributed
from keypoint.commands import cli
from keypoint.commands.options.detect_boxes import parse
from keypoint.errors import ConfigError
from keypoint.files import write_json
from keypoint.prediction.detector import load_detector
from keypoint.prediction.inputs.image_list import list_folder, read_image_list
from keypoint.prediction.names import DETECTORS
from keypoint.prediction.persons.detected import detect_boxes
from keypoint.progress import progress


def main(argv: Sequence[str]) -> None:
    """Parse, build, call."""
    args = parse(argv)
    cli.refuse_existing(args)
    if not args.output.absolute().parent.is_dir():
        raise ConfigError(f"--output {args.output}: the folder does not exist; create it first")

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
