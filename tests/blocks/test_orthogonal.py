"""P and Q stay orthogonal whatever loop trains the block, and every copy of it."""

import copy
import gc
import io
import pickle

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.func import functional_call
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from keypoint.blocks import SRL
from keypoint.blocks.spectral.orthogonal import LearnedOrthogonal, retracted, signed_qr

SIZE = (9, 7)


def block(retraction=None, size=SIZE, seed=0):
    torch.manual_seed(seed)
    srl = SRL(4, size=size, transform="lo", groups=1, retraction=retraction)
    nn.init.ones_(srl.alpha)  # open the gate, or P and Q have no gradient
    return srl


def error(module):
    """max |M M^T - I| over all P and Q of the module, in float64."""
    worst = 0.0
    for part in module.modules():
        if isinstance(part, LearnedOrthogonal):
            for m in (part.P.detach().double(), part.Q.detach().double()):
                worst = max(worst, (m @ m.T - torch.eye(len(m))).abs().max().item())
    return worst


def train(model, optimizer, steps, size=SIZE, seed=1):
    """A loop that knows nothing of the block."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        x = torch.randn(2, 4, *size, generator=generator)
        optimizer.zero_grad()
        (model(x) - x.flip(-1)).square().mean().backward()
        optimizer.step()


OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=1e-4),
    "adam": lambda p: torch.optim.Adam(p, lr=1e-3),
    "adamw": lambda p: torch.optim.AdamW(p, lr=1e-3, weight_decay=0.1),
}


@pytest.mark.parametrize(
    ("optimizer", "retraction"), [("sgd", "qr"), ("adam", "qr"), ("adamw", "qr"), ("adam", "polar")]
)
def test_orthogonal_after_300_steps(optimizer, retraction):
    srl = block(retraction)
    before = srl.transform.P.detach().clone()
    train(srl, OPTIMIZERS[optimizer](srl.parameters()), 300)
    assert (srl.transform.P - before).abs().max() > 0.02  # it learned
    assert error(srl) <= 1e-5


@pytest.mark.parametrize("retraction", ["qr", "polar"])
def test_a_small_step_moves_little(retraction):
    """Without the sign fix most columns flip."""
    srl = block(retraction)
    p, q = (torch.matrix_exp((m - m.T) / 2).detach() for m in srl.transform.parameters())
    srl.transform.load_state_dict({"P": p, "Q": q})  # rotations: LAPACK's Q has other signs
    train(srl, torch.optim.SGD(srl.parameters(), lr=1e-3), 1)
    assert 0 < (srl.transform.P - p).abs().max() < 0.01
    assert 0 < (srl.transform.Q - q).abs().max() < 0.01


def test_polar_is_the_nearest_orthogonal_matrix():
    """The polar factor A (A^T A)^-1/2, here by an eigendecomposition."""
    torch.manual_seed(0)
    a = torch.randn(6, 6, dtype=torch.float64)
    values, vectors = torch.linalg.eigh(a.T @ a)
    expected = a @ vectors @ (values**-0.5).diag() @ vectors.T
    torch.testing.assert_close(retracted(a, "polar"), expected)
    torch.testing.assert_close(retracted(a, "qr"), signed_qr(a))
    assert (signed_qr(a) - expected).norm() > 0.1


def test_qr_makes_the_diagonal_of_r_positive():
    torch.manual_seed(0)
    a = torch.randn(6, 6, dtype=torch.float64)
    q = signed_qr(a)
    r = q.T @ a
    assert (r.diagonal() > 0).all()
    torch.testing.assert_close(r, r.triu())
    assert (signed_qr(torch.zeros(3, 3)).abs().sum(0) == 1).all()  # 0 counts as +


def test_start_is_drawn_and_orthogonal():
    a, b = block(seed=0), block(seed=1)
    assert error(a) <= 1e-5
    assert not torch.equal(a.transform.P, b.transform.P)
    # Uniform over the orthogonal matrices: no entry, the diagonal neither, prefers a sign.
    torch.manual_seed(0)
    signs = torch.stack([LearnedOrthogonal((3, 3)).P.detach() for _ in range(400)]).sign().mean(0)
    assert signs.abs().max() < 0.2


def test_copies_stay_orthogonal_when_trained():
    srl = block()
    for other in (copy.deepcopy(srl), pickle.loads(pickle.dumps(srl))):
        train(other, torch.optim.SGD(other.parameters(), lr=0.5), 1)
        assert error(other) <= 1e-5
        assert not torch.equal(other.transform.P, srl.transform.P)


def test_only_the_stepping_optimizers_matrices_change():
    srl, other = block(), block(seed=1)
    with torch.no_grad():
        other.transform.P.add_(0.1)
    untouched = other.transform.P.detach().clone()
    train(srl, torch.optim.SGD(srl.parameters(), lr=0.5), 1)
    assert torch.equal(other.transform.P, untouched)


def an_average(steps=20):
    """Averaged weights of a training, before their first forward; and the network."""
    srl = block()
    average = AveragedModel(srl, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    optimizer = torch.optim.SGD(srl.parameters(), lr=0.5)
    for step in range(steps):
        train(srl, optimizer, 1, seed=step)
        average.update_parameters(srl)
    assert error(average) > 1e-4  # an average of orthogonal matrices is not one
    return average, srl


def test_average_of_weights_is_orthogonal_where_it_is_used():
    average, srl = an_average()
    average.eval()(torch.randn(1, 4, *SIZE))
    assert error(average) <= 1e-5
    assert error(srl) <= 1e-5


def loaded(state):
    other = block(seed=5)
    other.load_state_dict(state)
    return other


def mean_of(state, other):
    return {name: (value + other[name]) / 2 for name, value in state.items()}


SAVED = {
    "state dict": lambda average: average.module.state_dict(),
    "of the wrapper": lambda average: average.state_dict(),
    "of a copy": lambda average: copy.deepcopy(average).state_dict(),
    "a copy's own": lambda average: dict(copy.deepcopy(average).named_parameters()),
    "pickle": lambda average: dict(pickle.loads(pickle.dumps(average.module)).named_parameters()),
    "soup": lambda average: loaded(
        mean_of(average.module.state_dict(), block().state_dict())
    ).state_dict(),
}


@pytest.mark.parametrize("way", SAVED)
def test_every_saved_matrix_is_orthogonal(way):
    state = SAVED[way](an_average()[0])
    matrices = [value for name, value in state.items() if name.endswith((".P", ".Q"))]
    assert len(matrices) == 2
    for m in matrices:
        m = m.detach().double()
        assert (m.T @ m - torch.eye(len(m))).abs().max() <= 1e-6


@pytest.mark.parametrize("how", ["requires no gradient", "learning rate 0", "copied", "half of it"])
def test_a_frozen_block_stays_to_the_last_bit(how):
    srl = block()
    train(srl, torch.optim.SGD(srl.parameters(), lr=0.1), 2)
    frozen = [srl.transform.Q] if how == "half of it" else [srl.transform.P, srl.transform.Q]
    lr = 0.0 if how == "learning rate 0" else 0.1
    for matrix in frozen if lr else ():
        matrix.requires_grad_(False)
    if how == "copied":  # never looked at: a compiled network does not look
        srl = copy.deepcopy(srl)
        frozen = [srl.transform.P, srl.transform.Q]
    before, start = [matrix.clone() for matrix in frozen], srl.transform.P.detach().clone()
    optimizer = torch.optim.SGD(srl.parameters(), lr=lr)
    for parameter in srl.parameters():
        parameter.grad = torch.ones_like(parameter) if parameter.requires_grad else None
    optimizer.step()
    train(srl, optimizer, 10)
    assert all(map(torch.equal, before, frozen))
    assert torch.equal(start, srl.transform.P) == (how != "half of it")
    assert error(srl) <= 1e-6


def test_what_a_foreign_optimizer_wrote_is_retracted_in_the_next_forward():
    srl = block()
    with torch.no_grad():
        for parameter in srl.parameters():
            parameter.add_(0.1)  # no torch.optim here
    srl(torch.randn(1, 4, *SIZE))
    assert error(srl) <= 1e-5


def test_a_copy_forgets_what_was_looked_at():
    """Else a copy whose version counter reaches the original's is believed orthogonal."""
    srl = block()
    train(srl, torch.optim.SGD(srl.parameters(), lr=0.1), 3)
    srl(torch.randn(1, 4, *SIZE))
    for writes in range(1, 2 * srl.transform.P._version):
        other = copy.deepcopy(srl)
        with torch.no_grad():
            for _ in range(writes):
                other.transform.P.add_(0.1)
                other.transform.Q.add_(0.1)
        other(torch.randn(1, 4, *SIZE))
        assert error(other) <= 1e-5


def test_a_loaded_checkpoint_is_kept_to_the_last_bit():
    srl = block()
    train(srl, torch.optim.SGD(srl.parameters(), lr=0.1), 5)
    file = io.BytesIO()
    torch.save(srl.state_dict(), file)
    for assign in (False, True):
        file.seek(0)
        other = block(seed=3)
        other.load_state_dict(torch.load(file, weights_only=True), assign=assign)
        other.eval()(torch.randn(1, 4, *SIZE))
        assert torch.equal(other.transform.P, srl.transform.P)
        assert torch.equal(other.transform.Q, srl.transform.Q)
        train(other, torch.optim.SGD(other.parameters(), lr=0.5), 1)
        assert error(other) <= 1e-5


def test_gradient_accumulation_leaves_the_matrices_between_steps():
    srl = block()
    before = srl.transform.P.detach().clone()
    for _ in range(3):
        srl(torch.randn(2, 4, *SIZE)).square().mean().backward()
    assert torch.equal(srl.transform.P, before)


def test_grad_scaler():
    srl = block()
    optimizer = torch.optim.SGD(srl.parameters(), lr=0.5)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    before = srl.transform.P.detach().clone()
    for poison, moved in ((float("inf"), False), (1.0, True)):
        optimizer.zero_grad()
        scaler.scale((srl(torch.randn(2, 4, *SIZE)) * poison).square().mean()).backward()
        scaler.step(optimizer)
        scaler.update()
        assert torch.equal(srl.transform.P, before) != moved
        assert error(srl) <= 1e-5


def test_compiled_training_stays_orthogonal():
    torch.compiler.reset()
    srl = block()
    compiled = torch.compile(srl, fullgraph=True, backend="aot_eager")
    train(compiled, torch.optim.Adam(srl.parameters(), lr=1e-2), 5)
    assert error(srl) <= 1e-5


def test_half_precision_models_keep_float32_matrices():
    for convert in (nn.Module.half, nn.Module.bfloat16, lambda m: m.to(torch.float16)):
        srl = convert(block())
        assert srl.transform.P.dtype == srl.transform.Q.dtype == torch.float32
        assert srl.phi.reduce.weight.dtype != torch.float32
        assert error(srl) <= 1e-5
    assert block().double().transform.P.dtype == torch.float64
    assert block().to("meta").transform.P.is_meta


def test_stand_ins_are_not_written_to():
    srl = block()
    p = srl.transform.P.detach() + 0.1
    kept = p.clone()
    functional_call(srl, {"transform.P": p}, torch.randn(1, 4, *SIZE))
    assert torch.equal(p, kept)


@pytest.mark.parametrize("retraction", ["qr", "polar"])
def test_a_step_inside_autocast(retraction):
    srl = block(retraction)
    with torch.autocast("cpu", torch.bfloat16):
        train(srl, torch.optim.SGD(srl.parameters(), lr=0.1), 1)
    assert error(srl) <= 1e-6


def test_built_under_inference_mode():
    with torch.inference_mode():
        srl = block().eval()
        x = torch.randn(1, 4, *SIZE)
        assert torch.equal(srl(x), srl(x))


@pytest.mark.parametrize("retraction", ["qr", "polar"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 0.0])
def test_refuses_what_is_not_finite_or_zero(retraction, bad):
    srl = block(retraction)
    optimizer = torch.optim.SGD(srl.parameters(), lr=1.0)
    q = srl.transform.Q
    q.grad = q.detach().clone() if bad == 0 else torch.full_like(q, bad)
    with pytest.raises(ArithmeticError, match="lower the learning rate"):
        optimizer.step()
    with torch.no_grad():
        q.fill_(bad)
    what = "zero" if bad == 0 else "non-finite"
    with pytest.raises(ArithmeticError, match=f"7 x 7 orthogonal matrix .* became {what}"):
        srl(torch.randn(1, 4, *SIZE))
    assert srl.state_dict()["transform.Q"].allclose(torch.tensor(bad), equal_nan=True)


def test_dropped_blocks_are_forgotten():
    from keypoint.blocks.spectral import orthogonal

    gc.collect()
    before = len(orthogonal._alive)
    srl = block()
    assert len(orthogonal._alive) == before + 1
    del srl
    gc.collect()
    assert len(orthogonal._alive) == before


def _train_on_one_of_two(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    srl = block(seed=rank)  # DDP sends rank 0's numbers to all
    model = DistributedDataParallel(srl)
    train(model, torch.optim.Adam(model.parameters(), lr=1e-2), 5, seed=10 + rank)
    torch.save((error(srl), srl.state_dict()), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_agree(tmp_path):
    mp.spawn(_train_on_one_of_two, args=(str(tmp_path),), nprocs=2)
    (error_0, state_0), (error_1, state_1) = (torch.load(tmp_path / f"{r}.pt") for r in range(2))
    assert max(error_0, error_1) <= 1e-5
    for name in ("transform.P", "transform.Q", "phi.reduce.weight"):
        assert torch.equal(state_0[name], state_1[name])


def test_matrices_are_contiguous():
    """For LBFGS, parameters_to_vector and safetensors."""
    module = SRL(4, size=(5, 4), transform="lo", groups=1)
    assert all(parameter.is_contiguous() for parameter in module.parameters())
    nn.utils.parameters_to_vector(module.parameters())
