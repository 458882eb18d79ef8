"""The fixed bases against other definitions of them, and the transform made of them."""

import copy

import numpy as np
import pytest
import torch

from keypoint.blocks import SRL
from keypoint.blocks.spectral.fixed import BASES, FixedOrthogonal
from tests.reference import bases as reference


@pytest.mark.parametrize("n", [*range(1, 17), 18, 24, 36, 48, 72, 96])
@pytest.mark.parametrize("basis", BASES)
def test_basis_equals_its_definition(basis, n):
    matrix = BASES[basis](n)
    assert matrix.dtype == torch.float64
    torch.testing.assert_close(
        matrix, torch.from_numpy(reference.BASES[basis](n)), rtol=0, atol=1e-13
    )
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(n).double(), rtol=0, atol=1e-13)


def test_slant_as_printed():
    five = 1 / np.sqrt(5)
    expected = np.array([
        [1, 1, 1, 1],
        [3 * five, five, -five, -3 * five],
        [1, -1, -1, 1],
        [five, -3 * five, 3 * five, -five],
    ]) / 2  # fmt: skip
    torch.testing.assert_close(BASES["slant"](4), torch.from_numpy(expected))
    steps = BASES["slant"](32)[1].diff()
    torch.testing.assert_close(steps, steps[:1].expand(31))
    assert steps[0] < 0


@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (6, 5), (8, 12)])
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_transform_is_p_x_q(basis, size, order):
    transform = FixedOrthogonal(size, basis=basis).double()
    x = torch.randn(2, 3, *size, dtype=torch.float64).contiguous(memory_format=order)
    z = transform(x)
    p, q = reference.BASES[basis](size[0]), reference.BASES[basis](size[1]).T
    for got, sample in zip(z.numpy(), x.numpy(), strict=True):
        np.testing.assert_allclose(got, [p @ channel @ q for channel in sample], atol=1e-13)
    torch.testing.assert_close(transform.inverse(z, size), x, rtol=0, atol=1e-13)
    assert z.is_contiguous(memory_format=order)


def test_built_on_meta_and_loaded_by_assignment():
    """A table that is not in the state dict cannot be assigned: it is made at the first call."""
    with torch.device("meta"):
        block = SRL(4, size=(4, 6), transform="dct", groups=1)
    other = SRL(4, size=(4, 6), transform="dct", groups=1)
    torch.nn.init.ones_(other.alpha)
    block.load_state_dict(other.state_dict(), assign=True)
    x = torch.randn(2, 4, 4, 6)
    assert torch.equal(block.eval()(x), other.eval()(x))


def test_tables_are_exact_in_every_dtype():
    transform = FixedOrthogonal((12, 10), basis="slant")
    assert not list(transform.parameters())
    assert not transform.state_dict()
    exact = BASES["slant"](12)
    for module, dtype in [
        (transform, torch.float32),
        (copy.deepcopy(transform).half(), torch.float32),
        (copy.deepcopy(transform).bfloat16(), torch.float32),
        (copy.deepcopy(transform).double(), torch.float64),
        (copy.deepcopy(transform).half().double(), torch.float64),
        (copy.deepcopy(transform).to("meta").to_empty(device="cpu"), torch.float32),
    ]:
        assert module.P.dtype == dtype
        assert torch.equal(module.P, exact.to(dtype))
