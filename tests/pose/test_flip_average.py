"""The flip average pixel by pixel, and its peaks found without it."""

import numpy as np
import pytest
import torch

from keypoint.pose import flip_average
from keypoint.pose.codec import Codec
from keypoint.pose.flip_average import average_at, average_flipped, find_peaks_of_average
from keypoint.pose.heatmap import encode, find_peaks, neighbors
from keypoint.pose.skeleton import load_skeleton
from tests.compiled import with_library

FLIP = torch.tensor(load_skeleton("coco17").flip_indices)


@pytest.fixture(params=[None, 0, 1], ids=["PyTorch", "compiled", "narrower"])
def each_way(request, monkeypatch):
    with_library(monkeypatch, flip_average, request.param)


def flip_back(maps, flip_indices, shift=True):
    """The contribution of the mirrored maps to an average."""
    return 2 * average_flipped(torch.zeros_like(maps), maps, flip_indices, shift)


@pytest.mark.parametrize("x", [30.0, 96.0, 160.0])
@pytest.mark.parametrize(("shift", "offset"), [(False, -0.75), (True, 0.25)])
def test_flip_leaves_a_quarter_pixel_after_the_shift(x, shift, offset):
    """A network that answers x_in / 4 exactly, asked with the mirrored crop (x' = W_in - 1 - x)."""
    mirrored_x = (192 - 1 - x) / 4
    columns = torch.arange(48, dtype=torch.float64)
    answer = torch.exp(-((columns - mirrored_x) ** 2) / 8).expand(1, 17, 64, 48)
    back = flip_back(answer, FLIP, shift)[0, 0, 0]
    centre = (back * columns).sum() / back.sum()
    assert centre.item() - x / 4 == pytest.approx(offset, abs=0.02)


def test_flip_twice_is_nothing():
    maps = torch.rand(2, 17, 8, 6)
    assert torch.equal(flip_back(flip_back(maps, FLIP, shift=False), FLIP, shift=False), maps)


@pytest.mark.parametrize("shift", [False, True])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_average_written_out_pixel_by_pixel(monkeypatch, shift, layout):
    """Also where a batch is worked in pieces, with a smaller one at the end."""
    monkeypatch.setattr("keypoint.pose.flip_average.PIECE_BYTES", 2 * 17 * 5 * 7 * 4)
    maps, mirrored = torch.rand(2, 5, 17, 5, 7)
    average = average_flipped(
        maps.contiguous(memory_format=layout),
        mirrored.contiguous(memory_format=layout),
        FLIP,
        shift,
    )
    for b, k, y, x in np.ndindex(*maps.shape):
        column = 6 - (max(x - 1, 0) if shift else x)
        expected = (maps[b, k, y, x] + mirrored[b, FLIP[k], y, column]) / 2
        assert average[b, k, y, x] == expected
    assert average_flipped(maps[:0], mirrored[:0], FLIP).shape == (0, 17, 5, 7)


def noise(batch, height, width, seed):
    return torch.randn(2, batch, 17, height, width, generator=torch.Generator().manual_seed(seed))


def people(batch, height, width):
    """Maps like a network's: one peak each, or two alike, and almost zero elsewhere."""
    generator = torch.Generator().manual_seed(0)
    places = torch.rand(2, batch, 17, 2, generator=generator) * torch.tensor([width, height]) * 4
    one, two = (encode(p, torch.ones(batch, 17), (height, width), 2.0)[0] for p in places)
    maps = one + 0.9 * two + 0.02 * torch.rand(one.shape, generator=generator)
    return maps, maps.index_select(1, FLIP).flip(-1).roll(-1, 3)


@pytest.mark.usefixtures("each_way")
@pytest.mark.parametrize("shift", [False, True])
# Wider and narrower than registers of 8 and 16 numbers, with and without a rest.
@pytest.mark.parametrize(
    "size", [(64, 48), (7, 33), (5, 17), (4, 16), (9, 9), (10, 7), (5, 3), (4, 1), (1, 1)]
)
def test_peaks_are_those_of_the_whole_average(size, shift):
    """To the last bit; among equal pixels the first, and maps with no clear peak too."""
    flat = torch.ones(2, 2, 17, *size)
    cases = [noise(2, *size, 0), noise(2, *size, 1).round(), -noise(1, *size, 2).abs(), flat]
    cases += [people(3, *size), noise(0, *size, 0), 5e37 * noise(2, *size, 3)]
    for maps, mirrored in cases:
        average = average_flipped(maps, mirrored, FLIP, shift)
        places, scores, around = find_peaks_of_average(maps, mirrored, FLIP, shift)
        expected_places, expected_scores = find_peaks(average)
        assert torch.equal(places, expected_places)
        assert torch.equal(scores, expected_scores)
        everywhere = torch.arange(size[0] * size[1]).expand(*maps.shape[:2], -1)
        values = average_at(everywhere, maps, mirrored, FLIP, shift)
        assert torch.equal(values, average.flatten(2))
        assert torch.equal(around, values.gather(2, neighbors(places, size)))


@pytest.mark.usefixtures("each_way")
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("side", [0, 1])
def test_numbers_that_are_not_finite_are_returned_as_by_the_whole_average(value, side):
    """Wherever they are: in a strip that is not looked into, NaN would be lost."""
    for height, width, place in [(9, 6, p) for p in np.ndindex(9, 6)] + [
        (5, 34, p) for p in np.ndindex(5, 34)
    ]:
        both = noise(1, height, width, 4)
        both[side, 0, 5][place] = value
        both[1 - side, 0, FLIP[5]][0, 0] = -value  # inf - inf is one, too
        expected = find_peaks(average_flipped(*both, FLIP))[1]
        torch.testing.assert_close(
            find_peaks_of_average(*both, FLIP)[1], expected, rtol=0, atol=0, equal_nan=True
        )


@pytest.mark.usefixtures("each_way")
def test_indices_and_sizes_that_do_not_fit_are_errors():
    """In compiled code as well, which would read what lies behind the maps."""
    maps, mirrored = noise(2, 8, 17, 0)
    for wrong in (FLIP + 1, FLIP - 1, FLIP[:5]):
        with pytest.raises((IndexError, RuntimeError)):
            find_peaks_of_average(maps, mirrored, wrong)
    with pytest.raises((IndexError, RuntimeError)):
        find_peaks_of_average(maps, mirrored[:1], FLIP)


@pytest.mark.usefixtures("each_way")
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    ("name", "decoding"),
    [("heatmap", "quarter"), ("heatmap", "dark"), ("heatmap", None), ("udp", "codec"), ("udp", None)],
)  # fmt: skip
def test_decoding_two_sides_is_decoding_their_average(name, decoding, layout):
    codec = Codec((256, 192), name)
    for given in (people(4, 64, 48), noise(4, 64, 48, 5), noise(4, 64, 48, 6).double()):
        maps, mirrored = (side.contiguous(memory_format=layout) for side in given)
        expected = codec.decode(codec.average_flipped(maps, mirrored, FLIP), decoding)
        found = codec.decode_flipped(maps, mirrored, FLIP, decoding)
        assert torch.equal(found[0], expected[0])
        assert torch.equal(found[1], expected[1])


def test_a_clear_peak_needs_few_strips(monkeypatch):
    """Counts the pixels that are read in full; otherwise the shortcut would be slower."""
    with_library(monkeypatch, flip_average, None)
    maps, mirrored = people(8, 64, 48)
    seen = []
    select = torch.Tensor.index_select

    def counted(tensor, dim, index):
        seen.append(select(tensor, dim, index))
        return seen[-1]

    monkeypatch.setattr(torch.Tensor, "index_select", counted)
    find_peaks_of_average(maps, mirrored, FLIP)
    assert sum(part.numel() for part in seen) < 0.3 * 2 * maps.numel()
