"""Recognise image formats that are not read here, and say what to do with them.

Only JPEG, PNG, BMP and WebP are decoded. The others do not define a single picture that every
reader agrees on: a GIF is a video; a TIFF has pages, samples of any type, and an orientation that
OpenCV 5 and Pillow 12 apply even for annotations in stored order; an AVIF's orientation is known
only to Pillow, from version 11.3 on. HEIC and JPEG XL need additional libraries. A conversion takes
one command, and its result can be inspected.
"""

from __future__ import annotations

from pathlib import Path
from shlex import quote

from keypoint.data.images.header import read_header

# By the first bytes, in the order in which they are tried.
SIGNATURES = (
    (b"GIF8", "a GIF"),
    (b"FUJIFILMCCD-RAW", "a camera's raw file"),
    (b"IIU\0", "a camera's raw file"),
    (b"IIR", "a camera's raw file"),
    (b"II*\0", "a TIFF"),
    (b"MM\0*", "a TIFF"),
    (b"II+\0", "a TIFF"),
    (b"MM\0+", "a TIFF"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL"),
    (b"\xff\x0a", "a JPEG XL"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000"),
    (b"8BPS", "a Photoshop (PSD)"),
    (b"%PDF", "a PDF"),
    (b"%!PS", "a PostScript"),
)
# Brands of the ISO base media format, which follow "ftyp".
BRANDS = (
    ((b"avif", b"avis"), "an AVIF"),
    ((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "a HEIC"),
    ((b"crx ",), "a camera's raw file"),
)
RAW_SUFFIXES = (".cr2", ".nef", ".dng", ".arw", ".pef", ".srw", ".3fr", ".iiq")  # TIFF inside


def other_form(content: bytes, path: Path) -> tuple[str, str]:
    """Return the name of a file's format, and what to do.

    Args:
        content: The first bytes, at least 4,096 if there are so many.
        path: The file; its suffix shows whether a TIFF is a camera's raw file.

    Returns:
        An empty name if the form is not known.
    """
    if content.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer", "fetch it with git lfs pull"
    form = _form(content)
    if form == "a video":
        return form, "for keypoint predict, rename it to a video, such as .mp4 or .mov"
    if form == "a TIFF" and path.suffix.lower() in RAW_SUFFIXES:
        form = "a camera's raw file"
    if not form:
        return "", "give an image, or an undamaged copy of it"
    suffix = ".jpg" if path.suffix.lower() == ".png" else ".png"  # not the name of the source
    names = f"{quote(path.name)} {quote(path.stem + suffix)}"
    return form, f"convert it to PNG or JPEG, for example with ImageMagick: magick {names}"


def picture_form(content: bytes, path: Path) -> tuple[str, str]:
    """Return the name of a format that is not a video, and what to do; "" if it is not known.

    FFmpeg would take a GIF, or a HEIC, of which it reads one tile.

    Args:
        content: The first bytes, at least 12 if there are so many.
        path: The file, whose name is that of a video.
    """
    header = read_header(content)
    if header is not None and (header.form != "WebP" or content[8:12] == b"WEBP"):
        return f"a {header.form} image", "rename it to an image, such as .jpg, .png or .webp"
    form, remedy = other_form(content, path)
    return (form, remedy) if form != "a video" else ("", "")


def _form(content: bytes) -> str:
    if content.startswith(b"RIFF") and content[8:11] == b"AVI":
        return "a video"
    if content[4:8] == b"ftyp":
        size = int.from_bytes(content[:4], "big")
        brands = [content[8:12], *(content[p : p + 4] for p in range(16, min(size, 4096), 4))]
        # A HEIC and an AVIF may both begin with mif1, the brand of any image in this format.
        known = [name for names, name in BRANDS if set(names) & set(brands)]
        return known[0] if known else "a video"
    start = content[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(b"<svg") or (start.startswith((b"<?xml", b"<!--")) and b"<svg" in start):
        return "an SVG"
    return next((name for first, name in SIGNATURES if content.startswith(first)), "")
