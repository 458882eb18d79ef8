"""The fixed bases by definitions that share nothing with the recursions in the package. Float64."""

import numpy as np


def dct(n):
    """Ahmed, Natarajan, Rao: cos(pi (2x + 1) k / 2n), normalised."""
    rows = np.array(
        [[np.cos(np.pi * (2 * x + 1) * k / (2 * n)) for x in range(n)] for k in range(n)]
    )
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def by_sign_changes(rows):
    changes = [sum(a * b < 0 for a, b in zip(row[:-1], row[1:], strict=True)) for row in rows]
    assert sorted(changes) == list(range(len(rows))), "each number of sign changes occurs once"
    return rows[np.argsort(changes)]


def walsh_hadamard(n):
    """(-1) to the number of ones that row and column share in binary; n = 2^k."""
    rows = np.array([[(-1.0) ** bin(i & j).count("1") for j in range(n)] for i in range(n)])
    return by_sign_changes(rows / np.sqrt(n))


def haar(n):
    """Mean of the left part minus mean of the right part, of every piece, larger pieces first."""
    rows, pieces = [np.ones(n)], [np.arange(n)]
    while pieces:
        piece, *pieces = pieces
        if len(piece) > 1:
            left, right = np.array_split(piece, 2)  # the left one longer by at most one
            row = np.zeros(n)
            row[left], row[right] = 1 / len(left), -1 / len(right)
            rows.append(row)
            pieces += [left, right]
    rows = np.array(rows)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def slant(n):
    """Pratt, Chen, Welch (1974): S_n = M diag(S_n/2, S_n/2) / sqrt 2, with M written out; n = 2^k."""
    if n == 1:
        return np.ones((1, 1))
    half = n // 2
    s = slant(half)
    if n == 2:
        return np.array([[1, 1], [1, -1]]) / np.sqrt(2)
    a = np.sqrt(3 * n**2 / (4 * (n**2 - 1)))
    b = np.sqrt((n**2 - 4) / (4 * (n**2 - 1)))
    left, right = np.zeros((n, half)), np.zeros((n, half))
    left[0, 0] = right[0, 0] = 1
    left[1, :2], right[1, :2] = (a, b), (-a, b)
    left[half, :2], right[half, :2] = (-b, a), (b, a)
    left[half + 1, 1], right[half + 1, 1] = 1, -1
    for i in range(2, half):
        left[i, i] = right[i, i] = 1
        left[half + i, i], right[half + i, i] = 1, -1
    return by_sign_changes(np.hstack((left @ s, right @ s)) / np.sqrt(2))


def with_dct(basis, n):
    """(2^k rows) kron (DCT of the odd rest), entry by entry."""
    power = 1
    while n % (2 * power) == 0:
        power *= 2
    odd = n // power
    a, b = basis(power), dct(odd)
    return np.array(
        [[a[i // odd, j // odd] * b[i % odd, j % odd] for j in range(n)] for i in range(n)]
    )


BASES = {
    "dct": dct,
    "wht": lambda n: with_dct(walsh_hadamard, n),
    "haar": haar,
    "slant": lambda n: with_dct(slant, n),
}
