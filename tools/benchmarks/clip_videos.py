"""Generated videos for the benchmarks of clips, with each frame's number painted in.

Two smooth textures that move against each other, with weak noise: about as many bytes per frame as
videos of Kinetics. The number is a row of black and white squares, so that a returned frame is
identified without another reader.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from keypoint.action.data.videos import Videos, load_videos
from keypoint.progress import progress

SIZE, FRAMES, RATE = (256, 340), 300, 30  # height and width, length, frames a second: of Kinetics
BITS = 9  # of the painted number
NOISE = 6.0  # standard deviation, of 255
CODECS = ("mp4v", "h264")
Frame = NDArray[np.uint8]


def codecs() -> list[str]:
    """The codecs that can be written here: OpenCV has no H.264, PyAV has."""
    return [name for name in CODECS if name != "h264" or find_spec("av")]


def generate(folder: Path, number: int, codec: str) -> Videos:
    """Write videos, a class for each half of them."""
    with progress(number, f"generate videos, {codec}", "video") as bar:
        for index in range(number):
            path = folder / f"class{2 * index // number}" / f"{index}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            if codec == "h264":
                write_by_pyav(path, index, "libx264")
            else:
                write_mp4v(path, index)
            bar.update()
    return load_videos(folder, folder, part="train")


def write_mp4v(path: Path, seed: int) -> None:
    """MPEG-4 part 2 by OpenCV: a key frame every 12 frames, as in most files of UCF101."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), RATE, SIZE[::-1])
    for frame in frames(seed):
        writer.write(frame[..., ::-1])
    writer.release()


def write_by_pyav(path: Path, seed: int, encoder: str, **options: str) -> None:
    """Any other form. libx264's own defaults are a key frame every 250 frames, and B-frames."""
    import av

    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream(encoder, rate=RATE, options=options)
        stream.height, stream.width = SIZE
        stream.pix_fmt = "yuv420p"
        for frame in frames(seed):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(stream.encode())


def frames(seed: int) -> list[Frame]:
    """All frames of a video, (H, W, 3) RGB."""
    rng = np.random.default_rng(seed)
    height, width = SIZE
    textures = [
        cv2.resize(
            rng.integers(0, 256, (8, 10, 3), dtype=np.uint8),
            (2 * width, 2 * height),
            interpolation=cv2.INTER_CUBIC,
        ).astype(np.float32)
        for _ in range(2)
    ]
    images = []
    for number in range(FRAMES):
        moved = np.roll(textures[0], (number, 2 * number), (0, 1)) + np.roll(
            textures[1], (-2 * number, number // 2), (0, 1)
        )
        noise = NOISE * rng.standard_normal((height, width, 1), np.float32)
        image = np.clip(moved[:height, :width] / 2 + noise, 0, 255).astype(np.uint8)
        for bit, (x, y, side) in enumerate(squares(SIZE)):
            image[y : y + side, x : x + side] = 255 * (number >> bit & 1)
        images.append(image)
    return images


def squares(size: tuple[int, int]) -> list[tuple[int, int, int]]:
    """x, y and side of the square of each bit, the lowest first."""
    side = size[1] // (BITS + 1)
    return [(side // 2 + bit * side, size[0] // 2, side) for bit in range(BITS)]


def painted_number(frame: Frame) -> int:
    """The number of a generated frame."""
    found = 0
    for bit, (x, y, side) in enumerate(squares((frame.shape[0], frame.shape[1]))):
        middle = frame[y + side // 4 : y + 3 * side // 4, x + side // 4 : x + 3 * side // 4]
        found |= int(middle.mean() > 127) << bit
    return found
