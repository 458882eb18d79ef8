"""A photo as people see it, judged by Pillow."""

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from keypoint.data.images import read as images
from keypoint.data.images import upright
from keypoint.data.images.upright import moderate_header, read_upright
from keypoint.errors import DataError

PIXELS = cv2.resize(
    np.random.default_rng(0).integers(0, 255, (3, 5, 3), dtype=np.uint8), (60, 36)
)  # fmt: skip


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation(tmp_path, orientation):
    file = tmp_path / "photo.jpg"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(PIXELS).save(file, quality=95, exif=exif)
    image, found = read_upright(file)
    with Image.open(file) as opened:
        expected = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"), int)
    assert found == orientation
    assert image.shape == expected.shape
    assert np.abs(image - expected).max() < 12  # two decoders


def test_without_exif(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    image, orientation = read_upright(tmp_path / "a.png")
    np.testing.assert_array_equal(image, PIXELS)
    assert orientation == 1


def test_too_large_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    file = tmp_path / "a.png"
    Image.fromarray(PIXELS).save(file)
    monkeypatch.setattr(upright, "read_image", None)  # would fail otherwise
    monkeypatch.setattr(images, "MOST_PIXELS", 60 * 36 - 1)
    with pytest.raises(DataError, match=r"a\.png: too large, 60 x 36 pixels .*more than 2159"):
        read_upright(file)
    monkeypatch.setattr(images, "MOST_PIXELS", 60 * 36)
    assert moderate_header(file).image_size == (36, 60)
    monkeypatch.setattr(upright, "MAX_BYTES", 10)
    with pytest.raises(DataError, match=r"too large, a file of \d+ bytes; up to 10 are read"):
        moderate_header(file)
