"""Convert a trained network to the names of its repository or of mmpose 1.x, to run it there.

They cut crops and decode heatmaps as we do. The colour order differs: SimpleBaseline decodes BGR,
HRNet's repository and mmpose convert to RGB. If the network expects the other order, the input
channels of conv1 are permuted, which is exact. Another mean or std is not folded into the weights,
because the shift does not apply to the zero padding of conv1, and the border of every crop would
differ. Instead, `Export.settings` says what to set there.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from keypoint.errors import CheckpointError
from keypoint.models.hrnet import HRNet
from keypoint.models.pose_network import PoseNetwork
from keypoint.models.simple_baseline import SimpleBaseline
from keypoint.models.weights.formats import CHANNEL_MEAN, CHANNEL_STD, NOTE, TRAINED
from keypoint.models.weights.toolkits import COLOR_ORDERS
from keypoint.pose.dark import gaussian_kernel

TARGETS: dict[type[PoseNetwork], tuple[str, str]] = {
    SimpleBaseline: ("simple_baseline", "mmpose"),
    HRNet: ("hrnet", "mmpose"),
}


@dataclass(frozen=True)
class Export:
    """Content of the file, and the settings that its user needs.

    Attributes:
        content: For torch.save.
        settings: Sentences that describe the settings of the other toolkit.
    """

    content: Any
    settings: str


def export_weights(
    model: PoseNetwork,
    target: str,
    *,
    keypoints: Sequence[str] = (),
    epoch: int = 0,
    decoding: str | None = "codec",
) -> Export:
    """Rename a network's tensors to another toolkit's names.

    Args:
        model: Without blocks.
        target: "simple_baseline" (also for pose_resnet in HRNet's repository) and "hrnet" (for
            pose_hrnet there): a bare state dict. "mmpose": a checkpoint with `meta` and
            `state_dict`, for TopdownPoseEstimator with a ResNet or HRNet and a HeatmapHead.
        keypoints: Their names; an import of the file checks them against its skeleton.
        epoch: Written to mmpose's meta.
        decoding: Decoding of its measured AP, as for `Codec.decode`; included in the settings.

    Raises:
        CheckpointError: The network has blocks, which no target supports; it does not exist in the
            target; or it has the codec udp, which only mmpose decodes.
    """
    if model.block_options:
        blocks = ", ".join(f"{o['type']} at {site}" for site, o in model.block_options.items())
        raise CheckpointError(
            f"the network has blocks ({blocks}), but {target} has no such layers: it cannot run "
            "there; export a network without blocks"
        )
    targets = TARGETS.get(type(model), ())
    if target not in targets:
        instead = f"to {' or '.join(targets)}" if targets else "with keypoint export"
        raise CheckpointError(
            f"the network is {type(model).__name__}, which {target} does not have; export it "
            f"{instead}"
        )
    if target != "mmpose" and model.codec.udp:
        raise CheckpointError(
            "the network is trained with the codec udp, but SimpleBaseline and HRNet's repository "
            "decode heatmaps differently; export to mmpose"
        )
    order = COLOR_ORDERS[target]
    state: OrderedDict[str, Tensor] = OrderedDict(
        (name, tensor.detach().cpu().clone()) for name, tensor in model.state_dict().items()
    )
    if model.color_order != order:
        state["conv1.weight"] = state["conv1.weight"].flip(1)
    if target == "mmpose":
        state = OrderedDict((_mmpose_name(name), tensor) for name, tensor in state.items())

    # An attribute that torch itself saves with state dicts; loaders look up module names in it.
    note = {
        **model.colors(),
        "file_color_order": order,
        "codec": model.codec.name,
        "decoding": model.codec.decoding(decoding),
        "heatmap_sigma": model.codec.heatmap_sigma,
        "input_size": list(model.input_size),
        **({"keypoints": list(keypoints)} if keypoints else {}),
    }
    if isinstance(model, SimpleBaseline):
        note |= {"encoder_stride": model.encoder_stride, "dilated": model.dilated}
        assert set(TRAINED) <= set(note)
    state._metadata = OrderedDict({"": {"version": 1}, NOTE: note})  # type: ignore[attr-defined]
    step = 1 if order == "rgb" else -1
    in_file = note["mean"][::step], note["std"][::step]
    if target != "mmpose":
        return Export(state, _repository_settings(order, *in_file, note["decoding"]))
    meta = {"epoch": epoch, "iter": 0, "keypoint": note}
    return Export(
        {"meta": meta, "state_dict": state}, _mmpose_settings(model, *in_file, note["decoding"])
    )


def _mmpose_name(name: str) -> str:
    head = name.startswith(("deconv_layers.", "final_layer."))
    return f"{'head' if head else 'backbone'}.{name}"


def _repository_settings(
    order: str, mean: list[float], std: list[float], decoding: str | None
) -> str:
    """Settings of SimpleBaseline and of HRNet's repository."""
    peaks = {
        "quarter": "",
        "dark": "\n    Its AP here is that of DARK; there peaks are refined by a quarter pixel",
        None: "\n    TEST.POST_PROCESS: false, as its AP here is that of peaks without refinement",
    }[decoding]
    usual = torch.allclose(torch.tensor([mean, std]), torch.tensor([CHANNEL_MEAN, CHANNEL_STD]))
    flag = f"DATASET.COLOR_RGB: {str(order == 'rgb').lower()}"
    if usual and order == "rgb":
        return f"expects RGB normalised as HRNet's repository does, with {flag}{peaks}"
    if usual:
        return (
            "expects BGR normalised as SimpleBaseline does: nothing to set "
            f"(HRNet's repository: {flag}){peaks}"
        )
    where, otherwise = f"expects RGB ({flag}); in tools/train.py and test.py set", "by ImageNet's"
    if order == "bgr":
        where = (
            "expects BGR; in pose_estimation/train.py and valid.py (train.py and test.py of "
            f"HRNet's repository, with {flag}) set"
        )
        otherwise = "with each other's"
    return (
        f"{where}\n"
        f"    normalize = transforms.Normalize(mean={_row(mean)}, std={_row(std)})\n"
        f"Without that line its channels are normalised {otherwise} mean, and AP is lower{peaks}"
    )


def _mmpose_settings(
    model: PoseNetwork, mean: list[float], std: list[float], decoding: str | None
) -> str:
    height, width = model.input_size
    udp = model.codec.udp
    codec = "UDPHeatmap" if udp else "MSRAHeatmap"
    dark = ""
    if decoding == "dark":
        kernel = len(gaussian_kernel(model.codec.sigma))
        dark = f"{'' if udp else ', unbiased=True'}, blur_kernel_size={kernel}"
    unrefined = "\n    Its AP here is that of peaks without refinement; there they are refined"
    network = ""
    if isinstance(model, HRNet):
        network = (
            f"    the backbone of its HRNet-W{model.width}, and dict(type='HeatmapHead', "
            f"in_channels={model.width}, out_channels={model.num_keypoints}, "
            "deconv_out_channels=None)\n"
        )
    return (
        f"expects RGB; in the config set\n{network}"
        "    data_preprocessor=dict(type='PoseDataPreprocessor', bgr_to_rgb=True,\n"
        f"        mean={_row(mean, 255)}, std={_row(std, 255)})\n"
        f"    codec = dict(type={codec!r}, input_size=({width}, {height}), "
        f"heatmap_size=({width // 4}, {height // 4}), sigma={model.codec.sigma:g}{dark})\n"
        f"    dict(type='TopdownAffine', input_size=codec['input_size'], use_udp={udp})\n"
        f"    test_cfg=dict(flip_test=True, flip_mode='heatmap', shift_heatmap={not udp})"
        f"{unrefined if decoding is None else ''}"
    )


def _row(values: list[float], factor: int = 1) -> list[float]:
    return [float(f"{value * factor:.6g}") for value in values]
