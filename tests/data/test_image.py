import cv2
import numpy as np
import pytest
from PIL import Image

from keypoint.data.image import read_image
from keypoint.errors import DataError


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
