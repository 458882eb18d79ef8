import numpy as np
import pytest
import torch

from keypoint.pose.codec import Codec
from keypoint.pose.heatmap import default_sigma, encode, find_peaks
from tests.reference import simple_baseline as reference

decode = Codec((256, 192)).decode


def test_default_sigma_is_the_references():
    assert default_sigma((256, 192)) == 2
    assert default_sigma((384, 288)) == 3


@pytest.mark.parametrize(("size", "sigma"), [((64, 48), 2.0), ((96, 72), 3.0), ((24, 32), 1.0)])
def test_targets_equal_patches_drawn_one_by_one(size, sigma):
    rng = np.random.default_rng(0)
    height, width = size
    keypoints = rng.uniform([-60, -60], [4 * width + 60, 4 * height + 60], (3, 17, 2))
    # edges: first and last pixel, just in and just out of reach of the patch on all four sides
    reach = 12 * sigma
    keypoints[0, :9] = [
        [0, 0], [4 * width - 1, 4 * height - 1], [4 * width - 2.01, 1.99],
        [-reach, 40], [-reach - 4, 40], [4 * (width - 1) + reach, 40], [4 * width + reach, 40],
        [40, -reach - 4], [40, 4 * height + reach],
    ]  # fmt: skip
    labelled = rng.random((3, 17)) > 0.2
    labelled[0] = True
    maps, weights = encode(torch.tensor(keypoints), torch.tensor(labelled), size, sigma)
    for b in range(3):
        expected_maps, expected_weights = reference.targets(keypoints[b], labelled[b], size, sigma)
        np.testing.assert_allclose(maps[b].numpy(), expected_maps, atol=1e-6)
        np.testing.assert_array_equal(weights[b].numpy(), expected_weights)
    assert 0 < weights.sum() < weights.numel()


@pytest.mark.parametrize("x", [0.0, 95.5, 191.0])
def test_peak_at_left_edge_centre_and_right_edge(x):
    maps, weights = encode(torch.tensor([[[x, 100.0]]]), torch.ones(1, 1), (64, 48), 2.0)
    peak = int(maps[0, 0].argmax())
    assert (peak % 48, peak // 48) == (min(int(np.floor(x / 4 + 0.5)), 47), 25)
    assert weights.item() == 1
    if x < 190:  # at 191 the centre is column 48, one beyond the map
        assert maps.max() == 1


def test_decode_equals_the_loop_at_every_peak_position():
    """Every peak of a 7 x 6 map in turn, so every border condition of the quarter offset."""
    height, width = 7, 6
    maps = torch.rand(height * width, 1, height, width, dtype=torch.float64)
    for i in range(height * width):
        maps[i, 0, i // width, i % width] = 2.0
    keypoints, scores = decode(maps)
    moved = 0
    for i in range(height * width):
        expected, score = reference.decode(maps[i, 0].numpy())
        assert keypoints[i, 0].tolist() == pytest.approx(list(expected))
        assert scores[i, 0].item() == pytest.approx(score)
        moved += expected != (i % width, i // width)
    assert moved == (width - 3) * (height - 3)  # strictly between 1 and W - 1, in x and in y


def test_decode_flat_neighbours_and_negative_maps():
    maps = torch.zeros(1, 2, 9, 9)
    maps[0, 0, 4, 4] = 1.0  # equal neighbours: no offset
    maps[0, 1] = -1.0
    maps[0, 1, 5, 5] = -0.5  # a peak that is not positive gives (0, 0)
    keypoints, scores = decode(maps)
    assert keypoints[0].tolist() == [[4, 4], [0, 0]]
    assert scores[0].tolist() == [1, -0.5]


def test_decode_returns_nan_as_the_score():
    maps = torch.zeros(1, 1, 5, 5)
    maps[0, 0, 2, 3] = torch.nan
    assert torch.isnan(decode(maps)[1]).all()


def test_numpy_and_torch_find_the_same_peaks(monkeypatch):
    """numpy on a CPU, torch elsewhere; ties and NaN included."""
    maps = torch.randint(0, 4, (3, 5, 8, 6)).float()
    maps[1, 2, 3, 4] = torch.nan
    places, scores = find_peaks(maps)
    highest = maps.flatten(2).max(2)
    torch.testing.assert_close(scores, highest.values, equal_nan=True)
    first = (maps.flatten(2) == scores[..., None]).int().argmax(2)
    first[1, 2] = 3 * 6 + 4
    assert torch.equal(places[..., 1] * 6 + places[..., 0], first)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    torch.testing.assert_close(find_peaks(maps)[1], scores, equal_nan=True)
