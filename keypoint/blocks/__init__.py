"""Non-local blocks to insert into any network: need torch only; a new block is the identity."""

from keypoint.blocks.build import build_block, no_weight_decay
from keypoint.blocks.cgnl import CGNL
from keypoint.blocks.double_attention import DoubleAttention
from keypoint.blocks.insert import insert_blocks
from keypoint.blocks.non_local import NonLocal
from keypoint.blocks.pnl import PNL
from keypoint.blocks.rcca import RCCA
from keypoint.blocks.spectral.srl import SRL
from keypoint.blocks.spectral.srl_video import SRLVideo

__all__ = [
    "CGNL",
    "RCCA",
    "DoubleAttention",
    "PNL",
    "SRL",
    "NonLocal",
    "SRLVideo",
    "build_block",
    "insert_blocks",
    "no_weight_decay",
]
