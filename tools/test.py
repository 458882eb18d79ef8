#!/usr/bin/env python
"""Test a network: the command `keypoint test`, as a script for torchrun and clones."""

import sys

from keypoint.commands.main import call

if __name__ == "__main__":
    raise SystemExit(call("test", sys.argv[1:]))
