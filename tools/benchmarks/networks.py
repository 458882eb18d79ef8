#!/usr/bin/env python
"""Make the table of docs/benchmarks/network.md: train, export and read networks."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn

from keypoint import __version__
from keypoint.checkpoint.file import load_model, read_checkpoint
from keypoint.commands import cli, train
from keypoint.config.load import Config, find_config, load_config
from keypoint.data.synthetic.demo_set import write_demo_set
from keypoint.errors import KeypointError
from keypoint.export.card import ExportCard
from keypoint.export.write import FORMATS, export_network
from keypoint.models import PoseNetwork, create_model
from keypoint.models.names import ENCODERS, TIMM, is_timm
from keypoint.pose.skeleton import load_skeleton

OWN = "networks:small_unet"
DEFAULTS = (
    "resnet18",
    "hrnet_w32",
    "timm/mobilenetv4_conv_small",
    "timm/convnext_atto",
    "timm/efficientnet_b0",
    "timm/hrnet_w18_small",
    "timm/vit_tiny_patch16_224",
    "timm/swin_tiny_patch4_window7_224",
    OWN,
)
# Millions of parameters, as published: of encoders with the classifier (torchvision's model pages;
# timm's results/results-imagenet.csv), of pose networks as a whole (the HRNet repository's README).
PUBLISHED = {
    "resnet18": "11.69",
    "resnet50": "25.56",
    "hrnet_w32": "28.5",
    "hrnet_w48": "63.6",
    "timm/mobilenetv4_conv_small": "3.77",
    "timm/convnext_atto": "3.70",
    "timm/efficientnet_b0": "5.29",
    "timm/hrnet_w18": "21.30",
    "timm/hrnet_w18_small": "13.19",
    "timm/vit_tiny_patch16_224": "5.72",
    "timm/vit_small_patch16_224": "22.05",
    "timm/swin_tiny_patch4_window7_224": "28.29",
    "timm/resnet18": "11.69",
}
SIZE = (128, 96)
HEAD = (
    "network",
    "parameters",
    "as published",
    "heatmaps",
    "loss",
    "AP",
    *(f"{form} differs by" for form in FORMATS.values()),
    "checkpoint",
)
EPILOG = """examples:
  tools/benchmarks/networks.py
      the table of docs/benchmarks/network.md, in some minutes each network
  tools/benchmarks/networks.py timm/resnet18 package.module:function
      only these; a module has to be on PYTHONPATH

parameters    of the whole network
as published  counted / published, in millions: of an encoder with its classifier, or of the network
heatmaps      of one image, K x H x W
loss          of the first and the last epoch
AP            on generated test images, after a few epochs; shows that the network learns
differs by    largest difference of the file's heatmaps from the network's, of the highest value
checkpoint    whether best.pt gives the same heatmaps read by two ways
"""


@dataclass(frozen=True)
class Run:
    """Settings that all networks share."""

    data: Path
    epochs: int
    forms: tuple[str, ...]


def small_unet(num_keypoints: int, input_size: tuple[int, int], width: int = 32) -> nn.Module:
    """A user's network, as named in a config: four convolutions down, two up, a head."""
    layers: list[nn.Module] = []
    channels = 3
    for factor in (1, 2, 4, 4):
        layers += [nn.Conv2d(channels, factor * width, 3, 2, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(factor * width), nn.ReLU()]
        channels = factor * width
    for factor in (2, 2):
        layers += [nn.ConvTranspose2d(channels, factor * width, 4, 2, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(factor * width), nn.ReLU()]
        channels = factor * width
    return nn.Sequential(*layers, nn.Conv2d(channels, num_keypoints, 1))


def main(argv: Sequence[str]) -> None:
    """Parse, generate, run each network, print.

    Raises:
        KeypointError: A network failed; the others' rows were printed.
    """
    parser = cli.parser(
        "tools/benchmarks/networks.py", "Print the table of docs/benchmarks/network.md.", EPILOG
    )
    add = parser.add_argument
    add("names", nargs="*", default=DEFAULTS, metavar="NAME", help=f"default: {' '.join(DEFAULTS)}")
    add("--images", type=int, default=150, help="to train on; a third as many to test; default 150")
    add("--epochs", type=int, default=2, help="default: 2")
    add("--forms", nargs="*", choices=list(FORMATS), default=list(FORMATS), help="default: all")
    args = parser.parse_args(argv)

    print(f"{row(HEAD)}\n{row('---' for _ in HEAD)}")
    failed: dict[str, KeypointError] = {}
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder) / "data", args.epochs, tuple(args.forms))
        write_demo_set(run.data, train_images=args.images, val_images=max(args.images // 3, 1))
        for name in args.names:
            try:
                cells = measure(name, run, Path(folder) / name.replace("/", "_").replace(":", "_"))
            except KeypointError as error:
                failed[name] = error
                cells = [f"failed: {error}"] + ["-"] * (len(HEAD) - 2)
            print(row([f"`{name}`", *cells]), flush=True)
    if failed:
        name, error = next(iter(failed.items()))
        raise type(error)(f"{len(failed)} of {len(args.names)} networks failed; {name}: {error}")


def row(cells: Any) -> str:
    """One line of a Markdown table."""
    return f"| {' | '.join(map(str, cells))} |"


def measure(name: str, run: Run, output: Path) -> list[str]:
    """The cells of a network after its name."""
    overrides = [*overrides_of(name), *overrides_of_run(run, output)]
    config = load_config(find_config("demo.yaml"), overrides)
    skeleton = load_skeleton(config.data.skeleton, config.data.root)
    model = create_model(**config.model.arguments(skeleton.num_keypoints)).eval()
    with torch.no_grad():
        heatmaps = model(torch.zeros(1, 3, *config.model.input_size))
    parameters = sum(parameter.numel() for parameter in model.parameters())

    train.main(["--cfg", "demo.yaml", *overrides])
    content = read_checkpoint(output / "best.pt")
    losses = [epoch["loss"] for epoch in read_checkpoint(output / "last.pt")["history"]]
    restored = load_model(output / "best.pt").model
    return [
        f"{parameters:,}",
        published(name, model),
        " x ".join(map(str, heatmaps.shape[1:])),
        f"{losses[0]:.2e} to {losses[-1]:.2e}",
        f"{content['best']['metrics']['AP']:.3f}",
        *exported(restored, config, run, output),
        "same" if comes_back(restored, config, output / "best.pt") else "DIFFERS",
    ]


def overrides_of(name: str) -> list[str]:
    """The keys of a config that mean a network."""
    if name in ENCODERS or is_timm(name):
        return ["model.network=simple_baseline", f"model.encoder={name}"]
    return [f"model.network={name}", "model.encoder=resnet50"]


def overrides_of_run(run: Run, output: Path) -> list[str]:
    """The keys of all networks: random weights, few epochs, no block."""
    size = f"[{SIZE[0]},{SIZE[1]}]"
    return [
        *("model.weights=none", "model.blocks=none", f"model.input_size={size}"),
        *(f"data.root={run.data}", "data.workers=0", f"output={output}"),
        *(f"train.epochs={run.epochs}", f"train.evaluate_every={run.epochs}"),
        *("train.batch_size=16", "train.warmup_steps=0", "train.lr=1e-3"),
    ]


def published(name: str, model: PoseNetwork) -> str:
    """Millions of parameters counted in the published thing, and the published figure."""
    figure = PUBLISHED.get(name.partition(".")[0] if is_timm(name) else name)
    if figure is None:
        return "-"
    whole: nn.Module = model
    if is_timm(name):
        import timm

        whole = timm.create_model(name.removeprefix(TIMM))
    elif name in ENCODERS:
        whole = torchvision.models.get_model(name, weights=None)
    counted = sum(parameter.numel() for parameter in whole.parameters()) / 1e6
    digits = len(figure.partition(".")[2])
    return f"{counted:.{digits}f} / {figure}"


def exported(model: PoseNetwork, config: Config, run: Run, output: Path) -> list[str]:
    """Return each file's largest heatmap difference from the network, of the highest value."""
    skeleton = load_skeleton(config.data.skeleton, config.data.root)
    card = ExportCard(
        version=__version__,
        skeleton=skeleton,
        input_size=model.input_size,
        input="uint8",
        outputs="keypoints",
        codec=model.codec.name,
        decoding=model.codec.decoding(),
        flip=False,
        precision="float32",
    )
    cells: Mapping[str, str] = {
        suffix: f"{export_network(model, card, output / f'network{suffix}').heatmaps:.0e}"
        for suffix in run.forms
    }
    return [cells.get(suffix, "-") for suffix in FORMATS]


def comes_back(restored: PoseNetwork, config: Config, path: Path) -> bool:
    """Return whether a checkpoint gives the same heatmaps when read as weights of a new network."""
    skeleton = load_skeleton(config.data.skeleton, config.data.root)
    arguments = config.model.arguments(skeleton.num_keypoints)
    other = create_model(**arguments, weights=path).eval()
    images = torch.rand(2, 3, *config.model.input_size)
    with torch.no_grad():
        return torch.equal(restored(images), other(images))


if __name__ == "__main__":
    sys.exit(cli.run(main))
