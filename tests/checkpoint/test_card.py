"""The card: true of the checkpoint, no number without its conditions, safe to print and to share."""

import copy
import json
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from keypoint.checkpoint import provenance
from keypoint.checkpoint.card import (
    checkpoint_sections,
    count_persons,
    read_card,
    selected_on,
    to_markdown,
    trained_on,
)
from keypoint.checkpoint.content import check_content
from keypoint.checkpoint.file import load_model, read_checkpoint, save_checkpoint
from keypoint.data.coco import load_persons
from keypoint.errors import CheckpointError
from keypoint.models import create_model
from keypoint.pose.skeleton import load_skeleton
from keypoint.training.validation import Validation
from tests import tiny_coco, tiny_network
from tests.calling import tool as run
from tests.end_to_end.test_train import equal
from tests.reference import pose_resnet
from tests.training.test_resume import a_run

HELD = {"boxes": "ground truth", "flip": True, "input_size": [64, 64], "amp": None}
COUNTS = {"file": "train.json", "entries": 9, "used": 7, "images": 4}
NOT_MEASURED = {"note": "not measured; keypoint test measures these weights"}


def record(epoch, ap, **more):
    metrics = {"AP": ap, "AP_M": -1.0, "top1": 0.25, "name": "x"}
    return {"epoch": epoch, "loss": 0.1, "metrics": metrics, "conditions": HELD} | more


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The best.pt of a run of three epochs, from its second."""
    path = tiny_network.checkpoint(tmp_path_factory.mktemp("card") / "best.pt")
    content = read_checkpoint(path)
    content["config"]["output"] = "/home/anna/secret/demo"
    content["config"]["model"]["weights"] = "/home/anna/secret/begun.pt"
    content["config"]["train"] |= {"epochs": 3, "lr": 0.5}
    return content | {
        "epoch": 2,
        "batch": 0,
        "world_size": 4,
        "data": {"train": "0123", "test": "4567"},
        "versions": {"keypoint": "0.1.0", "torch": "2.6"},
        "best": {"epoch": 2, "metrics": {"AP": 0.5}},
        "history": [record(1, 0.25), record(2, 0.5)],
        "card": {"commit": "abc and changes", "data": {"train": COUNTS}, "changes": ["until then"]},
    }


def printed(path, capsys, *arguments):
    capsys.readouterr()
    assert run("info", "--checkpoint", path, *arguments) == 0
    return capsys.readouterr().out


def sha256(path):
    return subprocess.run(["sha256sum", path], capture_output=True, text=True).stdout.split()[0]


def test_a_trained_network(trained, tmp_path, capsys):
    save_checkpoint(tmp_path / "best.pt", trained)
    card = read_card(tmp_path / "best.pt")
    model = load_model(tmp_path / "best.pt").model
    assert card["file"]["sha256"] == sha256(tmp_path / "best.pt")
    network = card["network"]
    assert network["parameters"] == sum(p.numel() for p in model.parameters())
    assert (network["input_size"], network["color_order"]) == ([64, 64], "rgb")
    assert network["keypoints"] == list(load_skeleton("coco17").keypoints)
    assert network["oks_sigmas"] == list(load_skeleton("coco17").oks_sigmas)
    training = card["training"]
    assert training["weights"] == "as trained"
    assert training["epochs"] == "2 of 3"
    assert training["recipe"] == "paper, except train.lr=0.5 (0.001), train.epochs=3 (210)"
    assert training["settings"]["lr"] == 0.5
    assert (training["processes"], training["seed"], training["run"]) == (4, "0", "demo")
    assert training["initial_weights"] == "begun.pt"
    assert training["train_data"] == COUNTS | {"fingerprint": "0123"}
    assert training["test_data"] == {"fingerprint": "4567"}
    assert training["commit"] == "abc and changes"
    assert training["versions"] == trained["versions"]
    assert training["changed_at_resume"] == ["until then"]
    measured = card["measured"]
    assert measured["epoch"] == 2
    assert measured["metrics"] == {"AP": 0.5, "AP_M": None, "top1": 0.25}
    assert "it is not 0" in measured["note"]
    assert measured["conditions"] == HELD
    assert measured["selection"] == "the best of at least 2 evaluations on these same images"
    assert "best_epoch" not in card
    assert json.loads(printed(tmp_path / "best.pt", capsys, "--json")) == card
    text = printed(tmp_path / "best.pt", capsys)
    assert text.startswith("# Model card: best.pt\n\n## File\n\n* name: best.pt\n")
    assert "* metrics: AP 0.5, AP_M none, top1 0.25\n" in text
    assert "* input size: 64 x 64 (height x width)\n" in text
    assert "* licence: unknown" in text
    assert max(map(len, text.splitlines())) <= 100
    assert "anna" not in text


def test_how_the_weights_were_selected_holds_for_the_same_data_only(trained, tmp_path):
    save_checkpoint(tmp_path / "best.pt", trained)
    card = read_card(tmp_path / "best.pt")
    assert selected_on(card, "4567") == "the best of at least 2 evaluations on these same images"
    assert selected_on(card, "0123") is None
    assert selected_on({"weights": {}}, "4567") is None
    save_checkpoint(tmp_path / "last.pt", trained)
    assert selected_on(read_card(tmp_path / "last.pt"), "4567") is None


def test_a_test_on_the_training_data_is_a_limit(trained):
    text = "used its own training images, so their numbers say nothing about other images"

    def limits(**change):
        return checkpoint_sections(trained | change, "x")["use"]["limits"]

    same = {"train": "0123", "test": "0123"}
    assert text in limits(data=same)
    assert text not in limits()
    assert text not in limits(data=None)
    assert text not in limits(data={"train": "0123"})
    assert text not in limits(data=same, history=[], best=None)  # nothing was measured


def test_last_says_its_own_ap_and_that_of_the_best_epoch(trained):
    later = {"epoch": 3, "history": [*trained["history"], record(3, 0.375)]}
    later["history"][2]["conditions"] = HELD | {"flip": False}
    sections = checkpoint_sections(trained | later, "x")
    assert sections["measured"]["metrics"]["AP"] == 0.375
    assert sections["measured"]["conditions"]["flip"] is False
    assert "selection" not in sections["measured"]
    assert sections["best_epoch"]["epoch"] == 2
    assert sections["best_epoch"]["metrics"]["AP"] == 0.5
    assert sections["best_epoch"]["conditions"]["flip"] is True


@pytest.mark.parametrize(
    "change", [{"batch": 3}, {"epoch": 3}, {"history": [], "best": None}, {"history": None}]
)
def test_weights_that_were_not_evaluated_have_no_ap_of_another_epoch(trained, change):
    """Saved within an epoch, or after one that was not evaluated."""
    sections = checkpoint_sections(trained | change, "x")
    assert sections["measured"] == NOT_MEASURED
    if "batch" in change:
        assert sections["training"]["epochs"] == "2 of 3, and 3 batches of the next"


def test_what_the_first_checkpoints_lack_is_unknown(trained, tmp_path):
    """They had no card, and no conditions in the history."""
    older = copy.deepcopy({key: value for key, value in trained.items() if key != "card"})
    del older["history"][1]["conditions"]
    torch.save(older, tmp_path / "a.pt")
    card = read_card(tmp_path / "a.pt")
    assert card["measured"]["conditions"] == "unknown, so these numbers cannot be compared"
    assert card["training"]["commit"] == "unknown"
    assert card["training"]["train_data"] == {"fingerprint": "0123"}


def test_blocks_averaged_weights_and_sigmas(trained):
    content = copy.deepcopy(trained)
    blocks = {"deconv1": "srl_lo", "layer3": {"type": "nl"}}
    content["config"]["model"]["blocks"] = blocks
    content["skeleton"]["oks_sigmas"] = "uniform"
    sections = checkpoint_sections(content | {"ema": content["model"]}, "x")
    assert sections["network"]["blocks"] == blocks
    model = create_model("resnet18", input_size=(64, 64), blocks=blocks)
    assert sections["network"]["parameters"] == sum(p.numel() for p in model.parameters())
    assert sections["network"]["oks_sigmas"] == "uniform, not measured"
    assert sections["training"]["weights"] == "average over the training (ema)"


def test_imported_weights_are_of_unknown_training(tmp_path, capsys):
    official = tmp_path / "pose_resnet_18_96x64.pth.tar"
    torch.save(pose_resnet.simple_baseline(18), official)
    size = ["--input-size", 96, 64]
    assert run("import_weights", official, *size, "--output", tmp_path / "model.pt") == 0
    card = read_card(tmp_path / "model.pt")
    imported = card["training"]["imported"]
    assert imported["file"] == official.name
    assert imported["sha256"] == sha256(official)
    assert imported["format"] == "simple_baseline"
    assert "BGR" in str(imported["assumed"])
    assert card["measured"] == NOT_MEASURED
    text = printed(tmp_path / "model.pt", capsys)
    assert "* recipe: unknown: imported weights\n" in text
    assert str(tmp_path) not in text


def encoder_alone():
    state = create_model("resnet18", input_size=(64, 64)).state_dict()
    return {n: t for n, t in state.items() if not n.startswith(("deconv", "final"))}


OTHERS = {
    "pose.pth": (lambda: pose_resnet.simple_baseline(18), "a pose network", "simple_baseline", 17, "import-weights converts"),
    "encoder.safetensors": (encoder_alone, "an encoder", "resnet", None, "model.weights=FILE"),
    "other.pth": (lambda: {"a.weight": torch.zeros(3)}, "unknown", "resnet", None, "not usable here"),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_other_weights_are_recognised(tmp_path, capsys, name):
    state, kind, names, keypoints, next_step = OTHERS[name]
    path = tmp_path / name
    save = save_file if path.suffix == ".safetensors" else torch.save
    save({n: t.contiguous() for n, t in state().items()}, path)
    weights = read_card(path)["weights"]
    assert weights["content"] == f"{kind}, not a checkpoint of this toolkit"
    assert (weights["format"], weights["keypoints"]) == (names, keypoints)
    assert weights["numbers"] == sum(t.numel() for t in state().values())
    assert next_step in weights["next_step"]
    assert f"# Model card: {path.name}" in printed(path, capsys)


def test_other_files_are_an_error_and_no_traceback(tmp_path, capsys, trained):
    (tmp_path / "a.txt").write_text("hello")
    assert run("info", "--checkpoint", tmp_path / "a.txt") == 4
    assert run("info", "--checkpoint", tmp_path / "nowhere.pt") == 4
    save_checkpoint(tmp_path / "a.pt", trained | {"mean": None})
    assert run("info", "--checkpoint", tmp_path / "a.pt") == 4
    said = capsys.readouterr().err
    assert "a.pt: its color_order, mean or std is damaged; use another copy" in said
    assert "Traceback" not in said


# ---------------------------------------------------------------- files made to do harm


@pytest.mark.parametrize(
    "card", [3, {"commit": 3}, {"data": []}, {"data": {"train": 3}}, {"changes": "a"}, {"changes": [3]}, {"imported": 3}]
)  # fmt: skip
def test_a_damaged_card_is_refused(trained, tmp_path, card):
    save_checkpoint(tmp_path / "a.pt", trained | {"card": card})
    with pytest.raises(CheckpointError, match=r"a\.pt: its 'card' is damaged, a .* instead of"):
        read_card(tmp_path / "a.pt")


def laugh():
    """A list of 10^10 leaves, in a file of some kilobytes."""
    value = ["ha"] * 10
    for _ in range(9):
        value = [value] * 10
    return value


def endless():
    value = []
    value.append(value)
    return value


@pytest.mark.parametrize("made", [laugh, endless, lambda: "a" * 200_000_000, lambda: 2**2000])
@pytest.mark.parametrize("part", ["versions", "skeleton", "config", "card", "best", "history"])
def test_a_part_without_bounds_is_refused_at_once(trained, made, part):
    value = {"name": made()} if part != "history" else [record(2, 0.5, conditions=made())]
    with pytest.raises(CheckpointError, match=f"its '{part}' is damaged: nested too deeply, or mo"):
        check_content(Path("a.pt"), trained | {part: value})


def test_a_long_history_is_accepted(trained):
    long = [record(epoch, 0.5) for epoch in range(20_000)]
    check_content(Path("a.pt"), trained | {"history": long})


def test_a_note_of_other_weights_is_bounded_too(tmp_path):
    state = tiny_network.model().state_dict()
    colors = {"color_order": "rgb", "mean": [0.5] * 3, "std": [0.5] * 3}
    state._metadata["keypoint"] = colors | {"codec": laugh()}
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"a\.pth: its metadata is too deep or too large"):
        read_card(tmp_path / "a.pth")


def test_terminal_escapes_and_other_types_are_shown_as_text(trained, tmp_path, capsys):
    card = {"commit": "\x1b[2J", "data": {"train": {"a\x1b": "b\n* c: d"}}}
    versions = {"torch": torch.ones(1), "python": float("nan"), "\u202e": "x"}
    save_checkpoint(tmp_path / "a\x1b.pt", trained | {"card": card, "versions": versions})
    text = printed(tmp_path / "a\x1b.pt", capsys)
    assert text.replace("\n", "").isprintable()
    assert r"* commit: \\x1b\[2J" in text
    assert r"a\\x1b b \* c: d, fingerprint" in text
    assert r"torch (Tensor), python nan, \\u202e x" in text
    json.loads(printed(tmp_path / "a\x1b.pt", capsys, "--json"))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("<script>alert(1)</script>", r"\<script\>alert(1)\</script\>"),
        ("[a](javascript:b) ![c](d)", r"\[a\](javascript:b) !\[c\](d)"),
        ("a | b `c` **d** ~~e~~ &lt;", r"a \| b \`c\` \*\*d\*\* \~\~e\~\~ \&lt;"),
        ("# a\n\n## File\n\n---\n=== ___", r"\# a \## File \--- \=== \___"),
        ("a 1. b 2) + c - d", r"a \1. b 2) \+ c \- d"),
        ("2.6.0+cu124 left_ear a-b 1.5 train.lr=0.1 (1e-3)", None),
    ],
)
def test_what_a_file_says_is_no_markdown_of_ours(value, shown):
    text = to_markdown({"file": {"name": "x"}, "s": {"key": value, "keys": {value: 1}}})
    shown = value if shown is None else shown
    assert text.endswith(f"* key: {shown}\n* keys: {shown} 1")


def test_rows_become_bullets():
    rows = {
        "assumed": ["a, b", "c"],
        "input_size": [2, 3],
        "long": {"batch_size": 4, "k": "b" * 250},
    }
    text = to_markdown({"file": {"name": "x"}, "s": rows})
    assert text.endswith(
        "* assumed: a, b; c\n* input size: 2 x 3 (height x width)\n"
        f"* long:\n  * batch size: 4\n  * k:\n    {'b' * 250}"
    )


# ---------------------------------------------------------------- what is stored


def test_persons_are_counted(tmp_path):
    content = tiny_coco.content(4, 2)
    content["annotations"][0] |= {"iscrowd": 1}
    files = tiny_coco.write(tmp_path, content, "train2017")
    persons = load_persons(*files, load_skeleton("coco17"))
    assert trained_on("abc", train=count_persons(persons)) == {
        "commit": "abc",
        "changes": [],
        "data": {"train": {"file": files[0].name, "entries": 8, "used": 7, "images": 4}},
    }


def evaluated(folder):
    folder.mkdir()
    validation = Validation(lambda model, check_signal: ({"AP": 0.5}, HELD), "AP", every=1)
    made = a_run(folder, validation=validation)
    made.facts = made.facts | {"card": {"commit": "abc", "changes": []}, "versions": {"torch": "2"}}
    return made


def test_two_equal_runs_give_equal_files_and_each_ap_its_conditions(tmp_path):
    """A date would make them differ, as would a resumed run."""
    for name in ("a", "b"):
        evaluated(tmp_path / name).fit()
    for name in ("last.pt", "best.pt"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    history = torch.load(tmp_path / "a" / "last.pt", weights_only=True)["history"]
    assert [epoch["conditions"] for epoch in history] == [HELD, HELD]


def test_what_differed_before_a_resumption_is_kept(tmp_path):
    evaluated(tmp_path / "a").fit()
    last = tmp_path / "a" / "last.pt"
    same = evaluated(tmp_path / "same")
    same.resume(last)
    assert equal(same.facts["card"], torch.load(last, weights_only=True)["card"])

    other = evaluated(tmp_path / "b")
    other.facts |= {"data": {"train": "b"}, "versions": {"torch": "3"}}
    other.facts["card"]["commit"] = "def"
    other.resume(last, allow_changed=True, changes=["was trained with another config: x"])
    changes = other.facts["card"]["changes"]
    assert changes[0] == "until epoch 3, batch 0: was trained with another config: x"
    assert "was trained with other train persons (fingerprint a, now b)" in changes[1]
    assert changes[2] == "until epoch 3, batch 0: was trained by commit abc, torch 2"
    other.save("last.pt")
    third = evaluated(tmp_path / "c")
    third.facts |= {"data": {"train": "b"}, "versions": {"torch": "3"}}
    third.facts["card"]["commit"] = "def"
    third.resume(tmp_path / "b" / "last.pt")
    assert third.facts["card"]["changes"] == changes, "what is past is kept"


def test_the_commit_of_the_code_and_of_nothing_else(tmp_path):
    assert provenance.code_commit(tmp_path) == "unknown"
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    assert provenance.code_commit(tmp_path) == "unknown"  # no commit yet
    file = tmp_path / "code.py"
    file.write_text("1")
    subprocess.run([*git, "add", "code.py"], check=True)
    subprocess.run([*git, "commit", "-qm", "one"], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    assert provenance.code_commit(tmp_path) == commit.stdout.strip()
    file.write_text("2")
    assert provenance.code_commit(tmp_path) == f"{commit.stdout.strip()} and changes"
    # Installed in a virtual environment inside another project's checkout.
    inside = tmp_path / "venv" / "site-packages"
    inside.mkdir(parents=True)
    assert provenance.code_commit(inside) == "unknown"


def test_versions_and_device():
    versions = provenance.package_versions()
    assert versions["torch"] == torch.__version__.split("+")[0]
    assert provenance.device_name(torch.device("cpu")) == "cpu"
