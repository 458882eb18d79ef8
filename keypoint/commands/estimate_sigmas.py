"""OKS sigmas from repeated annotations: keypoint estimate-sigmas --skeleton YAML FILE FILE."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from keypoint.commands import cli
from keypoint.evaluation.sigmas import SigmaEstimate, estimate_sigmas, read_repeated, require_all
from keypoint.pose.skeleton import Skeleton, load_skeleton

EPILOG = """examples:
  keypoint estimate-sigmas --skeleton sign.yaml anna.json ben.json
      two annotators' files of the same images; equal ids are the same object
  keypoint estimate-sigmas --skeleton sign.yaml --key object all.json
      one file; annotations of an image with equal "object" are the same object

Prints a table and the oks_sigmas of a skeleton YAML. 100 objects with two labels of a keypoint each
give its sigma with a standard error of 5 %. COCO used 5,000 images.
"""


def main(argv: Sequence[str]) -> None:
    """Parse, build, call."""
    parser = cli.parser(
        "keypoint estimate-sigmas",
        "Estimate OKS sigmas from objects annotated several times.",
        EPILOG,
    )
    cli.add_skeleton(parser, "oks_sigmas may be left out", required=True)
    parser.add_argument(
        "--key", default="id", help="the annotations' key that says which object it is; default: id"
    )
    parser.add_argument("files", nargs="+", type=Path, help="COCO keypoint annotations")
    args = parser.parse_args(argv)

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
    """Sigma, its 95 % interval and its counts, a keypoint a line."""
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
