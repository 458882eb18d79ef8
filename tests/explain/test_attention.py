"""Rows against the whole N x N matrix on small maps, in float64, and against the block itself."""

import numpy as np
import pytest
import torch
from torch import nn

from keypoint.blocks import CGNL, PNL, RCCA, SRL, DoubleAttention, NonLocal, SRLVideo
from keypoint.explain import input_of, rows_at
from keypoint.explain.attention import added_share
from keypoint.explain.row import Row
from tests.reference import cgnl as reference_cgnl
from tests.reference import non_local, pnl, rcca
from tests.reference.double_attention import softmax

CHANNELS, SIZE, FRAMES = 8, (5, 7), 3
PAIRWISE = ("embedded_gaussian", "gaussian", "dot", "concatenation")


def opened(block, seed=0):
    """In float64, with random numbers for all that begins at 0."""
    torch.manual_seed(seed)
    for parameter in block.double().parameters():
        nn.init.normal_(parameter, 0.3, 0.5)
    return block.eval()


def clip_or_map(dims, channels=CHANNELS):
    generator = torch.Generator().manual_seed(1)
    size = (FRAMES, *SIZE) if dims == 3 else SIZE
    return torch.randn(1, channels, *size, generator=generator, dtype=torch.float64)


def places(dims):
    return [(0, 0), (4, 6), (2, 3)] if dims == 2 else [(0, 0, 0), (2, 4, 6), (1, 2, 3)]


def flat(x):
    return x[0].flatten(1).detach().numpy()


def conv(layer, x):
    weight = layer.weight.flatten(1).detach().numpy()
    return non_local.conv(x, weight, None if layer.bias is None else layer.bias.detach().numpy())


def before_last(block, layer, x):
    """What each call of the block's last convolution gets, (K, positions)."""
    seen = []
    handle = layer.register_forward_hook(lambda _, inputs, __: seen.append(flat(inputs[0])))
    with torch.no_grad():
        block(x)
    handle.remove()
    return seen


def number(at, size):
    return int(np.ravel_multi_index(at, size))


def matrix_of(operation, x, seen):
    """f(i, j) by the normaliser, (N, M): the reference's sums with one-hot values."""
    theta, phi = x, seen
    if operation.pairwise != "gaussian":
        theta, phi = conv(operation.theta, x), conv(operation.phi, seen)
    scale = len(theta) ** -0.5 if operation.scale else 1.0
    pair = None
    if operation.pairwise == "concatenation":
        pair = operation.pair.weight[0].detach().numpy()
    return non_local.attend(theta, phi, np.eye(seen.shape[1]), operation.pairwise, scale, pair).T


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("pairwise", PAIRWISE)
@pytest.mark.parametrize("pooled", [False, True])
def test_non_local(pairwise, dims, pooled):
    block = opened(NonLocal(CHANNELS, inner=3, dims=dims, pairwise=pairwise, subsample=1 + pooled))
    x = clip_or_map(dims)
    size = tuple(x.shape[2:])
    window = ((1, 2, 2) if dims == 3 else (2, 2)) if pooled else (1,) * dims
    matrix = matrix_of(block, flat(x), non_local.max_pool(flat(x), size, window))
    (response,) = before_last(block, block.out, x)
    for at in places(dims):
        (row,) = rows_at(block, x, at)
        i = number(at, size)
        assert row.weights.ravel() == pytest.approx(matrix[i], abs=1e-12)
        assert row.response == pytest.approx(response[:, i], abs=1e-12)
        assert row.kind == ("softmax" if pairwise.endswith("gaussian") else "signed")
        if row.kind == "softmax":
            assert row.weights.sum() == pytest.approx(1)
        assert row.weights.shape[0] == (FRAMES if dims == 3 else 1)
        assert row.step == ((2, 2) if pooled else (1, 1))


def test_non_local_that_pools_behind_its_convolutions():
    block = opened(NonLocal(CHANNELS, subsample=2, subsample_before=False, scale=False))
    x = clip_or_map(2)
    (response,) = before_last(block, block.out, x)
    phi = non_local.max_pool(conv(block.phi, flat(x)), SIZE, (2, 2))
    theta = conv(block.theta, flat(x))
    matrix = non_local.attend(theta, phi, np.eye(12), "embedded_gaussian").T
    (row,) = rows_at(block, x, (3, 1))
    assert row.weights.ravel() == pytest.approx(matrix[22], abs=1e-12)
    assert row.response == pytest.approx(response[:, 22], abs=1e-12)


@pytest.mark.parametrize("dims", [2, 3])
def test_double_attention(dims):
    block, x = opened(DoubleAttention(CHANNELS, inner=3, maps=4, dims=dims)), clip_or_map(dims)
    _, b, v = np.split(conv(block.a_b_v, flat(x)), [3, 7])
    matrix = np.array([softmax(shares) for shares in v.T]) @ [softmax(line) for line in b]
    (response,) = before_last(block, block.out, x)
    for at in places(dims):
        (row,) = rows_at(block, x, at)
        i = number(at, x.shape[2:])
        assert row.weights.ravel() == pytest.approx(matrix[i], abs=1e-12)
        assert row.weights.sum() == pytest.approx(1)
        assert row.response == pytest.approx(response[:, i], abs=1e-12)


@pytest.mark.parametrize("kernel", ["dot", "rbf"])
def test_cgnl(kernel):
    order = None if kernel == "dot" else 2
    block, x = opened(CGNL(CHANNELS, groups=2, kernel=kernel, order=order)), clip_or_map(2)
    theta, phi, _ = np.split(conv(block.theta_phi_g, flat(x)), 3)
    f = {"dot": reference_cgnl.dot, "rbf": lambda a, b: reference_cgnl.rbf(a, b, 2)}[kernel]
    (response,) = before_last(block, block.out, x)
    for at in places(2):
        (row,) = rows_at(block, x, at)
        i = number(at, SIZE)
        expected = [
            np.mean(
                [
                    f(theta[c, i], phi[d, j])
                    for group in (range(2), range(2, 4))
                    for c in group
                    for d in group
                ]
            )
            for j in range(35)
        ]
        assert row.weights.ravel() == pytest.approx(expected, abs=1e-12)
        assert row.response == pytest.approx(response[:, i], abs=1e-12)


@pytest.mark.parametrize("recurrence", [1, 2, 3])
def test_criss_cross(recurrence):
    block, x = opened(RCCA(CHANNELS, inner=4, key=2, recurrence=recurrence)), clip_or_map(2)
    passes = []
    block.attention.register_forward_hook(
        lambda _, inputs, output: passes.append((flat(inputs[0]), flat(output)))
    )
    with torch.no_grad():
        block(x)
    positions = [(i, j) for i in range(SIZE[0]) for j in range(SIZE[1])]
    matrices = []
    for h, _ in passes:
        query, key, value = np.split(conv(block.attention.query_key_value, h), [2, 4])
        matrix = np.zeros((35, 35))
        for i, place in enumerate(positions):
            for u in rcca.cross(*place, *SIZE):
                j = positions.index(u)
                matrix[i, j] = np.exp(query[:, i] @ key[:, j])
        matrices.append(matrix / matrix.sum(axis=1, keepdims=True))
    whole = np.linalg.multi_dot([np.eye(35), *matrices[::-1]])
    before, after = passes[-1]
    gamma = block.attention.gamma.item()
    block.attention._forward_hooks.clear()
    for at in places(2):
        rows = rows_at(block, x, at)
        i = number(at, SIZE)
        names = ["last pass"] if recurrence == 1 else ["last pass", f"{recurrence} passes"]
        assert [row.name for row in rows] == names
        assert rows[0].weights.ravel() == pytest.approx(matrices[-1][i], abs=1e-12)
        assert (rows[0].weights > 0).sum() == sum(SIZE) - 1
        assert rows[0].response * gamma == pytest.approx((after - before)[:, i], abs=1e-12)
        assert rows[-1].weights.ravel() == pytest.approx(whole[i], abs=1e-12)
        assert all(row.weights.sum() == pytest.approx(1) for row in rows)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("share", [False, True])
def test_pyramid(dims, share):
    block = opened(PNL(CHANNELS, dims=dims, scales=2, share=share))
    x = clip_or_map(dims)
    layers = {block.operation(k).out: None for k in range(2)}
    responses = [call for layer in layers for call in before_last(block, layer, x)]
    for at in places(dims):
        rows = rows_at(block, x, at)
        assert [row.name for row in rows] == ["scale 0", "scale 1"]
        for k, row in enumerate(rows):
            regions = pnl.pool(x[0].numpy()[4 * k : 4 * k + 4], k, "average")
            here = (
                *at[:-2],
                at[-2] * (SIZE[0] >> k) // SIZE[0],
                at[-1] * (SIZE[1] >> k) // SIZE[1],
            )
            i = number(here, regions.shape[1:])
            seen = regions.reshape(4, -1)
            assert row.weights.ravel() == pytest.approx(
                matrix_of(block.operation(k), seen, seen)[i], abs=1e-12
            )
            assert row.response == pytest.approx(responses[k][:, i], abs=1e-12)
            assert row.weights.shape[1:] == (SIZE[0] >> k, SIZE[1] >> k)


@pytest.mark.parametrize(
    ("block", "dims"),
    [
        (SRL(4, size=SIZE, groups=2), 2),
        (SRL(4, size=SIZE, transform="lo"), 2),
        (SRLVideo(4, frames=FRAMES, size=SIZE, groups=2), 3),
    ],
    ids=["fft", "lo", "video"],
)
def test_srl_by_finite_differences(block, dims):
    block, x = opened(block), clip_or_map(dims, channels=4)
    at = places(dims)[2]
    step = 1e-6
    change = step * torch.eye(x.numel(), dtype=torch.float64).reshape(-1, *x.shape[1:])

    def units(moved):
        with torch.no_grad():
            return (block(moved) - moved)[(slice(None), slice(None), *at)].sum(dim=1)

    slopes = (units(x + change) - units(x - change)) / (2 * step)
    expected = slopes.reshape(x.shape)[0].abs().mean(dim=0).numpy()
    (row,) = rows_at(block, x, at)
    assert row.kind == "gradient"
    assert row.weights.reshape(expected.shape) == pytest.approx(expected, rel=1e-4, abs=1e-8)
    nn.init.zeros_(block.alpha)
    (row,) = rows_at(block, x, at)
    assert not row.weights.any()
    assert np.isnan(row.entropy)


def test_a_block_that_has_each_frame_to_itself():
    block = opened(RCCA(CHANNELS, inner=4))
    x = torch.randn(3, CHANNELS, *SIZE, dtype=torch.float64)
    rows = rows_at(block, x, (2, 1, 4))
    for row, alone in zip(rows, rows_at(block, x[2:], (1, 4)), strict=True):
        assert np.array_equal(row.weights, alone.weights)
        assert (row.first_frame, row.map_size, row.at) == (2, (3, *SIZE), (2, 1, 4))
        assert np.array_equal(row.on_map()[2], alone.weights[0])
        assert not row.on_map()[:2].any()
        assert row.distance() == alone.distance()
    assert added_share(block, x, (2, 1, 4)) == added_share(block, x[2:], (1, 4)) > 0


def test_entropy_distance_and_boxes():
    weights = np.zeros((2, 2, 3))
    weights[0, 0, 0], weights[1, 1, 2] = 3, -1
    row = Row("", "signed", weights, (2, 3, 5), (0, 0, 0), (2, 2))
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25)) / np.log(12)
    assert row.entropy == pytest.approx(entropy)
    assert row.strongest(2) == [(0, 0, 0), (1, 1, 2)]
    # Regions of 2 x 2, cut at the border: middles (0.5, 0.5) and (2, 4).
    expected = 0.75 * np.hypot(0.5 * 4, 0.5 * 8) + 0.25 * np.hypot(2 * 4, 4 * 8)
    assert row.distance((3, 4, 8)) == pytest.approx((expected, 0.25 * 3))
    assert row.box((1, 1, 2)) == pytest.approx((0.8, 2 / 3, 1, 1))
    assert row.on_map()[0].tolist() == [[3, 3, 0, 0, 0], [3, 3, 0, 0, 0], [0] * 5]
    assert row.on_map()[1, 2].tolist() == [0, 0, 0, 0, -1]
    thirds = Row("", "softmax", np.arange(6.0).reshape(1, 2, 3), (1, 5, 7), (0, 0, 0), (2.5, 7 / 3))
    assert thirds.on_map()[0, :, 0].tolist() == [0, 0, 3, 3, 3]
    assert thirds.on_map()[0, 0].tolist() == [0, 0, 1, 1, 1, 2, 2]
    assert Row("", "softmax", np.ones((1, 1, 1)), (1, 5, 7), (0, 0, 0), (5, 7)).entropy == 0


def test_a_new_block_adds_nothing():
    x = clip_or_map(2).float()
    assert added_share(NonLocal(CHANNELS), x, (1, 1)) == 0


def test_the_input_of_a_block_in_a_network():
    net = nn.Sequential(nn.Conv2d(1, CHANNELS, 3), nn.ReLU(inplace=True), NonLocal(CHANNELS))
    image = torch.randn(1, 1, 9, 9)
    assert torch.equal(input_of(net, image, "2"), net[:2](image))
    assert torch.equal(input_of(net, image, "1"), net[0](image))  # before it writes into it
    assert net.training


def test_what_is_refused():
    x = clip_or_map(2)
    with pytest.raises(ValueError, match="Conv2d has no row; give one of the blocks NonLoc"):
        rows_at(nn.Conv2d(8, 8, 1), x, (0, 0))
    with pytest.raises(ValueError, match=r"is \(2, 8, 5, 7\); give 1 C H W or 1 C T H W"):
        rows_at(NonLocal(8), x.expand(2, -1, -1, -1), (0, 0))
    with pytest.raises(ValueError, match=r"at=\(5, 0\) must be \(row, column\) of a map of \(5, 7"):
        rows_at(NonLocal(8), x, (5, 0))
