"""Action recognition, the second task of both papers: video clips in, one class out.

Built on blocks, models, data, config, checkpoint, training and export, none of which imports it.
The names are imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keypoint.action.networks.build import create_model
    from keypoint.action.networks.network import ActionNetwork
    from keypoint.action.prediction.predictor import ActionPredictor

__all__ = ["ActionNetwork", "ActionPredictor", "create_model"]

_HOME_OF_NAME = {
    "ActionNetwork": "keypoint.action.networks.network",
    "ActionPredictor": "keypoint.action.prediction.predictor",
    "create_model": "keypoint.action.networks.build",
}


def __getattr__(name: str) -> Any:
    if name in _HOME_OF_NAME:
        return getattr(import_module(_HOME_OF_NAME[name]), name)
    raise AttributeError(f"module 'keypoint.action' has no attribute {name!r}; it has {__all__}")
