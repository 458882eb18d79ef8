"""Initial weights for the networks of the set: a 2-D network trained on the nine poses of a frame.

It corresponds to the papers' ImageNet weights. Training from random weights fails within minutes,
because the classes give no gradient before the gestures are recognised.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from keypoint.action.echo.clips import POSES, draw_clip
from keypoint.action.networks.tiny import tiny_encoder
from keypoint.models.network import IMAGENET_MEAN, IMAGENET_STD

PICTURES = 4000
SPLIT = 2  # part of the seed; clips have 0 and 1
STEPS, BATCH_SIZE, LEARNING_RATE = 400, 64, 3e-3


def draw_pictures(seed: int, number: int) -> tuple[Tensor, Tensor]:
    """Return single frames, (N, H, W, 3) uint8 RGB, and their poses (N,) 0 to 8, alternating."""
    poses = torch.arange(number) % POSES
    pictures = [
        draw_clip(np.random.default_rng([seed, SPLIT, i]), np.array([divmod(pose, 3)]))[0]
        for i, pose in enumerate(poses.tolist())
    ]
    return torch.from_numpy(np.stack(pictures)), poses


def frame_network() -> nn.Sequential:
    """Return the 2-D network, (B, 3, H, W) to (B, 9), with torchvision's parameter names."""
    stages, channels = tiny_encoder()
    network = nn.Sequential()
    for name, stage in stages.items():
        network.add_module(name, stage)
    network.add_module("avgpool", nn.AdaptiveAvgPool2d(1))
    network.add_module("flatten", nn.Flatten())
    network.add_module("fc", nn.Linear(channels["layer4"], POSES))
    return network


def normalize(pictures: Tensor) -> Tensor:
    """Convert (B, H, W, 3) uint8 RGB to (B, 3, H, W) float32, as `Network.normalize` by default."""
    mean, std = (torch.tensor(values) * 255 for values in (IMAGENET_MEAN, IMAGENET_STD))
    return ((pictures.float() - mean) / std).permute(0, 3, 1, 2)


def train_on_frames(
    seed: int = 0,
    *,
    pictures: int = PICTURES,
    steps: int = STEPS,
    progress: Callable[[int], object] | None = None,
) -> tuple[nn.Sequential, float]:
    """Train the 2-D network; about 15 s of one core.

    Args:
        seed: Seed of pictures, weights and order.
        pictures: Number of single frames.
        steps: Number of Adam steps, with a cosine learning rate schedule to 0.
        progress: Called as `progress(1)` after each step.

    Returns:
        The network in eval mode, and the mean loss of its last tenth of steps.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the layers are too small for two threads
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = frame_network()
            drawn, poses = draw_pictures(seed, pictures)
            optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
            losses = []
            for _ in range(steps):
                chosen = torch.randint(pictures, (BATCH_SIZE,))
                scores = network(normalize(drawn[chosen]))
                loss = nn.functional.cross_entropy(scores, poses[chosen])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                losses.append(float(loss.detach()))
                if progress is not None:
                    progress(1)
    finally:
        torch.set_num_threads(threads)
    return network.eval(), float(np.mean(losses[-max(1, steps // 10) :]))
