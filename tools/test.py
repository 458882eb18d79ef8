#!/usr/bin/env python
"""Report COCO AP: the command `keypoint test`, as a script for torchrun and clones."""

from keypoint.commands import cli
from keypoint.commands.test import main

if __name__ == "__main__":
    raise SystemExit(cli.run(main))
