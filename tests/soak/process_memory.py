"""The memory of a process and of all that it started, as the system counts it.

PSS and not RSS: a page counts in equal parts for the processes that share it, so that a worker
that copies a shared page by writing to it (a reference count will do) is seen to grow. In RSS the
page counts the same before and after.
"""

import json
from pathlib import Path


def children(pid):
    """Of a process, theirs included."""
    own = [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return own + [grandchild for child in own for grandchild in children(child)]


def pss_kib(pid):
    """Private pages, and each shared one divided by the number of those who share it."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def write_down(file, pid):
    """Add a line to `file`: {pid: KiB} of a process and its children."""
    with Path(file).open("a") as lines:
        lines.write(json.dumps({each: pss_kib(each) for each in (pid, *children(pid))}) + "\n")


def read(file):
    """What was written down: by process the KiB after each epoch, the parent first."""
    epochs = [json.loads(line) for line in Path(file).read_text().splitlines()]
    for epoch in epochs:
        assert epoch.keys() == epochs[0].keys(), "other processes than in the first epoch"
    return {pid: [epoch[pid] for epoch in epochs] for pid in epochs[0]}


def rise(kib):
    """The largest of the later epochs against the first, as a share of it."""
    return max(kib[1:]) / kib[0] - 1


def table(memory):
    """Lines of text: MiB after each epoch and the rise, a process a line."""
    names = ["main", *(f"worker {number}" for number in range(len(memory) - 1))]
    return "\n".join(
        f"{name:9} {'  '.join(f'{value / 1024:7.1f}' for value in kib)} MiB  {rise(kib):+.2%}"
        for name, kib in zip(names, memory.values(), strict=True)
    )
