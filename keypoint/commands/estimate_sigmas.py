"""OKS sigmas from repeated annotations: keypoint estimate-sigmas --skeleton YAML FILE FILE."""

from __future__ import annotations

import math
from collections.abc import Sequence

from keypoint.commands import cli
from keypoint.commands.options.estimate_sigmas import parse
from keypoint.evaluation.sigmas import SigmaEstimate, estimate_sigmas, read_repeated, require_all
from keypoint.pose.skeleton import Skeleton, load_skeleton


def main(argv: Sequence[str]) -> None:
    """Parse, build, call."""
    args = parse(argv)
    cli.log_to()
    skeleton = load_skeleton(args.skeleton)
    objects = read_repeated(args.files, skeleton, args.key)
    estimate = estimate_sigmas(objects, skeleton.num_keypoints)
    print(table(estimate, skeleton))
    require_all(estimate, skeleton)
    sigmas = ", ".join(f"{sigma:.4g}" for sigma in estimate.sigmas)
    print(f"\n# estimated from {estimate.repeated_objects} objects annotated twice or more")
    print(f"oks_sigmas: [{sigmas}]")


def table(estimate: SigmaEstimate, skeleton: Skeleton) -> str:
    """Return one line per keypoint: sigma, its 95 % interval and its counts."""
    width = max(map(len, skeleton.keypoints))
    lines = [
        f"{estimate.repeated_objects} objects annotated twice or more, "
        f"{estimate.single_objects} once (not used)",
        f"{'keypoint':>{width}}   sigma  95 % interval     objects  labels  alone (not used)",
    ]
    for k, name in enumerate(skeleton.keypoints):
        sigma, reach = estimate.sigmas[k], 1.96 * estimate.standard_errors[k]
        numbers = (sigma, max(sigma - reach, 0.0) if math.isfinite(reach) else reach, sigma + reach)
        shown = [f"{number:.4f}" if math.isfinite(number) else "-" for number in numbers]
        lines.append(
            f"{name:>{width}}  {shown[0]:>6}  {shown[1]:>6} to {shown[2]:>6}  "
            f"{estimate.objects[k]:7d} {estimate.labels[k]:7d} {estimate.alone[k]:7d}"
        )
    return "\n".join(lines)
