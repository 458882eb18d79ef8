#!/usr/bin/env python
"""Time the steps from a clone to keypoints on a photo, with simulated downloads.

A copy of this repository is installed into a new environment, and `keypoint predict --weights` runs
in it on a photo. Weights have the size and layout of the real files and random values; they come
from a server on this machine, so add the time of a real download: bytes over speed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
NAME = "hrnet_w32_256x192"

# Writes both files below the folder that is served; prints the path that the table must have.
MAKE = """
import hashlib, sys
from pathlib import Path
import torch, torchvision
from keypoint.models import create_model
torch.manual_seed(0)
folder = Path(sys.argv[1])
state = create_model(network="hrnet_w32", weights=None).state_dict()
head = ("final_layer.",)
named = {("keypoint_head." if n.startswith(head) else "backbone.") + n: t for n, t in state.items()}
torch.save({"meta": {}, "state_dict": named}, folder / "network.pth")
digits = hashlib.sha256((folder / "network.pth").read_bytes()).hexdigest()[:8]
(folder / "network.pth").rename(folder / f"hrnet_w32_coco_256x192-{digits}_20200708.pth")
build = torchvision.models.detection.fasterrcnn_resnet50_fpn_v2
detector = build(weights=None, weights_backbone=None)
for name, tensor in detector.named_parameters():
    if "box_predictor" in name or "rpn.head" in name:  # else all scores are alike
        torch.nn.init.normal_(tensor, std=0.05)
torch.save(detector.state_dict(), folder / "detector.pth")
print(f"hrnet_w32_coco_256x192-{digits}_20200708.pth")
"""

# `keypoint predict`, with the addresses of both files on this machine.
PREDICT = """
import sys
from dataclasses import replace
import torch, torchvision
from keypoint.commands.main import main
from keypoint.models.weights import by_name
base, path, *words = sys.argv[1:]
rows = tuple(
    replace(row, path=path) if row.short_name == "hrnet_w32_256x192" else row
    for row in by_name.published()
)
by_name.published, by_name.BASE_URL = lambda: rows, base
load = torch.hub.load_state_dict_from_url
def local(url, *_, **__):
    return load(f"{base}detector.pth", check_hash=False)
torchvision.models._api.load_state_dict_from_url = local
sys.exit(main(words))
"""


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder without a line for each request."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    """Install, predict, and print the seconds of each as JSON and as a row of Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photo", type=Path)
    parser.add_argument("--output", type=Path, default=Path("output/first_photo"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        seconds = measure(args.photo.absolute(), Path(work), args.output.absolute())
    print(json.dumps(seconds, indent=1))
    total = sum(seconds[key] for key in ("clone", "install", "predict"))
    print(f"| 2 | {seconds['install']:.0f} s | {seconds['predict']:.0f} s | {total / 60:.1f} |")


def measure(photo: Path, work: Path, output: Path) -> dict[str, float]:
    """Seconds of each step, and the megabytes that were downloaded from the simulated servers."""
    seconds = {}
    clone, venv, served = work / "clone", work / "venv", work / "served"
    served.mkdir()

    def step(name: str, *words: object, **environment: str) -> str:
        begin = time.perf_counter()
        done = subprocess.run(
            [str(word) for word in words], check=True, capture_output=True, text=True,
            env=os.environ | environment, cwd=work,
        )  # fmt: skip
        seconds[name] = round(time.perf_counter() - begin, 1)
        return done.stdout

    step("clone", "git", "clone", "--quiet", REPOSITORY, clone)
    step("venv", sys.executable, "-m", "venv", venv)
    python = venv / "bin" / "python"
    step("install", python, "-m", "pip", "install", "--quiet", "-e", clone)
    path = step("make the files", python, "-c", MAKE, served).strip().splitlines()[-1]
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(served)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}/"
    words = ["predict", "--weights", NAME, "--output", output, "--pictures", "--overwrite", photo]
    caches = {"KEYPOINT_HOME": str(work / "keypoint"), "TORCH_HOME": str(work / "torch")}
    step("predict", python, "-c", PREDICT, base, path, *words, **caches, no_proxy="127.0.0.1")
    step("predict again", python, "-c", PREDICT, base, path, *words, **caches)
    server.shutdown()
    seconds["MB"] = round(sum(file.stat().st_size for file in served.iterdir()) / 1e6)
    return seconds


if __name__ == "__main__":
    main()
