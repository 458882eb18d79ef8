"""Which image files are opened, where, and how much memory they may take."""

import json
import struct
import subprocess
import sys
import zlib
from functools import partial

import cv2
import numpy as np
import pytest
from PIL import Image

from keypoint.data.boxes import load_boxes
from keypoint.data.coco import load_persons
from keypoint.data.images.read import check_header, read_image
from keypoint.errors import DataError
from tests import tiny_coco
from tests.test_readme import REPOSITORY

SKELETON = tiny_coco.SKELETON
PICTURE = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", ["/etc/passwd", "../x.png", "a/../../x.png", "a/../b.png", "//x.png", "./../x.png", "file:///etc/passwd", "https://127.0.0.1/x.png", "x.png\0.jpg", "x\n.png"])  # fmt: skip
@pytest.mark.parametrize("way", ["persons", "boxes"])
def test_names_of_annotations_stay_in_the_image_folder(tmp_path, name, way):
    """Whichever file is there: it is refused by its name, before anything is opened."""
    data = tiny_coco.content(3, 1)
    file, images = tiny_coco.write(tmp_path, data)
    (images / "a").mkdir()
    for place in (tmp_path / "val2017" / "b.png", tmp_path / "x.png"):
        cv2.imwrite(str(place), PICTURE)
    data["images"][1]["file_name"] = name
    file.write_text(json.dumps(data))
    boxes = tmp_path / "boxes.json"
    entry = {"image_id": data["images"][1]["id"], "category_id": 1, "bbox": [5, 5, 50, 80]}
    boxes.write_text(json.dumps([entry | {"score": 0.9}]))
    load = load_persons if way == "persons" else partial(load_boxes, boxes)
    with pytest.raises(DataError, match=r"image id 101.*file_name="):
        load(file, images, SKELETON)


def test_a_config_may_name_places_anywhere(tmp_path):
    """They are the user's own words, and not those of a file that was downloaded."""
    data = tiny_coco.content(2, 1)
    file, images = tiny_coco.write(tmp_path, data)
    (tmp_path / "elsewhere").mkdir()
    persons = load_persons(file, tmp_path / "elsewhere" / ".." / images.name, SKELETON)
    assert read_image(persons.images.path(0)).shape == (120, 160, 3)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP"])
def test_four_forms_are_read(tmp_path, form):
    Image.fromarray(PICTURE).save(tmp_path / "x", format=form)
    assert read_image(tmp_path / "x", (40, 60)).shape == (40, 60, 3)


@pytest.mark.parametrize("form", ["GIF", "TIFF", "JPEG2000", "PPM", "ICO", "TGA", "DDS", "EPS", "PDF"])  # fmt: skip
def test_others_are_refused_unopened_whatever_they_are_called(tmp_path, form, monkeypatch):
    Image.fromarray(PICTURE).save(tmp_path / "x.jpg", format=form)
    monkeypatch.setattr(cv2, "imdecode", None)  # calling it would be a TypeError
    with pytest.raises(DataError, match=r"x\.jpg: not a JPEG, PNG, BMP or WebP image"):
        read_image(tmp_path / "x.jpg")


def test_a_damaged_png_does_not_end_the_process(tmp_path):
    """One byte of the pixels: torchvision 0.29's decoder ends with SIGSEGV on this."""
    Image.fromarray(PICTURE).save(tmp_path / "x.png")
    content = bytearray((tmp_path / "x.png").read_bytes())
    content[len(content) // 2] ^= 0xFF
    (tmp_path / "x.png").write_bytes(content)
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from keypoint.data.images.read import read_image\n"
        "try:\n    read_image(Path(sys.argv[1]))\n"
        "except Exception as error:\n    print(type(error).__name__, error)\n"
        "print('torchvision.io' in sys.modules)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "x.png")]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.returncode
    said, imported = done.stdout.splitlines()
    assert said.startswith(f"DataError {tmp_path / 'x.png'}: damaged PNG image, cannot be decoded")
    assert imported == "False"


def png(width, height, rows):
    """Of so many black rows, compressed: 588 MB of pixels are 3 MB."""

    def chunk(kind, content):
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    packer, pixels = zlib.compressobj(1), b""
    for _ in range(rows):
        pixels += packer.compress(bytes(1 + 3 * width))
    pixels += packer.flush()
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


MEMORY = """
import resource, sys
from pathlib import Path
from keypoint.data.images.read import read_image
from keypoint.errors import DataError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    image = read_image(Path(sys.argv[1]), (120, 160) if sys.argv[2] == "stated" else None)
    print("read", image.shape)
except DataError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.fixture(scope="module")
def bomb(tmp_path_factory):
    file = tmp_path_factory.mktemp("bomb") / "bomb.png"
    file.write_bytes(png(14000, 14000, 14000))  # 588 MB of pixels
    assert file.stat().st_size < 2**23
    return file


def peak(file, stated):
    """What was said, and by how many MiB the peak memory of a process rose."""
    command = [sys.executable, "-S", "-c", LAUNCHER, sys.executable, "-c", MEMORY, file, stated]
    done = subprocess.run(
        list(map(str, command)), cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    said, mib = done.stdout.splitlines()
    return said, float(mib)


# A process begins with the peak memory of the one that started it, so a small one must start it.
LAUNCHER = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:]).returncode)"


def test_a_bomb_is_known_by_its_header_and_not_decoded(bomb):
    said, mib = peak(bomb, "stated")
    assert "image is 14000 x 14000 pixels (width x height), its annotations state 160 x 120" in said
    assert mib < 16
    with pytest.raises(DataError, match="its annotations state"):
        check_header(bomb, (120, 160))


def test_without_a_stated_size_a_limit_holds(bomb):
    said, mib = peak(bomb, "not stated")
    assert "too large, 14000 x 14000 pixels (width x height), more than 178956970 in all" in said
    assert mib < 16


def test_a_header_that_hides_the_size_is_no_way_around(tmp_path):
    """libjpeg skips junk between segments; our reader of headers stops there."""
    Image.fromarray(PICTURE).save(tmp_path / "x.jpg")
    content = (tmp_path / "x.jpg").read_bytes()
    (tmp_path / "x.jpg").write_bytes(content[:20] + b"\0" + content[20:])  # behind APP0
    assert cv2.imread(str(tmp_path / "x.jpg")) is not None
    with pytest.raises(DataError, match=r"x\.jpg: damaged JPEG image, its header has no size"):
        read_image(tmp_path / "x.jpg", (40, 60))
