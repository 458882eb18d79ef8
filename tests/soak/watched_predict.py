"""keypoint predict with a look at its own process every few images; run by test_predict_soak.py.

python -m tests.soak.watched_predict SAMPLES.json EVERY TRACE argument...
"""

import gc
import json
import os
import sys
import tracemalloc
from pathlib import Path

from keypoint.prediction.output import PredictOutput
from tests.calling import tool

PICTURE = 8192  # bytes; every image and crop has more, and how many are under way varies


def sample(images, trace):
    """Images so far; resident bytes, and those of small and large objects; open files; threads."""
    sizes = []
    if trace:
        gc.collect()  # so that only what is held counts
        sizes = [found.size for found in tracemalloc.take_snapshot().traces]
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "images": images,
        "resident": pages * os.sysconf("SC_PAGE_SIZE"),
        "small": sum(size for size in sizes if size < PICTURE),
        "large": sum(size for size in sizes if size >= PICTURE),
        "files": len(os.listdir("/proc/self/fd")) - 1,  # noqa: PTH208 (the one it opens itself)
        "threads": len(os.listdir("/proc/self/task")),  # noqa: PTH208
    }


def main(file, every, trace, *arguments):
    every, trace = int(every), trace == "trace"
    samples, done = [], 0
    add = PredictOutput.add

    def watched(self, predicted):
        nonlocal done
        add(self, predicted)
        done += 1
        if done % every == 0:
            if trace and not samples:  # what the start has made is not asked again
                gc.freeze()
                tracemalloc.start()
            samples.append(sample(done, trace))

    PredictOutput.add = watched
    status = tool("predict", *arguments)
    Path(file).write_text(json.dumps(samples))
    return status


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
