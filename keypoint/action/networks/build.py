"""Build a network that classifies clips, insert its blocks and load its weights."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keypoint.action.networks.c2d import C2D
from keypoint.action.networks.mfnet import MFNet
from keypoint.action.networks.names import FORMS, NETWORKS, TINY, has_imagenet, is_c2d
from keypoint.action.networks.network import ActionNetwork
from keypoint.action.networks.tiny import TinyC2D
from keypoint.errors import ConfigError
from keypoint.models.weights.load import load_imagenet_encoder, load_weights_file, require_file_for


def create_model(
    network: str = "c2d_resnet50",
    num_classes: int = 400,
    frames: int = 8,
    *,
    form: str = "8x8",
    input_size: tuple[int, int] = (224, 224),
    blocks: str | Mapping[str, Any] | None = None,
    places: str | None = None,
    dropout: float = 0.5,
    weights: str | Path | None = None,
    partial_weights: bool = False,
    new_head: bool = False,
) -> ActionNetwork:
    """Build a network that classifies clips and load its weights.

        create_model("c2d_resnet18", blocks="srl_fft")                              # 4 blocks
        create_model("c2d_resnet50", blocks={"type": "srl_fft", "groups": 1}, places="each")
        create_model("mfnet", 200, 16, blocks={"type": "pnl", "ratio": 8}, places="x5")
        create_model("c2d_resnet34", blocks={"layer3.5": "nl", "layer4.0.conv1": "srl_fft"})

    The keywords are the keys of a config's section `model`.

    Args:
        network: c2d_resnet18, c2d_resnet34, c2d_resnet50, c2d_resnet101, c2d_tiny or mfnet.
        num_classes: Number of classes.
        frames: T of the clips: a multiple of 2 in the form 8x8, of 8 in the form 32x2; any for
            mfnet (16 in the papers). Blocks are built for this T; SRL's weights depend on it.
        form: For C2D: "8x8", or "32x2" with additional temporal strides in conv1 and pool1.
        input_size: (height, width) of the frames; blocks are built for the maps of this size.
        blocks: None; a block's name, or a mapping with `type` and the block's options, for all of
            `places`; or a mapping from site to name or options. A site is a unit (residual block)
            or any other submodule: `layer3.5` of C2D, `conv4.B05` of MFNet.
        places: Sites of the block, a key of names.PLACES. None: for ResNet-18 each unit of res3
            and res4 (SRL paper), for deeper ones five of them, for MFNet x1 (PNL paper).
        dropout: Before the classifier, in training.
        weights: None (random), "imagenet" (torchvision's weights of C2D's encoder, downloaded
            once), or a file: a checkpoint of this toolkit, a ResNet with torchvision's names, for
            mfnet also the authors' files. The network adopts its color order, mean and std.
        partial_weights: Blocks may be missing in the file; they start as the identity.
        new_head: Do not load the file's classifier, which is for other classes.

    Returns:
        The network, on the CPU, in training mode.

    Raises:
        ConfigError: A part does not exist or does not fit.
        CheckpointError: The weights file cannot be read or does not fit.
    """
    model: ActionNetwork
    if is_c2d(network):
        make = TinyC2D if network == TINY else C2D
        model = make(
            network.removeprefix("c2d_"),
            num_classes=num_classes,
            frames=frames,
            form=form,
            input_size=input_size,
            dropout=dropout,
        )
    elif network == "mfnet":
        if form != FORMS[0]:
            raise ConfigError(f"form={form} has no effect with network=mfnet; leave it out")
        model = MFNet(
            num_classes=num_classes, frames=frames, input_size=input_size, dropout=dropout
        )
    else:
        near = difflib.get_close_matches(str(network), NETWORKS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"network={network!r} must be one of {', '.join(NETWORKS)}{hint}")
    model.insert(model.describe_blocks(blocks, places))
    require_file_for(weights, partial_weights=partial_weights, new_head=new_head)
    if weights == "imagenet":
        if not has_imagenet(network):
            raise ConfigError(f"weights='imagenet' is for C2D; for {network} give None or a file")
        load_imagenet_encoder(model, network.removeprefix("c2d_"))
    elif weights is not None:
        load_weights_file(model, Path(weights), partial=partial_weights, new_head=new_head)
    return model
