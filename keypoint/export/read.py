"""Read the description in an exported file of either format, without running any code in it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

from keypoint.data.download.archives import NOT_A_ZIP
from keypoint.errors import CheckpointError
from keypoint.export.card import CARD_FILE, ExportCard, card_from_texts
from keypoint.export.onnx_predictor import open_onnx, open_session

MOST_BYTES = 10_000_000  # of a description; ours have a few thousand


def read_export(path: Path) -> ExportCard:
    """Return the description in a file of `keypoint export`; its suffix is its format.

    Raises:
        CheckpointError: The file cannot be used.
        ConfigError: onnxruntime, which opens ONNX files, is not installed.
    """
    if path.suffix == ".onnx":
        return open_onnx(path, "cpu")[1]
    return card_from_texts(read_texts(path), str(path))


def task_of_export(path: Path) -> str:
    """Return "keypoints" or "action", the task of a file of `keypoint export`.

    Raises:
        CheckpointError: The file cannot be used.
        ConfigError: onnxruntime is not installed.
    """
    return "action" if "classes" in read_texts(path) else "keypoints"


def read_texts(path: Path) -> Mapping[str, str]:
    """Return the texts of a file's description, whatever its task.

    Raises:
        CheckpointError: The file cannot be used.
        ConfigError: onnxruntime, which opens ONNX files, is not installed.
    """
    if path.suffix == ".onnx":
        return open_session(path, "cpu")[1]
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; check the path")
    try:
        with zipfile.ZipFile(path) as archive:
            found = [one for one in archive.infolist() if Path(one.filename).name == CARD_FILE]
            if len(found) != 1 or found[0].file_size > MOST_BYTES:
                raise CheckpointError(
                    f"{path}: has no description of keypoint export; export the checkpoint with it"
                )
            with archive.open(found[0]) as record:
                texts = json.loads(record.read(MOST_BYTES))
    except (OSError, ValueError, RecursionError, *NOT_A_ZIP) as error:
        raise CheckpointError(
            f"{path}: not a file of torch.export, or damaged ({error}); use another copy"
        ) from None
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise CheckpointError(f"{path}: its description is damaged; use another copy")
    return texts
