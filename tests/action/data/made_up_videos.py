"""Small videos with the number of each frame in them, and lists of them."""

import cv2
import numpy as np

from tests.data.test_containers import write

SIZE = 48, 64


def numbered_frames(number, first=0, size=SIZE):
    """Frames whose red is their number times 2, with the same ramp of green and no blue."""
    frames = np.zeros((number, *size, 3), np.uint8)
    frames[..., 1] = np.arange(size[1]) + 3 * np.arange(size[0])[:, None]
    frames[..., 0] = 2 * (first + np.arange(number))[:, None, None]
    return frames


def write_video(path, number=20, first=0, size=SIZE, rate=25.0):
    """An AVI without loss (codec FFV1), so that numbers come back exactly."""
    path.parent.mkdir(parents=True, exist_ok=True)
    code = cv2.VideoWriter.fourcc(*"FFV1")
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, rate, size[::-1])
    assert writer.isOpened()
    for frame in numbered_frames(number, first, size):
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()
    return path


def write_frames(folder, number=20, first=0, begin=1):
    """A folder of frames, img_00001.png and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    for at, frame in enumerate(numbered_frames(number, first)):
        assert cv2.imwrite(str(folder / f"img_{at + begin:05d}.png"), frame[..., ::-1])
    return folder


def numbers_of(clip):
    """The number of each frame of a clip (.., H, W, 3)."""
    assert clip[..., 2].max() < 4  # RGB
    return np.round(clip[..., 0].mean(axis=(-2, -1)) / 2).astype(int)


def write_without_frames(path):
    """An MP4 that opens and lists 10 frames, none of which can be decoded; returns its file."""
    path = write(path)
    data = path.read_bytes()
    begin = data.index(b"mdat") + 4
    end = data.index(b"moov") - 4
    path.write_bytes(data[:begin] + bytes(end - begin) + data[end:])
    return path


def touch(root, *names):
    """Empty files; enough for whoever does not open them."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
