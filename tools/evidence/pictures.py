"""The pictures that keypoint sweep and keypoint explain wrote, by their names in the document."""

from __future__ import annotations

from pathlib import Path

import cv2

from keypoint.drawing.canvas import Image
from keypoint.errors import DataError


def read(path: Path) -> Image:
    """An RGB picture.

    Raises:
        DataError: There is no such picture.
    """
    picture = cv2.imread(str(path))
    if picture is None:
        raise DataError(f"{path}: no picture; run make evidence, which writes it")
    return picture[..., ::-1]


def seen(folder: Path) -> dict[str, Image]:
    """FOLDER/BLOCK/*.png of keypoint explain as evidence_BLOCK.jpg."""
    return {f"evidence_{p.parent.name}.jpg": read(p) for p in sorted(folder.glob("*/*.png"))}
