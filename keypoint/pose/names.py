"""Names of codecs and decodings, and the stride of heatmaps, shared by codec, configs and exports.

It does not import torch, so that reading a config or an ONNX file does not load it.
"""

from __future__ import annotations

from typing import Literal

CodecName = Literal["heatmap", "udp"]
Decoding = Literal["codec", "quarter", "dark"]  # codec: the default of the codec

# Decodings of each codec, its default first; None is the highest pixel without refinement.
DECODINGS: dict[str, tuple[str | None, ...]] = {
    "heatmap": ("quarter", "dark", None),
    "udp": ("dark", None),
}
DECODING_WORDS = {"quarter": "quarter offset", "dark": "dark", None: "none"}
OF_CHECKPOINT = "checkpoint"  # the decoding that a checkpoint's config has as test.decoding
STRIDE = 4  # input pixels per heatmap pixel of SimpleBaseline and HRNet
