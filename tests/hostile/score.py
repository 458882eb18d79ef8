"""Scores a file of results as the library does; the toolkit has no command for it

Takes ANNOTATIONS RESULTS, and prints the metrics as JSON behind the log.
"""

import json
import sys

from keypoint.commands import cli
from keypoint.evaluation.coco import evaluate_coco


def main(argv):
    cli.log_to()
    metrics = evaluate_coco(*argv)
    assert evaluate_coco(*argv) == metrics
    sys.stdout.write(f"\nmetrics {json.dumps(metrics)}\n")


if __name__ == "__main__":
    raise SystemExit(cli.run(main))
