"""Names of networks, forms and places, for configs and messages; imports nothing.

Sites are torchvision's names of a ResNet's residual blocks (`layer3.5`), and for MFNet its units
(`conv4.4`). A block follows its site.
"""

from __future__ import annotations

C2D = ("c2d_resnet18", "c2d_resnet34", "c2d_resnet50", "c2d_resnet101")
NETWORKS = (*C2D, "mfnet")
FORMS = ("8x8", "32x2")
PLACES = {
    "res4": "after res4's last residual block",
    "res3+res4": "after the last residual block of res3 and of res4",
    "each": "after each residual block of res3 and of res4",
    "five": "after every second residual block of res3 (2) and res4 (3)",
}


def is_c2d(network: str) -> bool:
    """Whether a network is a ResNet on every frame."""
    return network in C2D
