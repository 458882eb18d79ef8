"""keypoint: top-down human keypoint detection in PyTorch.

The names below load on first use (PEP 562), so ``import keypoint`` costs nothing and
``import keypoint.blocks`` needs torch alone.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keypoint.export.onnx_predictor import OnnxPredictor
    from keypoint.models import create_model
    from keypoint.pose.skeleton import load_skeleton
    from keypoint.prediction.predictor import Predictor

__version__ = "0.2.0"  # setup.cfg reads it here
__all__ = ["OnnxPredictor", "Predictor", "create_model", "load_skeleton"]

_HOME_OF_NAME = {
    "OnnxPredictor": "keypoint.export.onnx_predictor",
    "Predictor": "keypoint.prediction.predictor",
    "create_model": "keypoint.models",
    "load_skeleton": "keypoint.pose.skeleton",
}


def __getattr__(name: str) -> Any:
    if name in _HOME_OF_NAME:
        return getattr(import_module(_HOME_OF_NAME[name]), name)
    if name in ("blocks", "evaluation"):
        return import_module(f"keypoint.{name}")
    raise AttributeError(f"module 'keypoint' has no attribute {name!r}; it has {__all__}")
