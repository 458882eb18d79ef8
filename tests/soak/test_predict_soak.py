"""Prediction over many images: memory, open files and threads stay as they are.

`make soak` predicts on 10,000 images of 0 to 8 persons and judges resident memory. A few hundred,
as in `make test`, are too few for that (the allocator's own noise is larger than a small leak), so
there the bytes that Python and numpy have handed out are judged: results and all else by the same
bound, images by a wider one, as a varying number of them is under way.
"""

import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

from tests import tiny_network
from tests.hostile.test_hostile import REPOSITORY

FULL = "SOAK" in os.environ
IMAGES = 10_000 if FULL else 600
SAMPLES = 40
FILES = 100  # of different sizes; the others are links to them


def make_images(folder, number, rng):
    """Images of noise with 0 to 8 boxes each, as annotation file, boxes file and folder."""
    images, boxes = folder / "images", []
    images.mkdir()
    sizes = [(int(h), int(w)) for h, w in rng.integers(60, 300, (FILES, 2))]
    for file, (height, width) in enumerate(sizes):
        noise = rng.integers(0, 255, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
        picture = cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR)
        cv2.imwrite(str(folder / f"{file}.{'jpg' if file % 3 else 'png'}"), picture)
    entries = []
    for key in range(1, number + 1):
        file = key % FILES
        height, width = sizes[file]
        name = f"{key:06d}.{'jpg' if file % 3 else 'png'}"
        os.link(folder / f"{file}{name[6:]}", images / name)
        entries.append({"id": key, "file_name": name, "height": height, "width": width})
        for _ in range(rng.integers(0, 9)):
            corner, sides = rng.uniform(0, 30, 2), rng.uniform(20, 60, 2)
            bbox = [*corner.tolist(), *sides.tolist()]
            boxes.append({"image_id": key, "category_id": 1, "bbox": bbox, "score": 0.5})
    category = {"id": 1, "name": "person", "keypoints": list(tiny_network.SKELETON.keypoints)}
    content = {"images": entries, "categories": [category]}
    (folder / "image_info.json").write_text(json.dumps(content))
    (folder / "boxes.json").write_text(json.dumps(boxes))
    return ["--annotations", folder / "image_info.json", "--boxes", folder / "boxes.json", images]


def slope(samples, what, first=SAMPLES // 2):
    """Per 1,000 images, by least squares; of the second half."""
    half = samples[first:]
    return np.polyfit([s["images"] for s in half], [s[what] for s in half], 1)[0] * 1000


@pytest.mark.timeout(7200 if FULL else 300)
def test_nothing_grows(tmp_path, capsys):
    arguments = make_images(tmp_path, IMAGES, np.random.default_rng(0))
    arguments += ["--checkpoint", tiny_network.checkpoint(tmp_path / "best.pt"), "--device", "cpu"]
    arguments += ["--output", tmp_path / "output", "--batch-size", 16, "--pictures"]
    watch = [tmp_path / "samples.json", IMAGES // SAMPLES, "no" if FULL else "trace"]
    command = [sys.executable, "-m", "tests.soak.watched_predict", *watch, *arguments]
    alone = os.environ | {"OMP_NUM_THREADS": "1"}  # such a small network waits for its threads
    command = list(map(str, command))
    subprocess.run(command, check=True, cwd=REPOSITORY, capture_output=True, env=alone)

    samples = json.loads((tmp_path / "samples.json").read_text())
    assert len(samples) == SAMPLES
    second = samples[SAMPLES // 2 :]
    resident = [round(s["resident"] / 2**20) for s in samples]
    with capsys.disabled():
        if FULL:
            sys.stdout.write(
                f"\n{IMAGES} images: {resident[0]} MiB at first, {resident[SAMPLES // 2]} half way, "
                f"{resident[-1]} at the end; {slope(samples, 'resident') / 2**20:+.3f} MiB per "
                f"1,000 images in the second half; {second[0]['files']} files, "
                f"{second[0]['threads']} threads\n"
            )
    steady = [s for s in second if s["images"] < IMAGES - 60]  # the threads have done their work
    assert len(steady) >= 4
    assert len({(s["files"], s["threads"]) for s in steady}) == 1, steady
    if FULL:
        assert slope(samples, "resident") < 2**20
    else:
        assert slope(steady, "small", 0) < 2**20, [s["small"] for s in steady]
        assert slope(steady, "large", 0) < 40 * 2**20, [s["large"] for s in steady]
