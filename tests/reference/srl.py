"""Spectral residual learning restated from the paper (section 3): float64, full matrices, loops.

The spectrum is always kept whole (H x W complex numbers); a block's half spectrum is cut from it and
put back by the symmetry of real maps. One sample at a time: x is C H W. A batch norm is the tuple
(weight, bias, mean, variance).
"""

import cmath
import math

import numpy as np

EPS = 1e-5  # of the batch norms


def dft_matrix(n):
    """Equation 4 with the 1/sqrt(N) that makes it unitary."""
    f = np.zeros((n, n), dtype=complex)
    for k in range(n):
        for p in range(n):
            f[k, p] = cmath.exp(-2j * cmath.pi * k * p / n) / math.sqrt(n)
    return f


def dct_matrix(n):
    """Orthonormal DCT-II, rows are frequencies."""
    d = np.zeros((n, n))
    for k in range(n):
        for p in range(n):
            d[k, p] = math.cos(math.pi * (p + 0.5) * k / n) * math.sqrt((1 if k == 0 else 2) / n)
    return d


def fourier(x):
    """Equation 5, for each channel."""
    return np.stack([dft_matrix(m.shape[0]) @ m @ dft_matrix(m.shape[1]) for m in x])


def inverse_fourier(z):
    """Equation 5; "we simply abandon the imaginary part"."""
    return np.stack(
        [(dft_matrix(m.shape[0]).conj() @ m @ dft_matrix(m.shape[1]).conj()).real for m in z]
    )


def to_maps(z):
    """Whole spectrum C H W -> real maps 2C H W//2+1, parts of a channel side by side."""
    maps = []
    for channel in z:
        half = channel[:, : channel.shape[1] // 2 + 1]
        maps += [half.real, half.imag]
    return np.stack(maps)


def from_maps(maps, width):
    """The way back; column W-k is column k mirrored and conjugated."""
    channels, (height, columns) = len(maps) // 2, maps[0].shape
    z = np.zeros((channels, height, width), dtype=complex)
    for c in range(channels):
        half = maps[2 * c] + 1j * maps[2 * c + 1]
        for row in range(height):
            for column in range(width):
                if column < columns:
                    z[c, row, column] = half[row, column]
                else:
                    z[c, row, column] = half[-row % height, width - column].conjugate()
    return z


def change_frequencies(z, length, axis):
    """Crop or zero-pad one axis of a whole unitary spectrum by integer frequency."""
    old = np.moveaxis(z, axis, 0)
    new = np.zeros((length, *old.shape[1:]), dtype=complex)
    before, kept = len(old), min(len(old), length)
    for f in range(-kept, kept + 1):
        if 2 * abs(f) < kept:
            new[f % length] = old[f % before]
    if kept % 2 == 0:
        nyquist = kept // 2
        if length < before:
            new[nyquist] = old[nyquist] + old[-nyquist]
        elif length > before:
            new[nyquist] = new[-nyquist] = old[nyquist] / 2
        else:
            new[nyquist] = old[nyquist]
    return np.moveaxis(new, 0, axis) * math.sqrt(length / before)


def fourier_resize(x, size):
    """A real map C H W at another resolution, by way of its spectrum."""
    z = change_frequencies(change_frequencies(fourier(x), size[0], 1), size[1], 2)
    return inverse_fourier(z)


def cosine_resize(x, size):
    """The same by way of the DCT."""
    for axis, length in ((1, size[0]), (2, size[1])):
        rows = np.moveaxis(x, axis, 0)
        old, new = dct_matrix(len(rows)), dct_matrix(length)
        result = np.zeros((length, *rows.shape[1:]))
        for k in range(min(len(rows), length)):
            coefficient = sum(old[k, p] * rows[p] for p in range(len(rows)))
            for p in range(length):
                result[p] += new[k, p] * coefficient * math.sqrt(length / len(rows))
        x = np.moveaxis(result, 0, axis)
    return x


def grouped_conv(z, weight, groups, bias=None):
    """1 x 1; weight is (out, in / groups, 1, 1)."""
    outputs, inputs = weight.shape[0] // groups, weight.shape[1]
    result = []
    for o in range(weight.shape[0]):
        first = (o // outputs) * inputs
        y = sum(weight[o, i, 0, 0] * z[first + i] for i in range(inputs))
        result.append(y if bias is None else y + bias[o])
    return np.stack(result)


def batch_norm(z, norm):
    """With running statistics, as at test time."""
    weight, bias, mean, variance = norm
    return np.stack(
        [
            (m - mean[c]) / math.sqrt(variance[c] + EPS) * weight[c] + bias[c]
            for c, m in enumerate(z)
        ]
    )


def spectral_relu(z, w, b):
    """Equation 6."""
    result = np.zeros_like(z)
    for k in range(z.shape[0]):
        for i in range(z.shape[1]):
            for j in range(z.shape[2]):
                result[k, i, j] = max(w[i, j] * z[k, i, j] + b[i, j], 0)
    return result


def bottleneck(z, reduce, reduce_norm, w, b, expand, expand_norm, groups):
    """Figure 2 on real maps."""
    z = spectral_relu(batch_norm(grouped_conv(z, reduce, groups), reduce_norm), w, b)
    return batch_norm(grouped_conv(z, expand, groups), expand_norm)


def single(z, weight, bias, norm, w, b, groups):
    """The released code's phi; w = 1 and b = 0 make it a plain ReLU."""
    return spectral_relu(batch_norm(grouped_conv(z, weight, groups, bias), norm), w, b)


def srl_fft(x, size, alpha, phi):
    """Equation 1 with the spectral grid of a map of `size`; x may have another resolution."""
    here = x.shape[1:]
    z = change_frequencies(change_frequencies(fourier(x), size[0], 1), size[1], 2)
    y = inverse_fourier(from_maps(phi(to_maps(z)), size[1]))  # real: the spectrum is Hermitian now
    z = change_frequencies(change_frequencies(fourier(y), here[0], 1), here[1], 2)
    return x + alpha * inverse_fourier(z)


def srl_lo(x, p, q, alpha, phi):
    """Equations 2 and 3 with real orthogonal P and Q."""
    small = cosine_resize(x, (len(p), len(q)))
    y = phi(np.stack([p @ m @ q for m in small]))
    return x + alpha * cosine_resize(np.stack([p.T @ m @ q.T for m in y]), x.shape[1:])


def mix_frames(z, weight):
    """conv_t: z is T M H W, weight (T, T)."""
    return np.stack(
        [sum(weight[o, i] * z[i] for i in range(len(z))) for o in range(weight.shape[0])]
    )


def video_phi(z, ops, conv_c, norm_c, conv_t, norm_t, w, b, groups):
    """Figure 3 on the real maps of all frames, T M H W."""
    if "channel" in ops:
        z = [spectral_relu(batch_norm(grouped_conv(m, conv_c, groups), norm_c), w, b) for m in z]
    if "time" in ops:
        z = [batch_norm(m, norm_t) for m in mix_frames(z, conv_t)]
    if ops == "time":
        z = [spectral_relu(m, w, b) for m in z]
    return z


def srl_video_fft(x, alpha, phi):
    """x is C T H W; each frame is transformed by itself."""
    frames = range(x.shape[1])
    y = phi([to_maps(fourier(x[:, t])) for t in frames])
    back = [inverse_fourier(from_maps(y[t], x.shape[3])) for t in frames]
    return x + alpha * np.stack(back, axis=1)


def srl_video_lo(x, p, q, alpha, phi):
    """The same with P and Q."""
    frames = range(x.shape[1])
    y = phi([np.stack([p @ m @ q for m in x[:, t]]) for t in frames])
    back = [np.stack([p.T @ m @ q.T for m in y[t]]) for t in frames]
    return x + alpha * np.stack(back, axis=1)
