"""What the commands do to the process before they start."""

import os
import platform
import subprocess
import sys

import pytest

FAULTS_OF_TWENTY_TENSORS = """
import resource, sys
import torch
from keypoint import cli

print(cli.keep_freed_memory() if sys.argv[1] == "keep" else None)
for _ in range(10):
    torch.empty(40 * 2**20, dtype=torch.uint8).fill_(1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.empty(40 * 2**20, dtype=torch.uint8).fill_(1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(keep, **environment):
    """What `keep_freed_memory` said, and pages that the system had to fill: 40 MiB are 10,240 of 4 KiB."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    command = [sys.executable, "-c", FAULTS_OF_TWENTY_TENSORS, keep]
    done = subprocess.run(
        command, env=clean | environment, capture_output=True, text=True, check=True
    )
    said, pages = done.stdout.split()
    return said, int(pages)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")
def test_freed_memory_is_used_again():
    said, pages = faults("keep")
    assert said == "True"
    assert pages < 1000
    assert faults("default")[1] > 20 * pages


def test_the_users_own_setting_is_left_alone():
    assert faults("keep", MALLOC_ARENA_MAX="2")[0] == "False"
