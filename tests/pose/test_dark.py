import numpy as np
import pytest
import torch

from keypoint.pose.codec import Codec
from keypoint.pose.dark import dark_offset, gaussian_kernel
from keypoint.pose.heatmap import find_peaks
from tests.reference import udp as reference

KINDS = {False: reference.dark, True: reference.dark_udp}


def gaussian(x, y, size, sigma):
    rows, columns = np.mgrid[: size[0], : size[1]]
    return np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))


def test_kernels_are_the_papers():
    assert [len(gaussian_kernel(sigma)) for sigma in (2.0, 3.0)] == [11, 17]
    for sigma in (0.1, 1.0, 2.5, 4.0):
        kernel = gaussian_kernel(sigma)
        assert len(kernel) % 2 == 1
        assert kernel.sum().item() == pytest.approx(1)


@pytest.mark.parametrize("udp", [False, True])
@pytest.mark.parametrize(("size", "sigma", "kernel"), [((64, 48), 2.0, 11), ((96, 72), 3.0, 17)])
def test_equals_the_whole_map_blurred_and_solved_one_by_one(udp, size, sigma, kernel):
    """Maps as networks give them: a blob between pixels anywhere, a weaker second one, noise."""
    rng = np.random.default_rng(0)
    maps = np.stack([
        gaussian(*rng.uniform([0, 0], [size[1] - 1, size[0] - 1]), size, sigma) * rng.uniform(0.3, 1)
        + 0.25 * gaussian(*rng.uniform([0, 0], [size[1], size[0]]), size, sigma)
        + 0.02 * rng.random(size)
        for _ in range(300)
    ])  # fmt: skip
    heatmaps = torch.tensor(maps[None], dtype=torch.float32)
    found = dark_offset(heatmaps, find_peaks(heatmaps)[0], sigma, udp)[0].numpy()
    expected = np.array([KINDS[udp](one, kernel) for one in maps])
    peaks = find_peaks(heatmaps)[0][0].numpy()
    taken = np.abs(expected - peaks).max(1) <= 2  # farther the expansion does not hold
    assert taken.mean() > 0.97
    np.testing.assert_allclose(found[taken], expected[taken], atol=2e-3)
    assert (found[~taken] == peaks[~taken]).all()
    assert (found[taken] != peaks[taken]).mean() > 0.8


@pytest.mark.parametrize("name", ["heatmap", "udp"])
def test_a_gaussian_between_pixels_is_found_exactly(name):
    """The logarithm of a blurred Gaussian is a parabola, so one Newton step ends at its middle."""
    places = np.random.default_rng(1).uniform([12, 12], [36, 52], (50, 2))
    maps = np.stack([gaussian(x, y, (64, 48), 2.0) for x, y in places])
    found, scores = Codec((256, 192), name).decode(torch.tensor(maps[None]), "dark")
    np.testing.assert_allclose(found[0].numpy(), places, atol=0.01)
    np.testing.assert_allclose(scores[0].numpy(), maps.max((1, 2)), rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "reference_of"), [("heatmap", reference.dark), ("udp", reference.dark_udp)]
)
def test_the_codec_asks_for_its_own_form(name, reference_of):
    """Faint lopsided maps: where the logarithm's floor lies, and how wide the derivatives are, decides."""
    rng = np.random.default_rng(2)
    maps = np.stack([
        0.0012 * gaussian(x, y, (64, 48), 1.0) + 0.0004 * gaussian(x + 3, y + 1, (64, 48), 1.5)
        for x, y in rng.uniform([10, 10], [36, 52], (40, 2))
    ])  # fmt: skip
    expected = np.array([reference_of(one, 11) for one in maps])
    heatmaps = torch.tensor(maps[None], dtype=torch.float32)
    taken = np.abs(expected - find_peaks(heatmaps)[0][0].numpy()).max(1) <= 2
    assert taken.mean() > 0.5
    found, _ = Codec((256, 192), name).decode(heatmaps, "dark")
    np.testing.assert_allclose(found[0].numpy()[taken], expected[taken], atol=2e-3)
    other = np.array([KINDS[name == "heatmap"](one, 11) for one in maps])
    assert np.abs(other - expected)[taken].max() > 0.01


@pytest.mark.parametrize("udp", [False, True])
def test_maps_without_a_peak_stay_where_they_are(udp):
    flat = torch.full((1, 1, 16, 12), 0.5)
    edge = torch.zeros(1, 1, 16, 12)
    edge[0, 0, 0, 0] = 1.0
    ramp = torch.linspace(0, 1, 12).expand(1, 1, 16, 12).contiguous()
    spike = torch.full((1, 1, 16, 12), -1.0)
    spike[0, 0, 8, 6] = 1e-30
    for maps in (flat, edge, ramp, spike):
        peaks, _ = find_peaks(maps)
        found = dark_offset(maps, peaks, 2.0, udp)
        assert torch.isfinite(found).all()
        assert ((found - peaks).abs() <= 2).all()


def test_a_batch_is_its_maps_one_by_one():
    maps = torch.rand(3, 5, 20, 16)
    together, _ = Codec((80, 64)).decode(maps, "dark")
    for b in range(3):
        for k in range(5):
            alone, _ = Codec((80, 64)).decode(maps[b : b + 1, k : k + 1], "dark")
            torch.testing.assert_close(together[b, k], alone[0, 0])
