"""Checkpoints and weights with random faults: refused by name, or read to exactly what was saved"""

import io
import json
import struct
import zipfile

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from keypoint.checkpoint.content import check_training
from keypoint.checkpoint.file import load_model, read_checkpoint, save_checkpoint
from keypoint.config.load import config_from_dict
from keypoint.models import create_model
from keypoint.models.weights.formats import read_weights
from keypoint.models.weights.load import load_weights_file
from keypoint.models.weights.read import read_tensors
from keypoint.pose.skeleton import load_skeleton
from tests.fuzz.mutate import DAMAGES, EXTREMES, MUTATIONS, damage, examples, mutate, refused
from tests.training.test_trainer import trainer

CONFIG = config_from_dict({"model": {"encoder": "resnet18", "input_size": [64, 64]}}, "test")
WEIGHTS = {
    "conv1.weight": torch.arange(54.0).reshape(2, 3, 3, 3),
    "bn1.num_batches_tracked": torch.tensor(3),
}
CONTENT = {
    "format": 1,
    "versions": {"keypoint": "1"},
    "model": WEIGHTS,
    "ema": None,
    "optimizer": {"state": {0: {"exp_avg": torch.ones(2, 3)}}, "param_groups": [{"lr": 0.1, "params": [0]}]},
    "scaler": {},
    "epoch": 3,
    "batch": 2,
    "step": 7,
    "loss_sum": 0.5,
    "world_size": 1,
    "batch_persons": 4,
    "losses": 3,
    "data": {"train": "0123", "test": "4567"},
    "random": {"cpu": torch.get_rng_state(), "cuda": None},
    "best": {"epoch": 2, "metrics": {"AP": 0.5}},
    "history": [{"epoch": 3, "loss": 0.5, "metrics": {"AP": 0.5}, "conditions": {"boxes": "ground truth"}}],
    "config": CONFIG.to_dict(),
    "skeleton": load_skeleton("coco17").to_dict(),
    "classes": None,
    "color_order": "rgb",
    "mean": [0.4, 0.5, 0.6],
    "std": [0.2, 0.2, 0.3],
    "card": {
        "commit": "0123", "data": {"train": {"used": 3}}, "changes": ["a"], "imported": {"file": "x.pth"},
    },
}  # fmt: skip


def saved(content, **options):
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def in_safetensors(header, data):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


WHOLE = saved(CONTENT)
OLDER = saved({"state_dict": WEIGHTS}, _use_new_zipfile_serialization=False)
HEADER = {
    "__metadata__": {"format": "pt"},
    "conv1.weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
    "conv1.bias": {"dtype": "I64", "shape": [2], "data_offsets": [24, 40]},
}
SAFE = in_safetensors(HEADER, bytes(range(40)))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz") / "a.pt"


def equal(one, other):
    if torch.is_tensor(one):
        return torch.is_tensor(other) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other


def with_pickle(data, damages):
    """A zip of torch.save whose pickle is damaged, with checksums that are right."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(made, "w") as new:
        for name in old.namelist():
            record = old.read(name)
            new.writestr(name, damage(record, damages) if name.endswith("data.pkl") else record)
    return made.getvalue()


@given(DAMAGES)
@examples(150, 5_000)
def test_damaged_bytes(file, damages):
    """The checksums see it, or it is in a byte that means nothing."""
    file.write_bytes(damage(WHOLE, damages))
    content = refused(read_checkpoint, file)
    assert content is None or equal(content, CONTENT)
    weights = refused(read_weights, file)
    assert weights is None or equal(dict(weights.state), WEIGHTS)


@given(DAMAGES, st.booleans())
@examples(150, 5_000)
def test_damaged_pickles(file, damages, older):
    """The older form has no checksums, and here those of the zip form are right: no crash."""
    file.write_bytes(damage(OLDER, damages) if older else with_pickle(WHOLE, damages))
    refused(read_checkpoint, file)
    refused(read_weights, file)


@given(MUTATIONS)
@examples(100, 5_000)
def test_parts_of_other_types(file, mutations):
    """Saved rightly, and wrong in itself."""
    file.write_bytes(saved(mutate(CONTENT, mutations)))
    content = refused(read_checkpoint, file)
    refused(read_weights, file)
    if content is not None:
        refused(lambda path: check_training(path, content), file)


@pytest.fixture(scope="module")
def network():
    """A whole network's checkpoint of few bytes: each tensor repeats one number."""
    state = create_model("resnet18", input_size=(64, 64)).state_dict()
    small = {name: torch.zeros((), dtype=t.dtype).expand(t.shape) for name, t in state.items()}
    return CONTENT | {"model": small}


@given(MUTATIONS, st.integers(0, 3))
@examples(12, 1_000)
def test_networks(file, network, mutations, part):
    """The result is a network or an error, whichever part is wrong."""
    key = ("config", "skeleton", "mean", "std")[part]
    save_checkpoint(file, network | {key: mutate(network[key], mutations)})
    restored = refused(load_model, file)
    assert restored is None or not restored.model.training


@given(MUTATIONS, st.integers(0, 5))
@examples(15, 1_000)
def test_weights_for_a_network(file, network, model, mutations, part):
    """Of our own form and of others': filled in whole, or an error."""
    key = ("config", "skeleton", "mean", "color_order", "ema", "model")[part]
    content = network | {key: mutate(network[key], mutations)} if part < 5 else network["model"]
    if part == 5:
        content = {"state_dict": mutate(content, mutations)}
    file.write_bytes(saved(content))
    report = refused(lambda path: load_weights_file(model, path, whole=True), file)
    assert report is None or not report.faults()


@pytest.fixture(scope="module")
def model():
    return create_model("resnet18", input_size=(64, 64))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A checkpoint that a training of a small network left, and a trainer to resume it."""
    folder = tmp_path_factory.mktemp("trained")
    trainer(folder, epochs=1, ema=0.9).fit()
    content = torch.load(folder / "last.pt")
    state = {key: {"momentum_buffer": torch.ones_like(t)} for key, t in enumerate(WEIGHTS.values())}
    content["optimizer"]["state"] = state
    return trainer(folder, epochs=2, ema=0.9), content


@given(MUTATIONS, st.integers(0, 7))
@examples(60, 5_000)
def test_resuming(file, trained, mutations, part):
    """Training resumes with what a mutation leaves alone, or is refused."""
    again, content = trained
    keys = ("optimizer", "random", "scaler", "model", "ema", "best", "history", "epoch")
    file.write_bytes(saved(content | {keys[part]: mutate(content[keys[part]], mutations)}))
    if refused(lambda path: again.resume(path) or again, file):
        assert again.at.step == content["step"]


@given(MUTATIONS, DAMAGES, st.integers(0, 2))
@examples(100, 5_000)
def test_safetensors(file, mutations, damages, kind):
    """Headers that say something else, and damaged bytes."""
    data = (
        damage(SAFE, damages)
        if kind == 0
        else in_safetensors(mutate(HEADER, mutations), SAFE[-40:])
    )
    file.write_bytes(data)
    tensors = refused(read_tensors, file)
    refused(read_weights, file)
    if tensors is not None:
        assert sum(t.numel() * t.element_size() for t in tensors.values()) <= len(data)


def test_extremes_can_be_saved():
    for value in EXTREMES:
        saved(value)
