"""What the papers report on val2017, and which kind of boxes a set of numbers looks like.

Source: Chi et al. 2019 (spectral residual learning), Tables 2, 3 and 6; its rows without blocks
are SimpleBaseline's (Xiao et al. 2018). All with detector boxes of person AP 56.4 and flip test.
"""

from __future__ import annotations

from collections.abc import Mapping

SIZES = ((256, 192), (384, 288), (512, 384))
# Encoder and block behind all three deconvolutions: AP at these sizes.
AP = {
    ("resnet50", None): (0.704, 0.722, 0.717),
    ("resnet101", None): (0.714, 0.736, 0.742),
    ("resnet152", None): (0.720, 0.743, 0.749),
    ("resnet50", "srl_fft"): (0.709, 0.733, 0.738),
    ("resnet101", "srl_fft"): (0.718, 0.743, 0.749),
    ("resnet152", "srl_fft"): (0.721, 0.746, 0.753),
    ("resnet50", "srl_lo"): (0.710, 0.728, None),
    ("resnet101", "srl_lo"): (0.717, None, None),
    ("resnet152", "srl_lo"): (0.723, None, None),
    ("resnet50", "nl"): (0.706, 0.728, None),
    ("resnet50", "a2"): (0.705, 0.728, None),
    ("resnet50", "cgnl"): (0.706, 0.724, None),
    ("resnet50", "rcca"): (0.706, 0.728, None),
}

# What of `metrics.json` decides whether an AP may be held against these, input size apart.
CONDITIONS = {
    "boxes": "detector",
    "box_score_threshold": 0.0,
    "images_left_out": 0,
    "codec": "heatmap",
    "flip": True,
    "decoding": "quarter offset",
    "oks_nms": "hard at 0.9",
    "keypoint_threshold": 0.2,
}

# With the field's 56.4 AP detector AP50 is near 0.89 and AR - AP near 0.06, with ground-truth
# boxes near 0.925 and 0.03; half way between is the border.
AP50_BORDER, GAP_BORDER = 0.9075, 0.045
LEAST_AP = 0.6  # a weaker network shows neither


def published_ap(
    encoder: str, blocks: object, input_size: tuple[int, int], encoder_stride: int = 32
) -> float | None:
    """AP of the paper's row, None for a network that has none.

    Args:
        encoder: As in a config.
        blocks: As in a config: None, or a name for all three deconvolutions.
        input_size: (height, width).
        encoder_stride: As in a config; the networks of table 4 have other numbers.
    """
    if encoder_stride != 32:
        return None
    if input_size not in SIZES or not (blocks is None or isinstance(blocks, str)):
        return None
    row = AP.get((encoder, blocks))
    return None if row is None else row[SIZES.index(input_size)]


def boxes_by_numbers(metrics: Mapping[str, float]) -> str | None:
    """Which boxes AP50 and AR - AP both speak of.

    Args:
        metrics: The ten numbers.

    Returns:
        "ground truth" or "detector"; None where they disagree or AP is too low to tell.
    """
    if metrics["AP"] < LEAST_AP:
        return None
    high_ap50, small_gap = metrics["AP50"] > AP50_BORDER, metrics["AR"] - metrics["AP"] < GAP_BORDER
    if high_ap50 != small_gap:
        return None
    return "ground truth" if high_ap50 else "detector"
