"""The HRNet repository's code from a clone of leoxiaobin/deep-high-resolution-net.pytorch.

It is imported, never copied, with adaptions to new versions and a machine without a GPU:
`np.float`, empty modules for its compiled box NMS (its OKS-NMS is plain Python), and `.cuda()` that
stays on the CPU. Imports nothing of keypoint, so that its start can be timed.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

CONFIG = "experiments/coco/resnet/res50_256x192_d256x3_adam_lr1e-3.yaml"
NEEDS = "pip install yacs json_tricks scipy"


def load(folder: Path, size: tuple[int, int], sigma: float) -> SimpleNamespace:
    """Make its modules importable and set its config.

    Args:
        folder: A clone.
        size: (height, width) of crops.
        sigma: Of the heatmaps, in their pixels.

    Returns:
        `cfg` for that size, and `demo`, its demo as a module.
    """
    import numpy as np
    import torch

    vars(np)["float"] = float
    torch.Tensor.cuda = lambda self, *_, **__: self  # type: ignore[method-assign]
    for name in ("cpu_nms", "gpu_nms"):
        stub = ModuleType(f"nms.{name}")
        setattr(stub, name, None)
        sys.modules[stub.__name__] = stub
    for part in ("demo", "lib"):
        if str(folder / part) not in sys.path:
            sys.path.insert(0, str(folder / part))
    try:
        cfg = importlib.import_module("config").cfg
        spec = importlib.util.spec_from_file_location("hrnet_demo", folder / "demo" / "demo.py")
        assert spec is not None
        assert spec.loader is not None
        demo = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(demo)
    except ModuleNotFoundError as error:
        raise ImportError(f"HRNet's code needs {error.name}; {NEEDS}") from None
    cfg.defrost()
    cfg.merge_from_file(str(folder / CONFIG))
    cfg.MODEL.IMAGE_SIZE = [size[1], size[0]]
    cfg.MODEL.HEATMAP_SIZE = [size[1] // 4, size[0] // 4]
    cfg.MODEL.SIGMA = int(sigma)
    cfg.DEBUG.DEBUG = False  # it writes pictures
    return SimpleNamespace(cfg=cfg, demo=demo)


def network(code: SimpleNamespace) -> Any:
    """Its ResNet-50 with random weights."""
    models = importlib.import_module("models.pose_resnet")
    return models.get_pose_net(code.cfg, is_train=False)


def predict_file(code: SimpleNamespace, model: Any, file: Path, boxes: Any) -> list[Any]:
    """Keypoints of given boxes (P, 4) x y w h on an image file: the loop of its demo's `main`."""
    import cv2

    cfg, image_bgr = code.cfg, cv2.imread(str(file))
    image, found = image_bgr[:, :, [2, 1, 0]], []
    for x, y, w, h in boxes:
        corners = [(x, y), (x + w, y + h)]
        center, scale = code.demo.box_to_center_scale(corners, *cfg.MODEL.IMAGE_SIZE)
        image_pose = image.copy() if cfg.DATASET.COLOR_RGB else image_bgr.copy()
        found += list(code.demo.get_pose_estimation_prediction(model, image_pose, center, scale))
    return found


def first_result(folder: str, weights: str, photo: str, box: list[float]) -> None:
    """Predict one box with a file of weights, as a separate process does."""
    import torch

    code = load(Path(folder), (256, 192), 2)
    model = network(code)
    model.load_state_dict(torch.load(weights, weights_only=True))
    assert len(predict_file(code, model.eval(), Path(photo), [box])) == 1
