"""Non-local blocks that drop into any network: torch only, and a new block is the identity."""

from keypoint.blocks.build import build_block, no_weight_decay
from keypoint.blocks.non_local import NonLocal
from keypoint.blocks.srl import SRL
from keypoint.blocks.srl_video import SRLVideo

__all__ = ["SRL", "NonLocal", "SRLVideo", "build_block", "no_weight_decay"]
