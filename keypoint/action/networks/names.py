"""Names of networks, forms and places, for configs and messages; has no imports.

Sites are submodules: residual blocks of a ResNet by torchvision's names (`layer3.5`), or units of
MFNet (`conv4.B05`). A block follows its site. `places` is the short name of a set of sites in a
paper: SRL, section 4.2 and tables 8 to 10; PNL, section 4.3 and table 2. Stages have the papers'
names: res2 to res5 (layer1 to layer4 of a ResNet), which equal conv2 to conv5 here.
"""

from __future__ import annotations

C2D = ("c2d_resnet18", "c2d_resnet34", "c2d_resnet50", "c2d_resnet101")
TINY = "c2d_tiny"  # ResNet-18 with 8 channels instead of 64, for the generated set
NETWORKS = (*C2D, TINY, "mfnet")
FORMS = ("8x8", "32x2")
PLACES = {
    "res4": "after the last unit of res4",
    "res3+res4": "after the last unit of res3 and of res4",
    "each": "after each unit of res3 and of res4",
    "five": "after every second unit of res3 (2) and res4 (3), as in the non-local networks",
    "x1": "before the last unit of conv4",
    "x1@conv2": "before the last unit of conv2",
    "x1@conv3": "before the last unit of conv3",
    "x1@conv5": "before the last unit of conv5",
    "x5": "before every second unit of conv3 (2) and conv4 (3)",
}


def is_c2d(network: str) -> bool:
    """Return whether a network is a ResNet on every frame."""
    return network in (*C2D, TINY)


def has_imagenet(network: str) -> bool:
    """Return whether torchvision has ImageNet weights of its encoder."""
    return network in C2D


def usual_places(network: str) -> str:
    """Return the default places of a network: the SRL paper's; for MFNet, the PNL paper's."""
    if network == "mfnet":
        return "x1"
    return "each" if network in ("c2d_resnet18", TINY) else "five"
