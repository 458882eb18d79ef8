#!/usr/bin/env python
"""Train a keypoint network: the command `keypoint train`, as a script for torchrun and clones."""

from keypoint.commands import cli
from keypoint.commands.train import main

if __name__ == "__main__":
    raise SystemExit(cli.run(main))
