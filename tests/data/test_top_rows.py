"""JPEGs cut to their top rows: the same pixels as of the whole image, and silence on stderr."""

import cv2
import numpy as np
import pytest

from keypoint.data.images.read import read_image

SIZE = (121, 83)  # height, width: no multiple of any block
SAMPLING = {
    "444": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    "440": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440,
    "422": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    "420": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    "411": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411,
}


def picture(channels=3):
    rng = np.random.default_rng(0)
    height, width = SIZE
    noise = rng.integers(0, 255, (height // 4, width // 4, channels), dtype=np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)


def jpeg(image, *options):
    return cv2.imencode(".jpg", image, options)[1].tobytes()


@pytest.fixture
def file(tmp_path):
    return tmp_path / "a.jpg"


def top_is_equal(file, rows):
    """Compare the rows asked for; the number of rows that were decoded."""
    image, top = read_image(file, SIZE), read_image(file, SIZE, rows)
    np.testing.assert_array_equal(top[:rows], image[:rows])
    assert len(top) >= min(rows, len(image))
    return len(top)


@pytest.mark.parametrize("sampling", [*SAMPLING, "gray"])
def test_rows_are_those_of_the_whole_image_and_the_rest_is_left_out(file, sampling, capfd):
    if sampling == "gray":
        file.write_bytes(jpeg(picture(1)))
    else:
        file.write_bytes(jpeg(picture(), cv2.IMWRITE_JPEG_SAMPLING_FACTOR, SAMPLING[sampling]))
    for rows in range(1, 140):
        assert top_is_equal(file, rows) == min(rows + 8, 121)
    assert capfd.readouterr().err == ""


def test_codes_of_few_bytes_end_soon_after_the_rows(file, capfd):
    flat = picture()
    flat[40:] = 128
    file.write_bytes(jpeg(flat))
    for rows in range(1, 114):
        assert top_is_equal(file, rows) == min(rows + 8, 121)
    assert capfd.readouterr().err == ""


def test_progressive_files_and_those_with_restarts_are_read_whole(file, capfd):
    for option, value in ((cv2.IMWRITE_JPEG_PROGRESSIVE, 1), (cv2.IMWRITE_JPEG_RST_INTERVAL, 2)):
        file.write_bytes(jpeg(picture(), option, value))
        assert top_is_equal(file, 20) == 121
    assert capfd.readouterr().err == ""


def test_other_forms_are_read_whole(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), picture())
    assert top_is_equal(tmp_path / "a.png", 20) == 121


@pytest.mark.parametrize("behind", [b"", b"x", b"xy"])
def test_a_second_picture_behind_the_end_does_not_matter(file, behind, capfd):
    content = jpeg(picture())
    for first in (content, content[:2] + b"\xff\xfe\0\3x" + content[2:]):  # odd and even places
        file.write_bytes(first + behind + content)
        assert top_is_equal(file, 20) == 28
    assert capfd.readouterr().err == ""


def test_codes_that_end_early_are_grey_as_in_the_whole_image(file):
    content = jpeg(picture())
    file.write_bytes(content[: len(content) // 2] + b"\xff\xd9")
    assert top_is_equal(file, 100) == 121
    assert top_is_equal(file, 20) == 28
