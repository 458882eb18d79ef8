"""Published weights in small: rows of a table of our own, and their files with names as mmpose gives them."""

import hashlib
import io
from dataclasses import replace

import torch

from keypoint.checkpoint.zoo import weights_folder
from keypoint.commands import weights as command
from keypoint.models.weights import by_name
from tests.reference import pose_resnet

ROW = by_name.Published(
    short_name="res18_64x64",
    network="resnet18",
    refinement="quarter",
    ap=0.5,
    ar=0.6,
    skeleton="coco17",
    path="top_down/res18_coco_64x64-00000000_20200708.pth",
)


def row(content, **changes):
    """A row whose file has this content, by its hash."""
    digits = hashlib.sha256(content).hexdigest()[:8]
    changed = replace(ROW, **changes)
    return replace(changed, path=changed.path.replace("00000000", digits))


def saved(head="head", seed=0, num_keypoints=17):
    """A whole file of mmpose, 1.x ("head") or 0.x ("keypoint_head"), and its state dict by plain names."""
    state = pose_resnet.simple_baseline(18, num_keypoints, seed)
    written = io.BytesIO()
    torch.save({"meta": {"epoch": 210}, "state_dict": pose_resnet.mmpose(state, head)}, written)
    return written.getvalue(), state


def install(monkeypatch, *rows, base_url="http://127.0.0.1:9/"):
    """Make these rows the table, and a server its home."""
    monkeypatch.setattr(by_name, "published", lambda: rows)
    monkeypatch.setattr(command, "published", lambda: rows)
    monkeypatch.setattr(by_name, "BASE_URL", base_url)
    monkeypatch.setitem(by_name.MEGABYTES, "resnet18", 62)


def put(content, published):
    """A file in the user's folder, as a download leaves it."""
    path = weights_folder() / published.file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
