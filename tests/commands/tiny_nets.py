"""A network of keypoints that is trained in a moment, for `model.network`."""

from torch import nn


def build(num_keypoints, input_size, width=4):
    """Heatmaps of a quarter of the image's size."""
    return nn.Sequential(
        nn.Conv2d(3, width, 7, stride=4, padding=3),
        nn.ReLU(),
        nn.Conv2d(width, num_keypoints, 1),
    )
