"""From predictions to COCO's ten numbers; modules load on first use (PEP 562)."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keypoint.evaluation.coco import evaluate_coco

__all__ = ["evaluate_coco"]


def __getattr__(name: str) -> Any:
    if name == "evaluate_coco":
        return import_module("keypoint.evaluation.coco").evaluate_coco
    raise AttributeError(
        f"module 'keypoint.evaluation' has no attribute {name!r}; it has {__all__}"
    )
