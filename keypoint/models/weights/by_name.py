"""Named weights: address, network, codec and published AP of mmpose's files (by_name.csv).

    name                  network, input size (height x width) and what is special
    mmpose/res50_256x192  SimpleBaseline with a ResNet-50; `mmpose/` may be left out
    .._dark, .._udp       trained and decoded as DARK (Zhang et al. 2020), UDP (Huang et al. 2020)
    .._ap10k              animals, the keypoints of AP-10K

Source: mmpose 1.3.2 and, for the plain HRNets, ResNet-101 384x288 and AP-10K, 0.29: the tables
`{resnet,resnet_dark,hrnet,hrnet_udp}_{coco,ap10k}.md` in its configs. The eight hex digits in a
file's name are the beginning of its SHA-256. All files expect RGB with ImageNet's mean and std.
Differences in the source: for ResNet-101 384x288, 1.3.2 links the 256x192 file (AP .749; 0.29 has
.748 for its own file, which is used here); it has newer files of the plain HRNets with 0 to .003
more AP; ResNet-152 DARK 384x288 has AP .757 in its model index and .755 on the page.

This module does not import torch, so that reading a config does not load it.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

OWNER = "mmpose/"
BASE_URL = "https://download.openmmlab.com/mmpose/"
LICENCE = "Apache-2.0 (mmpose); the training images have their own terms"
COCO = "COCO val2017, detector boxes of person AP 56.4, flip test"
AP10K = "AP-10K validation set, ground-truth boxes, flip test"

# Approximate size of a file in megabytes: 4 bytes for each number of the network.
MEGABYTES = {
    "resnet50": 136,
    "resnet101": 212,
    "resnet152": 275,
    "hrnet_w32": 114,
    "hrnet_w48": 255,
}


@dataclass(frozen=True)
class Published:
    """One weights file.

    Attributes:
        short_name: Its name without `mmpose/`.
        network: As `model.encoder` of a SimpleBaseline, or `model.network` of an HRNet.
        refinement: "quarter" and "dark" are decodings of the codec heatmap; "udp" is the codec of
            that name.
        ap, ar: As published, from 0 to 1; AP-10K's table has no AR.
        skeleton: Built-in name.
        path: Below `BASE_URL`.
    """

    short_name: str
    network: str
    refinement: str
    ap: float
    ar: float | None
    skeleton: str
    path: str

    @property
    def name(self) -> str:
        """The whole name."""
        return f"{OWNER}{self.short_name}"

    @property
    def address(self) -> str:
        """The address of the file."""
        return f"{BASE_URL}{self.path}"

    @property
    def file(self) -> str:
        """The name of the file."""
        return PurePosixPath(self.path).name

    @property
    def sha256(self) -> str:
        """The beginning of the file's SHA-256."""
        return str(re.findall(r"-([0-9a-f]{8})_\d{8}\.pth$", self.path)[0])

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the crops."""
        height, width = re.findall(r"_(\d+)x(\d+)", self.short_name)[0]
        return int(height), int(width)

    @property
    def codec(self) -> str:
        """As `model.codec` of a config."""
        return "udp" if self.refinement == "udp" else "heatmap"

    @property
    def decoding(self) -> str:
        """As `test.decoding` of a config."""
        return "codec" if self.refinement == "udp" else self.refinement

    @property
    def conditions(self) -> str:
        """The data, boxes and flip of its AP."""
        return AP10K if self.skeleton == "ap10k17" else COCO

    def model_section(self) -> dict[str, Any]:
        """Return the keys of a config's section `model` that describe the network."""
        kind = "network" if self.network.startswith("hrnet") else "encoder"
        return {
            kind: self.network,
            "input_size": list(self.input_size),
            "codec": self.codec,
            # AP-10K's targets have 2 at width 256; COCO's 2 at width 192, in proportion.
            "heatmap_sigma": 2.0 if self.skeleton == "ap10k17" else None,
        }

    def config(self) -> dict[str, Any]:
        """Return the content of a config of this network, tested as its AP was measured."""
        return {
            "model": self.model_section(),
            "data": {"skeleton": self.skeleton},
            "test": {"decoding": self.decoding},
            "output": f"output/{self.short_name}",
        }

    def facts(self) -> dict[str, Any]:
        """Return what a card says of its origin."""
        return {
            "name": self.name,
            "address": self.address,
            "published": {"AP": self.ap, "AR": self.ar, "conditions": self.conditions},
            "licence": LICENCE,
        }


@cache
def published() -> tuple[Published, ...]:
    """Return the rows of the table in their order."""
    with Path(__file__).with_suffix(".csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            Published(
                short_name=row["name"],
                network=row["network"],
                refinement=row["refinement"],
                ap=float(row["AP"]),
                ar=float(row["AR"]) if row["AR"] else None,
                skeleton=row["skeleton"],
                path=row["path"],
            )
            for row in csv.DictReader(file)
        )


def find_by_name(name: str) -> Published | None:
    """Return the row of a name, with or without `mmpose/`; None if there is none."""
    short = name.removeprefix(OWNER)
    return next((row for row in published() if row.short_name == short), None)


def find_by_file(name: str) -> Published | None:
    """Return the row of a file's name; None if there is none."""
    return next((row for row in published() if row.file == name), None)


def near_name(name: str) -> str:
    """Return a hint at the nearest name, for an error; empty if none is near."""
    names = [row.short_name for row in published()]
    near = get_close_matches(name.removeprefix(OWNER), names, n=1)
    return f"; did you mean {OWNER}{near[0]}?" if near else ""
