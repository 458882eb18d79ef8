"""Pixels and file heads against Pillow, and files cut at every place."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from keypoint.data.images.header import read_header
from keypoint.data.images.read import check_header, read_image
from keypoint.data.video import VideoReader
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


def test_grey_has_three_channels(tmp_path, picture):
    Image.fromarray(picture[..., 0]).save(tmp_path / "grey.png")
    assert read_image(tmp_path / "grey.png").shape == (120, 160, 3)


def test_what_is_no_image(tmp_path):
    cases = {
        b"": "0 bytes",
        b"\xff\xd8\xff\xe0": "truncated JPEG",
        b"<html>404</html>": "not a JPEG, PNG",
        b"\x89PNG\r\n\x1a\nx": "truncated PNG",
        b"\x89PNG\r\n\x1a\n\0\0\0\0IEND\xaeB`\x82": "damaged PNG",
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
    text = f"a: image is {size[1]} x {size[0]} .*its annotations state {size[1] + 1} x {size[0]}"
    for look in (check_header, read_image):
        with pytest.raises(DataError, match=text):
            look(tmp_path / "a", (size[0], size[1] + 1))


@pytest.mark.parametrize("size", [(64, 48), (200, 320)])
def test_a_turned_picture_whose_annotations_are_upright_is_refused(tmp_path, size):
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "a.jpg").write_bytes(saved("JPEG", size, exif=exif))
    text = "as its EXIF orientation 6 shows it; annotations must not follow it"
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


# With what could be an end marker, behind one that no picture has.
FILM = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom\xff\x3a\0\2\xff\xd9" + np.random.default_rng(2).bytes(
    60_000
)
BEHIND = {
    "a film": FILM,
    "a long line of zeros": bytes(70_000),
    "a camera's trailer": b"SEFH" + bytes(range(256)) * 40 + b"SEFT",
    "a second picture": saved("JPEG", (64, 48)) + bytes(9000),
    "a byte": b"\n",
}


def photo(form, size=(240, 320)):
    """A file with an EXIF block that holds a thumbnail, which has an end marker of its own."""
    thumbnail = saved("JPEG", (16, 12))
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0" + thumbnail
    return saved(form, size, **{"exif": exif} if form != "BMP" else {})


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("form", ["JPEG", "JPEG progressive", "PNG", "WEBP", "BMP"])
def test_what_follows_the_end_makes_no_difference(tmp_path, form, behind):
    whole, more = tmp_path / "whole", tmp_path / "more"
    whole.write_bytes(photo(form))
    more.write_bytes(photo(form) + BEHIND[behind])
    assert check_header(more, (240, 320)) == check_header(whole, (240, 320))
    np.testing.assert_array_equal(read_image(more), read_image(whole))
    with Image.open(more) as opened, Image.open(whole) as expected:
        np.testing.assert_array_equal(np.asarray(opened), np.asarray(expected))


@pytest.mark.parametrize("behind", ["nothing", *BEHIND])
@pytest.mark.parametrize("form", ["JPEG", "JPEG progressive", "PNG"])
def test_a_cut_picture_is_named_whatever_follows(tmp_path, form, behind):
    content = photo(form)
    end_of_thumbnail = content.index(b"\xff\xd9") + 2
    for length in (end_of_thumbnail, len(content) // 2, len(content) * 3 // 4, len(content) - 20):
        if behind == "a second picture" and form.startswith("JPEG") and length > end_of_thumbnail:
            continue  # decoders take the second's end for the first's: it cannot be told
        (tmp_path / "a").write_bytes(content[:length] + BEHIND.get(behind, b""))
        for look in (check_header, read_image):
            with pytest.raises(DataError, match="a: truncated"):
                look(tmp_path / "a")


def test_restarts_and_repeated_ff_are_no_end(tmp_path, picture):
    cv2.imwrite(str(tmp_path / "a.jpg"), picture, [cv2.IMWRITE_JPEG_RST_INTERVAL, 2])
    content = (tmp_path / "a.jpg").read_bytes()
    assert content.count(b"\xff\xd0") > 1
    (tmp_path / "a.jpg").write_bytes(content[:-2] + b"\xff\xff\xff\xd9" + FILM)
    assert check_header(tmp_path / "a.jpg").image_size == (120, 160)
    scan = content.index(b"\xff\xda")
    for cut in (content[:-2] + FILM, content[:scan] + b"\xff\xd9", content[:scan] + b"\xff\xd9\n"):
        (tmp_path / "a.jpg").write_bytes(cut)
        with pytest.raises(DataError, match="no end marker"):
            check_header(tmp_path / "a.jpg")


def test_a_usual_file_is_known_by_its_first_and_last_bytes(tmp_path, monkeypatch):
    """Training looks at 118,287 of them before it starts."""
    monkeypatch.setattr("keypoint.data.images.read.read_file", None)  # would fail
    for form in SAVED:
        content = saved(form, (300, 257))
        (tmp_path / "a").write_bytes(content)
        if form != "JPEG with a profile":  # longer than what is read at first
            assert check_header(tmp_path / "a", (300, 257)) == read_header(content)


def other(form, **options):
    file = io.BytesIO()
    Image.new("RGB", (20, 10), (200, 100, 50)).save(file, form, **options)
    return file.getvalue()


BOX = b"\0\0\0\x18ftyp%b\0\0\0\0%bmiaf"
OTHERS = {
    "a GIF": lambda: other("GIF"),
    "a TIFF": lambda: other("TIFF"),
    "a JPEG 2000": lambda: other("JPEG2000"),
    "a PDF": lambda: other("PDF"),
    "an AVIF": lambda: BOX % (b"mif1", b"avif"),
    "a HEIC": lambda: BOX % (b"heic", b"mif1"),
    "a JPEG XL": lambda: b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(50),
    "a Photoshop (PSD)": lambda: b"8BPS\0\1" + bytes(50),
    "an SVG": lambda: b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>',
    "a camera's raw file": lambda: BOX % (b"crx ", b"isom"),
}


@pytest.mark.parametrize("form", OTHERS)
@pytest.mark.parametrize(("suffix", "made"), [(".jpg", ".png"), (".PNG", ".jpg")])
def test_other_forms_are_named_with_what_to_do(tmp_path, form, suffix, made):
    """By content: their names are wrong often. The conversion keeps the file."""
    file = tmp_path / f"my photo{suffix}"
    file.write_bytes(OTHERS[form]())
    text = f"my photo{suffix}: not a JPEG, PNG, BMP or WebP image but {form} ("
    remedy = "convert it to PNG or JPEG, for example with ImageMagick: "
    remedy += f"magick 'my photo{suffix}' 'my photo{made}'"
    for look in (check_header, read_image):
        with pytest.raises(DataError) as caught:
            look(file)
        assert text in str(caught.value)
        assert str(caught.value).endswith(remedy)


@pytest.mark.parametrize("form", OTHERS)
def test_pictures_under_the_name_of_a_video_are_named(tmp_path, form):
    """FFmpeg would take the GIF, and of a HEIC or AVIF one tile."""
    file = tmp_path / "a.mp4"
    file.write_bytes(OTHERS[form]())
    with pytest.raises(DataError, match=r"a\.mp4: not a video but ") as caught:
        VideoReader(file)
    assert f"but {form} (" in str(caught.value)
    assert str(caught.value).endswith("magick a.mp4 a.png")


@pytest.mark.parametrize("form", SAVED)
def test_images_under_the_name_of_a_video_are_named(tmp_path, form):
    (tmp_path / "a.mov").write_bytes(saved(form, (30, 27)))
    name = form.split()[0].replace("WEBP", "WebP")
    with pytest.raises(DataError, match=rf"not a video but a {name} image .*such as \.jpg"):
        VideoReader(tmp_path / "a.mov")


def test_raw_files_and_films_are_told_apart(tmp_path):
    (tmp_path / "a.nef").write_bytes(other("TIFF"))
    with pytest.raises(DataError, match=r"but a camera's raw file \("):
        check_header(tmp_path / "a.nef")
    for content in (FILM, b"RIFF\0\1\0\0AVI LIST" + bytes(99)):
        (tmp_path / "a.jpg").write_bytes(content)
        with pytest.raises(DataError, match=r"but a video \(.*rename it to a video, such as"):
            check_header(tmp_path / "a.jpg")
