"""Things in a skeleton that are probably wrong: its OKS sigmas, and sides without a pair."""

from __future__ import annotations

import logging

import numpy as np

from keypoint.data.notes import Note, find
from keypoint.pose.sides import guess_pairs
from keypoint.pose.skeleton import Skeleton

logger = logging.getLogger(__name__)

# Published sigmas are from .0106 (AI Challenger) to .179 (MPII's hips); measured ones may be more.
USUAL_SIGMAS = 0.01, 0.2


def check_skeleton(skeleton: Skeleton, *, mirrored: bool) -> None:
    """Refuse a skeleton that does not fit mirroring, and log what is probably wrong.

    Args:
        skeleton: Any.
        mirrored: Whether images are mirrored in training or testing.

    Raises:
        ConfigError: Images are mirrored, but left and right keypoints are not paired.
    """
    if mirrored:
        skeleton.require_pairs()
    for finding in skeleton_findings(skeleton, mirrored=mirrored):
        logger.warning("skeleton %s: %s", skeleton.name, finding)


def skeleton_findings(skeleton: Skeleton, *, mirrored: bool) -> list[Note]:
    """Findings about a skeleton; arguments as of `check_skeleton`."""
    sigmas, names = np.array(skeleton.oks_sigmas), skeleton.keypoints
    least, most = USUAL_SIGMAS
    usual = f"(COCO's are .025 to .107): {_likely_cause(skeleton)}"
    found = find(f"keypoints have an OKS sigma above {most} {usual}", sigmas > most, names)
    found += find(f"keypoints have an OKS sigma below {least} {usual}", sigmas < least, names)
    if not mirrored:
        return found
    paired = {name for pair in skeleton.pairs for name in pair}
    likely = [pair for pair in guess_pairs(names) if not paired & set(pair)]
    if likely:
        listed = ", ".join(f"[{left}, {right}]" for left, right in likely)
        alone = [name in {name for pair in likely for name in pair} for name in names]
        text = "keypoints have a side in their name but no pair; if left and right are swapped "
        found += find(f"{text}in a mirrored image, add to pairs: {listed}", alone, names)
    return found


def _likely_cause(skeleton: Skeleton) -> str:
    """Return the likely cause of unusual sigmas, or the definition of a sigma."""
    sigmas, (least, most) = np.array(skeleton.oks_sigmas), USUAL_SIGMAS

    def usual(values: np.ndarray[tuple[int, ...], np.dtype[np.floating]]) -> bool:
        return bool(((values >= least) & (values <= most)).all())

    if usual(sigmas / 10):
        return "are they COCO's table before it is divided by 10?"
    if usual(np.sqrt(sigmas)) or usual(np.sqrt(sigmas) / 2):
        return "are they variances (sigma squared, or (2 sigma) squared), or divided by 10 twice?"
    return "a sigma is the spread of annotations over the square root of the object's area"
