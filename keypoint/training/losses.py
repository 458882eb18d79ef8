"""The loss of heatmap regression.

Source: SimpleBaseline's `JointsMSELoss` with `use_target_weight`; HRNet's `JointsOHKMMSELoss` (hard
keypoint mining, from CPN) and its `USE_DIFFERENT_JOINTS_WEIGHT`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import partial

import torch
from torch import Tensor

from keypoint.errors import ConfigError


def heatmap_loss(
    predicted: Tensor,
    target: Tensor,
    weight: Tensor,
    *,
    keypoint_weights: Tensor | None = None,
    hardest: int | None = None,
) -> Tensor:
    """Half the mean squared error over batch, keypoints and pixels; unlabelled keypoints add 0.

    Args:
        predicted: (B, K, H, W), any float dtype; the sum runs in float32 because its terms are
            near 1e-3.
        target: (B, K, H, W) float32.
        weight: (B, K), 1 or 0 (any weight >= 0 is allowed).
        keypoint_weights: (K,) on the same device, multiplied into `weight`; as the reference has
            it inside the square, a keypoint of 1.5 counts 2.25 times.
        hardest: Number (1..K) of keypoints with the largest error that count in each sample; None
            for all.

    Returns:
        Scalar float32: 0.5 * mean((weight * (predicted - target))^2). With `hardest` the mean is
        over the maps of these keypoints. Without a labelled keypoint, loss and gradient are 0: the
        mean is over all maps, not over the labelled ones.
    """
    if keypoint_weights is not None:
        weight = weight * keypoint_weights
    squares = ((predicted - target) * weight[..., None, None]).square()  # B K H W
    if hardest is None:
        return 0.5 * squares.mean()
    return 0.5 * squares.mean(dim=(2, 3)).topk(hardest, dim=1).values.mean()


def build_loss(
    keypoints: Sequence[str],
    *,
    ohkm: int | None = None,
    keypoint_weights: Mapping[str, float] | None = None,
    device: torch.device | str = "cpu",
) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Return `heatmap_loss` with its options bound.

    Args:
        keypoints: Names of the K keypoints, in order.
        ohkm: `hardest`.
        keypoint_weights: By name; the others have 1.
        device: Device on which the loss is computed.

    Raises:
        ConfigError: An option has no effect, or a weight is for a keypoint that does not exist.
    """
    if ohkm is not None and ohkm >= len(keypoints):
        raise ConfigError(
            f"train.ohkm={ohkm} has no effect with {len(keypoints)} keypoints: all of them count; "
            f"give 1..{len(keypoints) - 1}, or none"
        )
    if keypoint_weights is None:
        return partial(heatmap_loss, hardest=ohkm)
    unknown = sorted(set(keypoint_weights) - set(keypoints))
    if unknown:
        near = [get_close_matches(name, keypoints, n=1) for name in unknown]
        meant = " and ".join(names[0] for names in near if names)
        raise ConfigError(
            f"train.keypoint_weights contains {unknown}, which the skeleton lacks; "
            + (f"did you mean {meant}?" if all(near) else f"choose from {list(keypoints)}")
        )
    weights = torch.tensor([keypoint_weights.get(name, 1.0) for name in keypoints], device=device)
    return partial(heatmap_loss, hardest=ohkm, keypoint_weights=weights)
