"""A photo as people see it, judged by Pillow."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from keypoint.data.images import read as images
from keypoint.data.images import upright
from keypoint.data.images.header import read_header
from keypoint.data.images.read import read_image
from keypoint.data.images.upright import moderate_header, read_upright
from keypoint.errors import DataError

PIXELS = cv2.resize(
    np.random.default_rng(0).integers(0, 255, (3, 5, 3), dtype=np.uint8), (60, 36)
)  # fmt: skip


def photo(form, orientation):
    """A photo of an orientation: the bytes of a file."""
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x010F] = "a camera"  # an entry before it
    exif[0x0112] = orientation
    options = {"lossless": True} if form.startswith("WebP") else {}
    if form == "PNG, as text":
        lines = ["", "exif", f"{len(exif.tobytes()):8}", exif.tobytes().hex(), ""]
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_text("Raw profile type exif", "\n".join(lines), zip=True)
    else:
        options["exif"] = exif
    Image.fromarray(PIXELS).save(file, form.split(",")[0], **options)
    content = file.getvalue()
    if form == "PNG, at the end":  # where exiftool and others put it
        start = content.index(b"eXIf") - 4
        end = start + 12 + int.from_bytes(content[start : start + 4], "big")
        content = content[:start] + content[end:-12] + content[start:end] + content[-12:]
    return content


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "PNG, at the end", "PNG, as text", "WebP"])
def test_every_orientation(tmp_path, form, orientation):
    file = tmp_path / "photo"
    file.write_bytes(photo(form, orientation))
    image, found = read_upright(file)
    with Image.open(file) as opened:
        expected = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"), int)
    assert found == orientation
    assert image.shape == expected.shape
    assert np.abs(image - expected).max() < (40 if form == "JPEG" else 1)  # two decoders
    stored = read_image(file, PIXELS.shape[:2])  # for annotations
    file.write_bytes(photo(form, 1))
    np.testing.assert_array_equal(stored, read_image(file))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "PNG, as text", "WebP"])
def test_a_damaged_exif_block_is_as_none(tmp_path, form):
    content, rng = photo(form, 6), np.random.default_rng(0)
    first = {"JPEG": 6, "WebP": content.rindex(b"EXIF") + 8 if form == "WebP" else 0}
    start = first.get(form) or content.index(b"zTXt" if "text" in form else b"eXIf") + 4
    for _ in range(300):
        junk = bytearray(content)
        for place in rng.integers(start, start + 40, 3):
            junk[place] = rng.integers(0, 256)
        header = read_header(bytes(junk))
        assert header is None or header.orientation in range(1, 9)


def test_a_webp_that_says_it_has_no_exif_has_none(tmp_path):
    content = bytearray(photo("WebP", 6))
    content[20] &= ~0x08
    assert read_header(bytes(content)).orientation == 1
    with Image.open(io.BytesIO(content)) as opened:
        assert 0x0112 not in opened.getexif()


def test_without_exif(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    image, orientation = read_upright(tmp_path / "a.png")
    np.testing.assert_array_equal(image, PIXELS)
    assert orientation == 1


def test_too_large_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    file = tmp_path / "a.png"
    Image.fromarray(PIXELS).save(file)
    monkeypatch.setattr(upright, "decode_image", None)  # would fail otherwise
    monkeypatch.setattr(images, "MOST_PIXELS", 60 * 36 - 1)
    with pytest.raises(DataError, match=r"a\.png: too large, 60 x 36 pixels .*more than 2159"):
        read_upright(file)
    monkeypatch.setattr(images, "MOST_PIXELS", 60 * 36)
    assert moderate_header(file).image_size == (36, 60)
    monkeypatch.setattr(upright, "MAX_BYTES", 10)
    with pytest.raises(DataError, match=r"too large, a file of \d+ bytes; up to 10 are read"):
        moderate_header(file)
