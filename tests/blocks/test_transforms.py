"""The Fourier transform against explicit DFT matrices, and its forms against each other.

Spectral maps lie column by column (V H): `.mT` turns them into the reference's H V.
"""

import pytest
import torch

from keypoint.blocks.spectral import memory
from keypoint.blocks.spectral.transforms import Fourier, from_spectrum, spectrum
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
        torch.testing.assert_close(got.mT, expected, rtol=0, atol=1e-12)
    z = maps(*z.shape)  # any maps, as phi leaves them: not the spectrum of a real map
    for got, sample in zip(transform.inverse(z, size), z.mT.numpy(), strict=True):
        expected = reference.inverse_fourier(reference.from_maps(sample, size[1]))
        torch.testing.assert_close(got, torch.from_numpy(expected), rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", SIZES)
def test_inverse_is_irfft2_bit_for_bit_on_cpu(size):
    transform = Fourier(size)
    z = maps(2, 6, size[1] // 2 + 1, size[0], dtype=torch.float32)
    spectrum = torch.complex(z[:, ::2].contiguous(), z[:, 1::2].contiguous()).mT
    expected = torch.fft.irfft2(spectrum, s=size, norm="ortho")
    assert torch.equal(transform.inverse(z, size), expected)


@pytest.mark.parametrize("size", [(5, 1), (5, 2), (5, 8), (5, 7), (6, 18)])
def test_columns_that_mirror_themselves_reach_the_library_real(size, monkeypatch):
    """A back end may do anything with an imaginary part there: it gets none."""
    given = []
    irfft = torch.fft.irfft
    monkeypatch.setattr(
        torch.fft, "irfft", lambda z, **options: given.append(z.clone()) or irfft(z, **options)
    )
    Fourier(size).inverse(maps(1, 2, size[1] // 2 + 1, size[0]), size)
    (z,) = given  # 1 1 H V
    alone = [v for v in range(size[1] // 2 + 1) if 2 * v % size[1] == 0]
    others = [v for v in range(size[1] // 2 + 1) if v not in alone]
    assert (z.imag[..., alone] == 0).all()
    assert (z.imag[..., others] != 0).all()


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


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scaled", [True, False])
def test_gradients_are_the_adjoint(size, scaled):
    """<f(x), z> = <x, f'(z)> for the eager form, and the same numbers as PyTorch's own gradients."""
    transform = Fourier(size)
    x = maps(2, 3, *size).requires_grad_()
    z = maps(2, 6, size[1] // 2 + 1, size[0]).requires_grad_()
    loss = (transform(x, scaled=scaled) * z).sum()
    (gradient,) = torch.autograd.grad(loss, x)
    torch.testing.assert_close((gradient * x).sum(), loss, rtol=1e-12, atol=1e-12)
    by_torch = spectrum(x, scaled=scaled).flatten(1, 2)
    (expected,) = torch.autograd.grad((by_torch * z).sum(), x)
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-12)
    y = maps(2, 3, *size)
    (gradient,) = torch.autograd.grad((transform.inverse(z, size, scaled=scaled) * y).sum(), z)
    by_torch = from_spectrum(z.unflatten(1, (3, 2)), size[1], scaled=scaled)
    (expected,) = torch.autograd.grad((by_torch * y).sum(), z)
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-12)


def test_gradients_of_gradients():
    transform = Fourier((3, 4))
    x, z = maps(1, 1, 3, 4).requires_grad_(), maps(1, 2, 3, 3).requires_grad_()
    assert torch.autograd.gradgradcheck(transform, (x,))
    assert torch.autograd.gradgradcheck(lambda z: transform.inverse(z, (3, 4)), (z,))


@pytest.mark.parametrize("matmul", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_scale_left_out_is_the_unitary_factor(size, matmul):
    transform = Fourier(size, matmul=matmul)
    x = maps(2, 3, *size)
    z = transform(x)
    plain = transform.gain * transform(x, scaled=False)
    torch.testing.assert_close(plain, z, rtol=0, atol=1e-12)
    plain = transform.gain * transform.inverse(z, size, scaled=False)
    torch.testing.assert_close(plain, transform.inverse(z, size), rtol=0, atol=1e-12)


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_chunks_change_nothing(order, monkeypatch):
    """In pieces of one, of some and (two samples of five channels of 63) of uneven size."""
    transform = Fourier((7, 9))
    x = maps(2, 5, 7, 9).contiguous(memory_format=order).requires_grad_()
    results = []
    for chunk in (2**18, 63, 200, 64 * 4):
        monkeypatch.setattr(memory, "CHUNK", chunk)
        z = transform(x)
        y = transform.inverse(z, (7, 9))
        (gradient,) = torch.autograd.grad((z.square().sum() + y[0].sum()), x)
        assert gradient.is_contiguous(memory_format=order)
        results.append((z, y, gradient))
    for other in results[1:]:
        torch.testing.assert_close(other, results[0], rtol=0, atol=1e-14)


@pytest.mark.parametrize("chunk", [1, 63, 64, 200, 700, 10**6])
@pytest.mark.parametrize("multiple", [1, 2, 3])
def test_pieces_cover_everything_once(chunk, multiple, monkeypatch):
    monkeypatch.setattr(memory, "CHUNK", chunk)
    x = torch.zeros(5, 6, 7, 9)
    for piece in memory.pieces(x, multiple):
        assert x[piece].numel() <= max(chunk, multiple * 63)
        assert x[piece].shape[1] % multiple == 0
        assert len(x[piece]) == 1 or x[piece].shape[1] == 6
        x[piece] += 1
    assert (x == 1).all()
    assert len(list(memory.pieces(x.to("meta")))) == 1
    assert not list(memory.pieces(x[:0]))
