"""The loss of heatmap regression.

Source: SimpleBaseline's `JointsMSELoss` with `use_target_weight`.
"""

from __future__ import annotations

from torch import Tensor


def heatmap_loss(predicted: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Half the mean squared error over batch, keypoints and pixels; unlabelled keypoints count 0.

    Args:
        predicted: (B, K, H, W), any float dtype; the sum runs in float32 because its terms are
            near 1e-3.
        target: (B, K, H, W) float32.
        weight: (B, K), 1 or 0 (any weight >= 0 is allowed).

    Returns:
        Scalar float32: 0.5 * mean((weight * (predicted - target))^2). With no labelled keypoint it
        is 0 and so is its gradient: the mean runs over all maps, not over the labelled ones.
    """
    error = (predicted - target) * weight[..., None, None]
    return 0.5 * error.square().mean()
