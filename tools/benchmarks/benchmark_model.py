"""The part `model` of run.py: milliseconds an image of the network with and without
blocks, evaluation and training step.

The ratios are to the network without blocks, in the same run and round. Nothing here depends on
the values of weights or images, so all are random.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from benchmark_timing import cpu_seconds, interleave, median_ratio, table, wall_seconds
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from keypoint.models import SimpleBaseline, create_model
from keypoint.progress import progress
from keypoint.training.losses import heatmap_loss
from keypoint.training.optimizer import build_optimizer

ENCODER = "resnet50"
NUM_KEYPOINTS = 17
DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16}
PLAIN = "none"
MODES = ("eval", "train")


@dataclass(frozen=True)
class Setting:
    """How the networks are run.

    Attributes:
        device: Where.
        batch_size: Images in a step.
        channels_last: Memory format of weights and images.
        rounds: Measured rounds by mode, "eval" and "train".
    """

    device: torch.device
    batch_size: int
    channels_last: bool
    rounds: dict[str, int]

    @property
    def warm_up(self) -> int:
        """Rounds that do not count: a GPU chooses its kernels in them."""
        return 3 if self.device.type == "cuda" else 1


def measure_model(
    setting: Setting,
    *,
    input_sizes: Sequence[tuple[int, int]],
    dtypes: Sequence[str],
    blocks: Sequence[str],
) -> str:
    """The table of the section and what any implementation must do, as text.

    Args:
        setting: Device, batch, rounds.
        input_sizes: (height, width) each.
        dtypes: Keys of DTYPES; bf16 is autocast, as in training.
        blocks: Names of blocks after every deconvolution; `none` is measured in any case.
    """
    names = [PLAIN, *(name for name in blocks if name != PLAIN)]
    rows, floors = [], []
    steps = sum(rounds + setting.warm_up for rounds in setting.rounds.values())
    total = steps * len(names) * len(dtypes) * len(input_sizes)
    with progress(total, "model", "step") as bar:
        for size in input_sizes:
            models = {name: build(name, size, setting) for name in names}
            counts = {name: multiply_adds(model, size, setting) for name, model in models.items()}
            floors.append(floor(models[PLAIN], size, setting))
            for dtype in dtypes:
                times = {}
                for mode in MODES:
                    ways = {
                        name: step(model, mode, DTYPES[dtype], setting)
                        for name, model in models.items()
                    }
                    times[mode] = interleave(
                        ways, rounds=setting.rounds[mode], warm_up=setting.warm_up, bar=bar
                    )
                for name in names:
                    cells = [f"{size[0]}x{size[1]}", dtype, name, f"{counts[name] / 1e9:.2f}"]
                    for mode in MODES:
                        taken, plain = times[mode][name], times[mode][PLAIN]
                        each = 1000 * float(np.median(taken)) / setting.batch_size
                        cells += [f"{each:.2f}", f"{median_ratio(taken, plain):.2f}"]
                    rows.append(cells)
    header = ["input", "dtype", "blocks", "G multiply-adds"]
    header += [f"{mode}, {unit}" for mode in MODES for unit in ("ms", "times none")]
    return "\n".join([table(header, rows), "", *floors])


def build(name: str, input_size: tuple[int, int], setting: Setting) -> SimpleBaseline:
    """The network with a block after every deconvolution, or without."""
    model = create_model(
        ENCODER,
        blocks=None if name == PLAIN else name,
        input_size=input_size,
        num_keypoints=NUM_KEYPOINTS,
    ).to(setting.device)
    return model.to(memory_format=torch.channels_last) if setting.channels_last else model


def step(
    model: SimpleBaseline, mode: str, dtype: torch.dtype, setting: Setting
) -> Callable[[int], float]:
    """One step in seconds: "eval" is forward alone, "train" forward, loss, backward and Adam."""
    device = setting.device
    images = torch.randn(setting.batch_size, 3, *model.input_size, device=device)
    if setting.channels_last:
        images = images.contiguous(memory_format=torch.channels_last)
    target = torch.rand(setting.batch_size, NUM_KEYPOINTS, *model.heatmap_size, device=device)
    weight = torch.ones(setting.batch_size, NUM_KEYPOINTS, device=device)
    # Adam as well, because SRL-LO's retraction comes with the optimiser's step.
    optimizer = build_optimizer(model) if mode == "train" else None

    def forward() -> Tensor:
        with torch.autocast(device.type, dtype=dtype, enabled=dtype is not torch.float32):
            heatmaps: Tensor = model(images)
        return heatmaps

    def once() -> None:
        if optimizer is None:
            with torch.no_grad():
                forward()
            return
        heatmap_loss(forward(), target, weight).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def timed(_: int) -> float:
        model.train(optimizer is not None)
        return seconds(once, device)

    return timed


def seconds(work: Callable[[], None], device: torch.device) -> float:
    """CPU time on one thread, wall time on more; on a GPU between two events of its own queue."""
    if device.type != "cuda":
        return cpu_seconds(work) if torch.get_num_threads() == 1 else wall_seconds(work)
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    torch.cuda.synchronize(device)
    first.record()
    work()
    last.record()
    torch.cuda.synchronize(device)
    return float(first.elapsed_time(last)) / 1000


@torch.no_grad()
def multiply_adds(model: SimpleBaseline, input_size: tuple[int, int], setting: Setting) -> int:
    """Of one image's forward pass: convolutions, matmuls and attention; no counter knows FFTs."""
    with FlopCounterMode(display=False) as counter:
        model.eval()(torch.zeros(1, 3, *input_size, device=setting.device))
    return int(counter.get_total_flops()) // 2


def floor(model: SimpleBaseline, input_size: tuple[int, int], setting: Setting) -> str:
    """What a step of the plain network cannot do without, and the FFTs the table leaves out."""
    weights = 4 * sum(parameter.numel() for parameter in model.parameters())
    images = 4 * 3 * math.prod(input_size) * setting.batch_size
    heatmaps = 4 * NUM_KEYPOINTS * math.prod(model.heatmap_size) * setting.batch_size
    # Two transforms a block, C H W log2(H W) each, after deconv1, deconv2 and deconv3.
    sites = [(input_size[0] // stride, input_size[1] // stride) for stride in (16, 8, 4)]
    ffts = sum(2 * 256 * h * w * math.log2(h * w) for h, w in sites)
    return (
        f"* {input_size[0]}x{input_size[1]}, float32: a forward step of {setting.batch_size} reads "
        f"{weights / 1e6:.0f} MB of weights and {images / 1e6:.1f} MB of images and writes "
        f"{heatmaps / 1e6:.1f} MB of heatmaps at least; backward costs twice the multiply-adds, "
        f"Adam reads and writes {7 * weights / 1e6:.0f} MB. Not in the table: the FFTs of srl_fft, "
        f"{ffts / 1e9:.2f} G an image."
    )
