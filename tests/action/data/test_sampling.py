"""Frame numbers next to loops written from the words, and their bounds."""

import hashlib

import numpy as np
import pytest

from keypoint.action.data.sampling import ClipSampling, at_rate, dense, last_start, segments


def no_times(number):
    raise AssertionError("times are asked for without fps")


def constant(rate):
    return lambda number: np.arange(number) / rate


@pytest.mark.parametrize("short", ["loop", "repeat"])
@pytest.mark.parametrize(
    ("number", "frames", "stride"), [(300, 8, 8), (57, 8, 8), (20, 8, 8), (1, 4, 3)]
)
def test_dense_clips_are_those_of_a_loop(number, frames, stride, short):
    starts = np.array([0, last_start(number, frames, stride)])
    found = dense(number, starts, frames, stride, short)
    for start, clip in zip(starts, found, strict=True):
        expected, at = [], int(start)
        for _ in range(frames):
            while at >= number and short == "loop":
                at -= number
            expected.append(min(at, number - 1))
            at += stride
        assert clip.tolist() == expected
    assert found[1, -1] == (number - 1 if number >= 57 else found[0, -1])  # 57 = 7 * 8 + 1


def test_random_starts_reach_both_ends_and_each_place_as_often():
    sampling = ClipSampling(4, stride=3)
    draws = [
        sampling.train(lambda i=i: np.random.default_rng(i))(15, no_times) for i in range(3000)
    ]
    starts = np.array(draws)[:, 0, 0]
    assert set(starts) == set(range(6))  # 15 - (3 * 3 + 1) + 1 places
    assert np.bincount(starts) == pytest.approx([500] * 6, abs=5 * np.sqrt(500))


@pytest.mark.parametrize("number", [3, 8, 100, 101])
def test_segments_have_one_frame_of_each_part(number):
    draw = ClipSampling(8, sampling="segments").train(lambda: np.random.default_rng(7))
    for clip in (draw(number, no_times), segments(number, np.full((1, 8), 1 - 1e-9))):
        for part, at in enumerate(clip[0].tolist()):
            assert np.floor(part * number / 8) <= at < np.ceil((part + 1) * number / 8)
    assert segments(number, np.full((1, 8), 1 - 2**-53)).max() == number - 1
    middle = ClipSampling(8, sampling="segments").test("a", 1, "uniform")(number, no_times)
    assert middle.tolist() == [[int((2 * i + 1) * number / 16) for i in range(8)]]


def test_uniform_clips_go_from_the_first_frame_to_the_last():
    found = ClipSampling(8, stride=8).test("any", 10, "uniform")(300, no_times)
    assert found.shape == (10, 8)
    assert found[:, 0].tolist() == [0, 27, 54, 81, 108, 135, 162, 189, 216, 243]
    assert found[-1, -1] == 299
    assert ClipSampling(8).test("any", 1, "uniform")(300, no_times)[0, 0] == 122  # 243 / 2
    assert ClipSampling(8).test("any", 3, "uniform")(10, no_times)[:, 0].tolist() == [0, 0, 0]


def test_random_test_clips_depend_on_the_name_alone():
    sampling = ClipSampling(8)
    first = sampling.test("a/x.mp4", 25, "random")(300, no_times)
    assert first.shape == (25, 8)
    assert np.array_equal(first, sampling.test("a/x.mp4", 25, "random")(300, no_times))
    assert not np.array_equal(first, sampling.test("a/y.mp4", 25, "random")(300, no_times))
    seed = int(hashlib.sha256(b"a/x.mp4").hexdigest()[:16], 16)
    starts = np.random.default_rng(seed).integers(0, 244, 25)
    assert first[:, 0].tolist() == starts.tolist()


@pytest.mark.parametrize(("rate", "fps"), [(30, 15), (25, 30), (29.97, 12.5), (25, 25), (12, 48)])
def test_a_rate_takes_the_frame_shown_at_each_moment(rate, fps):
    times = np.arange(60) / rate
    expected, k = [], 0
    while k * rate < 60 * fps * (1 - 1e-9):  # the moment k / fps is before the end 60 / rate
        expected.append(max(i for i in range(60) if i / rate <= k / fps + 1e-9))
        k += 1
    assert at_rate(times, fps).tolist() == expected


def test_a_rate_on_varying_times():
    times = 7.0 + np.array([0, 0.1, 0.2, 0.9, 1.0])
    assert at_rate(times, 5).tolist() == [0, 2, 2, 2, 2, 4]
    assert at_rate(np.array([3.0]), 5).tolist() == [0]


def test_clips_at_a_rate_span_as_many_seconds_whatever_the_video_has():
    sampling = ClipSampling(4, stride=2, fps=10.0)
    for rate in (10, 25, 60):
        number = 10 * rate
        found = sampling.test("a", 5, "uniform")(number, constant(rate))
        seconds = found / rate
        assert found.max() < number
        np.testing.assert_allclose(np.diff(seconds, axis=1), 0.2, atol=1.01 / rate)
        np.testing.assert_allclose(seconds[-1, -1], 9.9, atol=1.01 / rate)
