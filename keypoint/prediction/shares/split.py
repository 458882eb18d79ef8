"""Division of the inputs: every input is in one share, and all shares have about the same work."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from keypoint.prediction.inputs.find import Input

MOST = 512  # shares: the merge opens one file of each, and a process may open 1024


@dataclass(frozen=True)
class Share:
    """One of `of` shares; numbers start at 1."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"share {self.number} of {self.of}"


def parse_share(text: str) -> Share:
    """Parse a share such as `3/8`.

    Raises:
        ValueError: It is not a share; the message names what is allowed.
    """
    match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]) <= MOST:
        raise ValueError(
            f"given {text[:40]!r}; give NUMBER/OF, from 1/OF to OF/OF, with OF up to {MOST}: the "
            "four shares of a run are 1/4, 2/4, 3/4 and 4/4"
        )
    return Share(int(match[1]), int(match[2]))


def split_inputs(inputs: Sequence[Input], sizes: Sequence[int], of: int) -> list[int]:
    """Return the number of each input's share.

    Images are assigned in turn, so each share has a part of every folder. A video is not divided,
    because its persons are tracked. Videos are assigned by decreasing size, each to the share with
    the fewest bytes of video; of equal shares to the last one, because the first ones may have one
    image more.

    Args:
        inputs: Images and videos.
        sizes: Bytes of each file.
        of: Number of shares.

    Returns:
        Numbers from 1; a share may have no input.
    """
    images = [place for place, one in enumerate(inputs) if not one.is_video]
    videos = [place for place, one in enumerate(inputs) if one.is_video]
    numbers = dict.fromkeys(range(len(inputs)), 0)
    numbers |= {place: count % of + 1 for count, place in enumerate(images)}
    load = dict.fromkeys(range(of, 0, -1), 0)  # bytes of video by share, the last share first
    for place in sorted(videos, key=lambda place: -sizes[place]):
        numbers[place] = min(load, key=load.__getitem__)
        load[numbers[place]] += max(1, sizes[place])
    return list(numbers.values())
