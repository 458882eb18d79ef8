"""Run all steps on generated images, without a download: make a data set, train, test, draw."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from keypoint.commands.options.demo import parse
from keypoint.commands.process import SHORT_SPIN
from keypoint.config.load import find_config, load_config
from keypoint.data.synthetic.demo_set import is_demo_set, write_demo_set
from keypoint.errors import KeypointError
from keypoint.progress import progress

CONFIG = "demo.yaml"
OUTPUT = Path("output/demo")
TRAIN_IMAGES, VAL_IMAGES = 850, 100

NEXT_STEPS = """
Done in {minutes:.1f} minutes. Results:
  {output}/predictions.jpg    annotations next to predictions, on validation images
  {output}/curves.png         loss and AP
  tensorboard --logdir {output}

Next steps:
  keypoint test --checkpoint {output}/best.pt test.flip=false output={output}/no_flip
      test without averaging with the mirrored image
  make demo ARGS="model.blocks=none output=output/demo_plain"
      the same network without non-local blocks
  keypoint train --cfg res50_256x192_srl3.yaml data.root=/path/to/coco
      the paper's network on COCO; --help lists every key
"""


def main(argv: Sequence[str]) -> None:
    """Parse, build, call."""
    args = parse(argv)
    begin = time.perf_counter()
    config = load_config(find_config(CONFIG), args.overrides)  # a typo is reported at once
    output = Path(config.output or OUTPUT)

    data = OUTPUT / "data"
    if args.resume and is_demo_set(data, train_images=TRAIN_IMAGES, val_images=VAL_IMAGES):
        print(f"the images in {data} are complete")
    else:
        with progress(TRAIN_IMAGES + VAL_IMAGES, "generate images", "image") as bar:
            write_demo_set(
                data, train_images=TRAIN_IMAGES, val_images=VAL_IMAGES, progress=bar.update
            )
    how = "--resume" if args.resume else "--overwrite"
    call("train", "--cfg", CONFIG, how, *args.overrides)
    call("test", "--checkpoint", str(output / "best.pt"), "--pictures", "12")
    print(NEXT_STEPS.format(minutes=(time.perf_counter() - begin) / 60, output=output))


def call(command: str, *arguments: str) -> None:
    """Print and run another command."""
    print(f"\n$ keypoint {command} {' '.join(arguments)}", flush=True)
    status = subprocess.run(  # noqa: S603 (a list of our own words, without a shell)
        [sys.executable, "-m", "keypoint.commands.main", command, *arguments],
        # Next to other processes OpenMP's threads, which spin at each barrier, make a step up to
        # eight times slower; with a short spin they do not, but blocks take a third longer.
        env={"GOMP_SPINCOUNT": SHORT_SPIN} | os.environ,
    ).returncode
    if status:
        error = KeypointError(
            f"keypoint {command} ended with status {status}; see its messages above"
        )
        error.exit_status = status  # the demo ends as the command did
        raise error
