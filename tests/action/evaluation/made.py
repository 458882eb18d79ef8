"""Made-up tests of videos: scores of a network that is right by chance more or less often."""

import numpy as np

from keypoint.action.evaluation.scores import VideoScores


def scores(classes=7, per_class=6, gain=1.5, seed=0, **conditions):
    """Softmax of noise, with `gain` on the right class; the noise of a video is the same for every gain."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), per_class)
    logits = rng.normal(size=(len(labels), classes))
    logits[np.arange(len(labels)), labels] += gain
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    names = tuple(f"{label}/v_{n:03d}.avi" for n, label in enumerate(labels))
    return VideoScores(
        names,
        tuple(f"class {c}" for c in range(classes)),
        labels,
        shares.astype(np.float32),
        {"network": "c2d_resnet18", "clips": 25} | conditions,
    )
