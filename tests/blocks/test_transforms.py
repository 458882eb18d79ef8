"""The Fourier transform against explicit DFT matrices, and its two forms against each other."""

import pytest
import torch

from keypoint.blocks.bases import dct_matrix
from keypoint.blocks.transforms import Fourier
from tests.reference import srl as reference

SIZES = [(1, 1), (1, 7), (7, 1), (2, 2), (5, 8), (8, 5), (7, 9), (6, 4)]


def maps(*shape, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=dtype)


@pytest.mark.parametrize("matmul", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_forward_and_inverse_equal_dft_matrices(size, matmul):
    transform = Fourier(size, matmul=matmul)
    x = maps(2, 3, *size)
    z = transform(x)
    for got, sample in zip(z, x.numpy(), strict=True):
        expected = torch.from_numpy(reference.to_maps(reference.fourier(sample)))
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)
    z = maps(*z.shape)  # any maps, as phi leaves them: not the spectrum of a real map
    for got, sample in zip(transform.inverse(z, size), z.numpy(), strict=True):
        expected = reference.inverse_fourier(reference.from_maps(sample, size[1]))
        torch.testing.assert_close(got, torch.from_numpy(expected), rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", SIZES)
def test_inverse_is_irfft2_bit_for_bit_on_cpu(size):
    transform = Fourier(size)
    z = maps(2, 6, *transform.spectral_size, dtype=torch.float32)
    spectrum = torch.complex(z[:, ::2].contiguous(), z[:, 1::2].contiguous())
    expected = torch.fft.irfft2(spectrum, s=size, norm="ortho")
    assert torch.equal(transform.inverse(z, size), expected)


@pytest.mark.parametrize("size", [(24, 18), (63, 47), (96, 72)])
def test_matmul_form_equals_fft_form(size):
    fft, matmul = Fourier(size), Fourier(size, matmul=True)
    x = maps(2, 4, *size, dtype=torch.float32)
    z = fft(x)
    assert (matmul(x) - z).norm() / z.norm() < 1e-6
    z = maps(*z.shape, dtype=torch.float32)
    y = fft.inverse(z, size)
    assert (matmul.inverse(z, size) - y).norm() / y.norm() < 1e-6


@pytest.mark.parametrize("matmul", [False, True])
def test_round_trip_at_every_size(matmul):
    for height in range(1, 14):
        for width in range(1, 14):
            transform = Fourier((height, width), matmul=matmul)
            x = maps(1, 2, height, width)
            back = transform.inverse(transform(x), (height, width))
            torch.testing.assert_close(back, x, rtol=0, atol=1e-12)


@pytest.mark.parametrize("matmul", [False, True])
def test_autocast_does_not_reach_the_transform(matmul):
    transform = Fourier((8, 12), matmul=matmul)
    x = maps(1, 2, 16, 12, dtype=torch.float32)  # another resolution: resampled as well
    z = transform(x)
    y = transform.inverse(z, (16, 12))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(transform(x), z)
        assert torch.equal(transform.inverse(z, (16, 12)), y)
    assert transform(x.bfloat16()).dtype == torch.float32


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_dct_matrix(n):
    matrix = dct_matrix(n, torch.empty(0, dtype=torch.float64))
    expected = torch.from_numpy(reference.dct_matrix(n))
    torch.testing.assert_close(matrix, expected, rtol=0, atol=1e-14)
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(n).double(), rtol=0, atol=1e-14)
