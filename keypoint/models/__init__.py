"""Networks that return heatmaps: SimpleBaseline and HRNet with blocks, any other `PoseNetwork`.

The names load on first use, so that `keypoint.models.names` can be imported without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keypoint.models.build import create_model
    from keypoint.models.hrnet import HRNet
    from keypoint.models.names import SITES
    from keypoint.models.pose_network import PoseNetwork
    from keypoint.models.simple_baseline import SimpleBaseline

__all__ = ["SITES", "HRNet", "PoseNetwork", "SimpleBaseline", "create_model"]

_HOME_OF_NAME = {
    "SITES": "keypoint.models.names",
    "HRNet": "keypoint.models.hrnet",
    "PoseNetwork": "keypoint.models.pose_network",
    "SimpleBaseline": "keypoint.models.simple_baseline",
    "create_model": "keypoint.models.build",
}


def __getattr__(name: str) -> Any:
    if name in _HOME_OF_NAME:
        return getattr(import_module(_HOME_OF_NAME[name]), name)
    raise AttributeError(f"module 'keypoint.models' has no attribute {name!r}; it has {__all__}")
