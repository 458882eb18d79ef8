"""A checkpoint of a network that classifies clips, small enough for any test."""

import torch

from keypoint.action.config import ActionConfig
from keypoint.action.networks.build import create_model
from keypoint.checkpoint.file import KEYS, save_checkpoint
from keypoint.config.load import from_dict_as

CLASSES = tuple("abcdefg")
SECTIONS = {
    "clips": {"frames": 4, "stride": 2},
    "model": {"network": "c2d_resnet18", "input_size": [32, 32], "weights": None},
    "test": {"clips": 3, "short_side": 40},
}


def checkpoint(path, classes=CLASSES, **sections):
    """Write a C2D ResNet-18 for clips of 4 x 32 x 32, with random weights that tell videos apart."""
    config = from_dict_as(ActionConfig, SECTIONS | sections, "test")
    torch.manual_seed(0)
    model = create_model(**config.model.arguments(len(classes), config.clips.frames))
    torch.nn.init.normal_(model.fc.weight, std=1.0)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = dict.fromkeys(KEYS) | {
        "format": 1,
        "model": dict(model.state_dict()),
        "epoch": 1,
        "config": config.to_dict(),
        "classes": list(classes),
        **model.colors(),
    }
    save_checkpoint(path, content)
    return path
