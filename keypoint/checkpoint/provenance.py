"""Where numbers come from: the checkpoint and its recipe, the code's commit, the versions."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import keypoint
from keypoint.checkpoint.file import describe_training

PACKAGES = (
    "keypoint",
    "torch",
    "torchvision",
    "numpy",
    "opencv-python-headless",
    "pycocotools",
    "faster-coco-eval",
    "albumentations",
)


def run_facts(checkpoint: Path, cfg: str | None, device: torch.device) -> dict[str, Any]:
    """Rows of a results card about a run of `keypoint test`.

    Args:
        checkpoint: The file that was tested.
        cfg: The config in place of the one in the checkpoint; the recipe of such weights is
            unknown.
        device: Where the network ran.

    Raises:
        CheckpointError: Without `cfg`, a file that is not ours.
    """
    device_name = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "checkpoint": f"{checkpoint}, {checkpoint.stat().st_size} bytes, "
        f"sha256 {file_sha256(checkpoint)}",
        "recipe": f"unknown: weights tested with {cfg}" if cfg else describe_training(checkpoint),
        "commit": code_commit(),
        "versions": package_versions(),
        "device": f"{device} ({device_name})" if device_name else str(device),
    }


def file_sha256(path: Path) -> str:
    """The hash by which anybody can tell that they have the same file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for part in iter(lambda: file.read(2**20), b""):
            digest.update(part)
    return digest.hexdigest()


def code_commit(root: Path | None = None) -> str:
    """The git commit of the running code, with "and changes" if files differ from it.

    Args:
        root: Folder of the checkout; None takes the one that this package lies in.

    Returns:
        "unknown" where it is no checkout of its own: an installed package may lie within somebody
        else's.
    """
    root = root or Path(keypoint.__file__).parents[1]
    if not (root / ".git").exists():
        return "unknown"
    try:
        commit = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return f"{commit} and changes" if changed else commit


def package_versions() -> dict[str, str]:
    """Python's version and those of what decides numbers; "not installed" where it is not."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=20)  # noqa: S603 (a list, no shell)
    return done.stdout.strip()
