#!/usr/bin/env python
"""Train a network: the command `keypoint train`, as a script for torchrun and clones."""

import sys

from keypoint.commands.main import call

if __name__ == "__main__":
    raise SystemExit(call("train", sys.argv[1:]))
