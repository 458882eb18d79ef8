"""A network small enough for any test, as a predictor and as a checkpoint."""

import copy
import functools

import torch

from keypoint.checkpoint.file import KEYS, load_model, save_checkpoint
from keypoint.config.load import config_from_dict
from keypoint.models import create_model
from keypoint.pose.skeleton import load_skeleton
from keypoint.prediction.predictor import Predictor

SKELETON = load_skeleton("coco17")


def model(seed=0, **options):
    """64 x 64, with heatmaps that differ from each other."""
    torch.manual_seed(seed)
    made = create_model("resnet18", input_size=(64, 64), **options)
    torch.nn.init.normal_(made.final_layer.weight, std=1.0)
    return made.eval()


def predictor(**options):
    return Predictor(model(), SKELETON, **options)


def checkpoint(path, changed=None, codec="heatmap", decoding="codec"):
    """Write `model()` as a run would; `changed` takes it and may break it."""
    made = model(codec=codec)
    if changed:
        changed(made)
    network = {"encoder": "resnet18", "input_size": [64, 64], "codec": codec}
    config = config_from_dict({"model": network, "test": {"decoding": decoding}}, "test")
    content = dict.fromkeys(KEYS) | {
        "format": 1,
        "model": dict(made.state_dict()),
        "epoch": 1,
        "config": config.to_dict(),
        "skeleton": SKELETON.to_dict(),
        "color_order": "rgb",
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    }
    save_checkpoint(path, content)
    return path


_loaded = functools.cache(load_model)


def load_once(monkeypatch):
    """Have predictors read each checkpoint file once in a session; each gets a copy, as it folds it."""
    name = "keypoint.prediction.predictor.load_model"
    monkeypatch.setattr(name, lambda path: copy.deepcopy(_loaded(path)))
