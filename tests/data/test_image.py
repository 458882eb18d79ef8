"""Pixels and file heads against Pillow, and files cut at every place."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from keypoint.data.images.read import check_header, read_header, read_image
from keypoint.errors import DataError

SIZES = [(1, 1), (7, 33), (64, 48), (300, 257)]  # height, width
SAVED = {
    "JPEG": {},
    "JPEG progressive": {"progressive": True},
    "JPEG with a profile": {"icc_profile": b"x" * 70_000},
    "PNG": {},
    "BMP": {},
    "WEBP": {},
    "WEBP lossless": {"lossless": True},
    "WEBP with EXIF": {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0"},  # an extended header
}


def saved(form, size, **more):
    noise = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, form.split()[0], **SAVED[form], **more)
    return file.getvalue()


@pytest.fixture
def picture():
    noise = np.random.default_rng(0).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return cv2.resize(noise, (160, 120), interpolation=cv2.INTER_CUBIC)


def test_rgb_as_pillow_reads_it(tmp_path, picture):
    for name, options in {"a.png": {}, "a.bmp": {}, "a.webp": {"lossless": True}}.items():
        Image.fromarray(picture).save(tmp_path / name, **options)
        np.testing.assert_array_equal(read_image(tmp_path / name, (120, 160)), picture)
    Image.fromarray(picture).save(tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as opened:
        assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - np.asarray(opened)).max() <= 3


def test_exif_orientation_is_ignored(tmp_path, picture):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture).save(tmp_path / "turned.jpg", exif=exif)
    Image.fromarray(picture).save(tmp_path / "plain.jpg")
    turned, plain = read_image(tmp_path / "turned.jpg"), read_image(tmp_path / "plain.jpg")
    np.testing.assert_array_equal(turned, plain)


def test_grey_has_three_channels(tmp_path, picture):
    Image.fromarray(picture[..., 0]).save(tmp_path / "grey.png")
    assert read_image(tmp_path / "grey.png").shape == (120, 160, 3)


def test_what_is_no_image(tmp_path):
    cases = {
        b"": "0 bytes",
        b"\xff\xd8\xff\xe0": "truncated JPEG",
        b"<html>404</html>": "not a JPEG, PNG",
        b"\x89PNG\r\n\x1a\nx": "truncated PNG",
        b"\x89PNG\r\n\x1a\nIEND": "damaged PNG",
    }
    for content, text in cases.items():
        (tmp_path / "a.jpg").write_bytes(content)
        with pytest.raises(DataError, match=rf"a\.jpg: .*{text}"):
            read_image(tmp_path / "a.jpg")
    with pytest.raises(DataError, match=r"b\.jpg: cannot be read"):
        read_image(tmp_path / "b.jpg")
    with pytest.raises(DataError, match=f"{tmp_path.name}: cannot be read"):
        read_image(tmp_path)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("form", SAVED)
def test_form_and_size_are_as_pillow_reads_them(tmp_path, form, size):
    content = saved(form, size)
    header = read_header(content)
    with Image.open(io.BytesIO(content)) as opened:
        assert header.form.upper() == opened.format
        assert header.image_size == opened.size[::-1] == size
    (tmp_path / "a").write_bytes(content)
    assert check_header(tmp_path / "a", size) == header
    assert read_image(tmp_path / "a", size).shape == (*size, 3)
    text = f"a: image is {size[1]} x {size[0]} .*its annotations say {size[1] + 1} x {size[0]}"
    for look in (check_header, read_image):
        with pytest.raises(DataError, match=text):
            look(tmp_path / "a", (size[0], size[1] + 1))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_as_pillow_reads_it(orientation):
    exif = Image.Exif()
    exif[0x010F] = "a camera"  # an entry before it
    exif[0x0112] = orientation
    content = saved("JPEG", (64, 48), exif=exif)
    header = read_header(content)
    with Image.open(io.BytesIO(content)) as opened:
        assert header.orientation == opened.getexif()[0x0112] == orientation
    assert header.image_size == (64, 48)  # as stored


@pytest.mark.parametrize("size", [(64, 48), (200, 320)])
def test_a_turned_picture_whose_annotations_are_upright_is_refused(tmp_path, size):
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "a.jpg").write_bytes(saved("JPEG", size, exif=exif))
    text = "as its EXIF orientation 6 shows it, which annotations do not follow"
    for look in (check_header, read_image):
        with pytest.raises(DataError, match=text):
            look(tmp_path / "a.jpg", size[::-1])


@pytest.mark.parametrize("form", SAVED)
def test_no_cut_file_is_read(tmp_path, form):
    """OpenCV alone reads a cut JPEG as grey, and a cut BMP as black."""
    content = saved(form, (40, 30))
    file = tmp_path / "a"
    for length in range(0, len(content) - 2, max(1, len(content) // 60)):
        file.write_bytes(content[:length])
        for look in (check_header, read_image):
            with pytest.raises(DataError):
                look(file, (40, 30))


def test_junk_raises_the_toolkits_error_or_nothing(tmp_path):
    rng = np.random.default_rng(1)
    file = tmp_path / "a"
    for number in range(800):
        content = bytearray(saved(list(SAVED)[number % len(SAVED)], (16, 12)))
        for place in rng.integers(0, min(len(content), 200), 4):
            content[place] = rng.integers(0, 256)
        file.write_bytes(content[: rng.integers(1, len(content) + 1)])
        for look in (check_header, read_image):
            try:
                look(file, (16, 12))
            except DataError as error:
                assert str(file) in str(error)  # noqa: PT017
