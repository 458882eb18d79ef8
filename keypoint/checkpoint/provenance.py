"""Origin of numbers: the commit of the code, versions, the device."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

import keypoint

PACKAGES = (
    "keypoint", "torch", "torchvision", "numpy", "opencv-python-headless", "albumentations",
)  # fmt: skip


def code_commit(root: Path | None = None) -> str:
    """Return the git commit of the running code, with "and changes" if files differ from it.

    Args:
        root: Folder of the checkout; None for that of this package.

    Returns:
        "unknown" if that folder is not a checkout itself: an installed package may lie inside
        another project's.
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


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=20)  # noqa: S603 (a list, no shell)
    return done.stdout.strip()


def package_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that affect the numbers."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def device_name(device: torch.device) -> str:
    """Return a device in words, with the model of a GPU."""
    gpu = f" ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else ""
    return f"{device}{gpu}"
