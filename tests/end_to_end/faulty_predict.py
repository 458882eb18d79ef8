"""keypoint predict in which rank 1 is killed at its fifth event, once rank 0 has done its share.

torchrun ... faulty_predict.py OUTPUT argument...
"""

import os
import signal
import sys
import time
from pathlib import Path

from keypoint.commands.main import main
from keypoint.prediction.shares.output import ShareOutput

FOR_S = 300


def kill_rank_1(output):
    take, events = ShareOutput.take, 0

    def counted(self, event):
        nonlocal events
        events += 1
        if events == 5:
            end = time.monotonic() + FOR_S
            while not (output / "shards/1-of-2/done.json").exists() and time.monotonic() < end:
                time.sleep(0.1)
            os.kill(os.getpid(), signal.SIGKILL)
        take(self, event)

    ShareOutput.take = counted


if __name__ == "__main__":
    if os.environ["RANK"] == "1":
        kill_rank_1(Path(sys.argv[1]))
    raise SystemExit(main(["predict", "--output", *sys.argv[1:]]))
