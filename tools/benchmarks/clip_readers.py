"""Other libraries that read clips, each measured if it is installed.

pip install decord av torchcodec
pip install --no-deps mmaction2 "mmcv-lite==2.1.0" mmengine addict yapf termcolor einops

torchcodec does not include FFmpeg: it needs its libraries on the loader's path. torchvision removed
`read_video` in 0.28, and its documentation recommends torchcodec.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from keypoint.action.data.augment import Crop

Frame = NDArray[np.uint8]
# Takes a video and ascending frame numbers; yields the frames, RGB.
Reader = Callable[[Path, NDArray[np.int64]], Iterator[Frame]]
MMACTION = "mmaction2"
GONE = "gone since 0.28"


def decord(path: Path, numbers: NDArray[np.int64]) -> Iterator[Frame]:
    """As mmaction2 uses it: one thread, `get_batch`."""
    import decord as package

    yield from package.VideoReader(str(path), num_threads=1).get_batch(numbers).asnumpy()


def pyav(path: Path, numbers: NDArray[np.int64]) -> Iterator[Frame]:
    """Forward to the last frame, one thread; unwanted frames are not converted."""
    import av

    wanted = iter(numbers.tolist())
    number = next(wanted)
    with av.open(str(path)) as file:
        stream: Any = file.streams.video[0]
        stream.thread_type, stream.codec_context.thread_count = "NONE", 1
        for at, frame in enumerate(file.decode(stream)):
            if at == number:
                yield frame.to_ndarray(format="rgb24")
                if (number := next(wanted, -1)) < 0:
                    return


def torchcodec(path: Path, numbers: NDArray[np.int64]) -> Iterator[Frame]:
    """Its exact seek, one thread."""
    from torchcodec.decoders import VideoDecoder

    video = VideoDecoder(str(path), dimension_order="NHWC", num_ffmpeg_threads=1)
    yield from video.get_frames_at(numbers.tolist()).data.numpy()


def torchvision(path: Path, numbers: NDArray[np.int64]) -> Iterator[Frame]:
    """Its reader was removed in favour of torchcodec."""
    raise ImportError(GONE)


# By the name of the distribution.
READERS: dict[str, Reader] = {
    "decord": decord,
    "av": pyav,
    "torchcodec": torchcodec,
    "torchvision": torchvision,
}


def why_not(name: str, path: Path) -> str:
    """The reason why a library cannot read a video; empty if it can."""
    try:
        version(name)
        if name == MMACTION:
            pipeline(path, clips=1, crops=1, size=(16, 16), train=True)
        else:
            list(READERS[name](path, np.array([0])))
    except PackageNotFoundError:
        return "not installed"
    except ImportError as error:
        return GONE if name == "torchvision" else f"needs {error.name or error}"
    except RuntimeError as error:  # torchcodec without FFmpeg, in 100 lines
        return str(error).partition(".")[0]
    return ""


def views(
    reader: Reader,
    path: Path,
    numbers: NDArray[np.int64],
    crops: Sequence[Crop],
    size: tuple[int, int],
) -> Tensor:
    """Clips of the frames of a reader with our crops: (V, T, H, W, 3) uint8, clips times crops.

    Args:
        reader: Gets each frame once.
        path: The video.
        numbers: (clips, T).
        crops: Of each clip.
        size: (height, width).
    """
    wanted, place = np.unique(numbers, return_inverse=True)
    cut = [[crop.cut(frame, size) for crop in crops] for frame in reader(path, wanted)]
    found = np.empty((numbers.shape[0], len(crops), numbers.shape[1], *size, 3), np.uint8)
    for clip, places in zip(found, place.reshape(numbers.shape), strict=True):
        for view in range(len(crops)):
            np.stack([cut[at][view] for at in places], out=clip[view])
    return torch.from_numpy(found).flatten(0, 1)


def pipeline(path: Path, *, clips: int, crops: int, size: tuple[int, int], train: bool) -> Tensor:
    """mmaction2's own clips of C2D's configs, decoded by decord: (V, 3, T, H, W) uint8.

    It draws its frames and crops itself, as many of the same sizes: of 8 frames, every 8th.
    """
    from mmaction.datasets import transforms as mm

    steps: list[Any] = [
        mm.DecordInit(),
        mm.SampleFrames(clip_len=8, frame_interval=8, num_clips=clips, test_mode=not train),
        mm.DecordDecode(),
        mm.Resize(scale=(-1, 256)),
    ]
    if train:
        resize = mm.Resize(scale=size[::-1], keep_ratio=False)
        steps += [mm.RandomResizedCrop(), resize, mm.Flip(flip_ratio=0.5)]
    else:
        steps.append({1: mm.CenterCrop, 3: mm.ThreeCrop}[crops](crop_size=size[::-1]))
    steps += [mm.FormatShape(input_format="NCTHW"), mm.PackActionInputs()]
    results: Any = {"filename": str(path), "label": 0, "start_index": 0, "modality": "RGB"}
    for step in steps:
        results = step(results)
    inputs: Tensor = results["inputs"]
    return inputs
