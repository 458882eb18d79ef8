"""The memory of a process and of all that it started, as the system counts it.

Three numbers of each process. `rss` is its memory as usually told, libraries and shared pages included; the other
two are of anonymous memory, since the share of the libraries changes with every other program that has them open.

* own: pages that it has alone. A page shared since the fork becomes a worker's own by being written
  to; a reference count will do. That, and all that a process keeps, is seen here. (In RSS a copied
  page counts the same before and after.)
* share: its own, and its part of those that it shares. A worker's share also rises when another
  process gives up a page, so by processes it tells nothing; the sum of all is what the machine
  gives.
"""

import json
from pathlib import Path

FIELDS = {"Rss:": "rss", "Private_Dirty:": "own", "Pss_Anon:": "share"}


def children(pid):
    """Of a process, theirs included."""
    own = [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return own + [grandchild for child in own for grandchild in children(child)]


def kib(pid):
    """{"rss": .., "own": .., "share": ..} of one process."""
    words = map(str.split, Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines())
    return {FIELDS[name]: int(value) for name, value, *_ in words if name in FIELDS}


def write_down(file, pid):
    """Add a line to `file`: the numbers of a process and its children, by process."""
    with Path(file).open("a") as lines:
        lines.write(json.dumps({each: kib(each) for each in (pid, *children(pid))}) + "\n")


def read(file):
    """What was written down: by process the numbers after each epoch, the parent first."""
    epochs = [json.loads(line) for line in Path(file).read_text().splitlines()]
    for epoch in epochs:
        assert epoch.keys() == epochs[0].keys(), "other processes than in the first epoch"
    return {pid: [epoch[pid] for epoch in epochs] for pid in epochs[0]}


def rise(process, of):
    """By how much its own pages grew after the first epoch at most, as a part of `of` then."""
    own = [numbers["own"] for numbers in process]
    return (max(own[1:]) - own[0]) / process[0][of]


def table(memory, of):
    """Lines of text: a process a line, own pages in MiB after each epoch, and the rise."""
    names = ["main", *(f"worker {number}" for number in range(len(memory) - 1))]
    lines = []
    for name, process in zip(names, memory.values(), strict=True):
        own = "  ".join(f"{numbers['own'] / 1024:7.1f}" for numbers in process)
        first = process[0][of] / 1024
        lines.append(
            f"{name:9} {own} MiB own, {first:.0f} MiB {of} at first, {rise(process, of):+.2%}"
        )
    return "\n".join(lines)
