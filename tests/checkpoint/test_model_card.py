"""The model card: true of the checkpoint, no AP without what it holds for, nothing of the machine."""

import copy
import json
import subprocess

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from keypoint.checkpoint.file import load_model, read_checkpoint, save_checkpoint
from keypoint.checkpoint.model_card import (
    CONDITIONS,
    measured_under,
    model_card,
    read_card,
    trained_on,
)
from keypoint.data.coco import load_persons
from keypoint.errors import CheckpointError
from keypoint.evaluation.coco import METRICS
from keypoint.models import create_model
from keypoint.pose.skeleton import load_skeleton
from tests import tiny_coco, tiny_network
from tests.commands.test_import_weights import run
from tests.end_to_end.test_train import equal
from tests.reference import pose_resnet
from tests.training.test_resume import a_run

HELD = dict.fromkeys(CONDITIONS, "x") | {"boxes": "ground truth", "flip": True, "amp": None}
COUNTS = {"file": "train.json", "entries": 9, "used": 7, "images": 4}


def record(epoch, ap, **more):
    metrics = dict.fromkeys(METRICS, 0.25) | {"AP": ap, "AP_M": -1.0}
    return {"epoch": epoch, "loss": 0.1, "metrics": metrics, "conditions": HELD} | more


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """What a run of three epochs would have in its best.pt, the second epoch's."""
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
    assert run("info", path, *arguments) == 0
    return capsys.readouterr().out


def test_a_trained_network(trained, tmp_path, capsys):
    save_checkpoint(tmp_path / "best.pt", trained)
    card = read_card(tmp_path / "best.pt")
    model = load_model(tmp_path / "best.pt").model
    told = subprocess.run(["sha256sum", tmp_path / "best.pt"], capture_output=True, text=True).stdout  # fmt: skip
    assert card["file"]["sha256"] == told.split()[0]
    assert card["network"]["parameters"] == sum(p.numel() for p in model.parameters())
    assert card["network"]["input"] == "64 x 64 (height x width), RGB"
    assert card["network"]["weights"] == "as trained"
    assert card["skeleton"]["keypoints"][0] == "nose"
    assert card["skeleton"]["oks_sigmas"] == "those of coco17, built in"
    training = card["training"]
    assert training["epochs"] == "2 of 3"
    assert training["recipe"] == "paper, but for train.lr=0.5 (0.001), train.epochs=3 (210)"
    assert training["settings"]["lr"] == 0.5
    assert (training["processes"], training["seed"], training["run"]) == (4, "0", "demo")
    assert training["began_with"] == "begun.pt"
    assert training["train_data"] == COUNTS | {"fingerprint": "0123"}
    assert training["test_data"] == {"fingerprint": "4567"}
    assert training["commit"] == "abc and changes"
    assert training["versions"] == trained["versions"]
    assert training["changed_on_the_way"] == ["until then"]
    measured = card["measured"]
    assert measured["AP_of_these_weights"] == {"epoch": 2} | dict.fromkeys(METRICS, 0.25) | {"AP": 0.5, "AP_M": None}  # fmt: skip
    assert measured["conditions_of_these_weights"] == HELD
    assert measured["chosen"] == "as the best of 2 evaluations on these same images"
    assert "AP_best_of_the_run" not in measured
    assert json.loads(printed(tmp_path / "best.pt", capsys, "--json")) == card
    text = printed(tmp_path / "best.pt", capsys)
    assert text.startswith("# Model card: best.pt\n\n## File\n\n* name: best.pt\n")
    assert "* AP of these weights: epoch 2, AP 0.5, AP50 0.25, AP75 0.25, AP_M none, AP_L" in text
    assert "* licence: of the weights: unknown" in text
    assert max(map(len, text.splitlines())) <= 100
    assert "anna" not in text, "the folders of a machine are nobody's business"


def test_last_says_its_own_ap_and_the_best_beside_it(trained):
    later = {"epoch": 3, "history": [*trained["history"], record(3, 0.375)]}
    measured = model_card(trained | later, "x")["measured"]
    assert measured["AP_of_these_weights"]["AP"] == 0.375
    assert measured["AP_best_of_the_run"]["epoch"] == 2
    assert measured["conditions_best_of_the_run"] == "as above"
    assert "chosen" not in measured
    later["history"][2] = record(3, 0.375, conditions=HELD | {"flip": False})
    measured = model_card(trained | later, "x")["measured"]
    assert measured["conditions_of_these_weights"]["flip"] is False
    assert measured["conditions_best_of_the_run"]["flip"] is True


@pytest.mark.parametrize(
    "change", [{"batch": 3}, {"epoch": 3}, {"history": [], "best": None}, {"history": None}]
)
def test_weights_that_were_not_evaluated_have_no_ap_of_another_epoch(trained, change):
    """Saved within an epoch, or after one that was not evaluated."""
    assert model_card(trained | change, "x")["measured"]["AP_of_these_weights"] == "not measured"
    if "batch" in change:
        epochs = model_card(trained | change, "x")["training"]["epochs"]
        assert epochs == "2 of 3, and 3 batches of the next"


def test_there_is_no_ap_without_what_it_holds_for(trained):
    older = copy.deepcopy(trained["history"])
    del older[1]["conditions"]
    measured = model_card(trained | {"history": older}, "x")["measured"]
    assert measured["conditions_of_these_weights"] == "not stored: to be compared with nothing"


def test_a_file_from_before_there_were_cards(trained, tmp_path):
    torch.save({key: value for key, value in trained.items() if key != "card"}, tmp_path / "a.pt")
    card = read_card(tmp_path / "a.pt")
    assert (card["training"]["commit"], card["training"]["train_data"]) == ("unknown", {"fingerprint": "0123"})  # fmt: skip
    assert load_model(tmp_path / "a.pt").epoch == 2


def test_blocks_and_averaged_weights_are_told(trained):
    content = copy.deepcopy(trained)
    content["config"]["model"]["blocks"] = {"deconv1": "srl_lo", "layer3": {"type": "nl"}}
    network = model_card(content | {"ema": content["model"]}, "x")["network"]
    assert network["blocks"] == {"layer3": {"type": "nl"}, "deconv1": "srl_lo"}
    assert network["weights"] == "the average over training (ema)"
    model = create_model("resnet18", input_size=(64, 64), blocks={"deconv1": "srl_lo", "layer3": {"type": "nl"}})  # fmt: skip
    assert network["parameters"] == sum(p.numel() for p in model.parameters())


def test_sigmas_that_nobody_measured(trained):
    content = copy.deepcopy(trained)
    content["skeleton"]["oks_sigmas"] = "uniform"
    assert model_card(content, "x")["skeleton"]["oks_sigmas"].startswith("uniform 0.067, as nobody")
    content["skeleton"]["oks_sigmas"] = [0.1] * 17
    assert model_card(content, "x")["skeleton"]["oks_sigmas"] == "of a skeleton file of its own"


def test_imported_weights_are_of_unknown_training(tmp_path, capsys):
    official = tmp_path / "pose_resnet_18_96x64.pth.tar"
    torch.save(pose_resnet.simple_baseline(18), official)
    size = ["--input-size", 96, 64]
    assert run("import_weights", official, *size, "--output", tmp_path / "model.pt") == 0
    card = read_card(tmp_path / "model.pt")
    told = subprocess.run(["sha256sum", official], capture_output=True, text=True).stdout
    assert card["training"]["training"] == "unknown: imported"
    assert card["training"]["imported_file"] == official.name
    assert card["training"]["sha256"] == told.split()[0]
    assert card["training"]["format"] == "simple_baseline"
    assumed = " ".join(card["training"]["assumed"])
    assert "colour order BGR" in assumed
    assert "codec" in assumed
    assert "input size 96 x 64 as given, the file does not say" in assumed
    assert card["measured"] == {"AP": "unknown: nothing was measured here; keypoint test measures it"}  # fmt: skip
    text = printed(tmp_path / "model.pt", capsys)
    assert str(tmp_path) not in text
    assert "recipe" not in text, "the recipe is the default config's, not the weights'"


def encoder_alone():
    return create_model("resnet18", input_size=(64, 64)).state_dict().items()


OTHERS = {
    "pose.pth": (lambda: pose_resnet.simple_baseline(18), "a pose network", "as of simple_baseline", "import_weights.py makes a"),
    "encoder.pth": (lambda: {n: t for n, t in encoder_alone() if not n.startswith(("deconv", "final"))}, "an encoder alone", "as of resnet", "model.weights=FILE"),
    "other.pth": (lambda: {"a.weight": torch.zeros(3)}, "nothing of ours", "as of resnet", "nothing here can use it"),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("safe", [False, True])
def test_others_weights_are_told_by_what_they_are(tmp_path, capsys, name, safe):
    state, kind, names, what_next = OTHERS[name]
    path = tmp_path / (f"{name}.safetensors" if safe else name)
    if safe:
        save_file({n: t.contiguous() for n, t in state().items()}, path)
    else:
        torch.save(state(), path)
    card = read_card(path)
    assert card["weights"]["kind"] == f"weights, no checkpoint of this toolkit: {kind}"
    assert card["weights"]["names"] == names
    assert what_next in card["weights"]["next"]
    assert card["weights"]["numbers"] == sum(np.prod(t.shape) for t in state().values())
    assert card["weights"]["keypoints"] == (17 if kind == "a pose network" else None)
    text = printed(path, capsys)
    assert f"# Model card: {path.name}" in text
    assert json.loads(printed(path, capsys, "--json")) == card


def test_what_is_no_weights_at_all_is_an_error_and_no_traceback(tmp_path, capsys, trained):
    (tmp_path / "a.txt").write_text("hello")
    assert run("info", tmp_path / "a.txt") == 4
    assert run("info", tmp_path / "nowhere.pt") == 4
    save_checkpoint(tmp_path / "a.pt", trained | {"mean": None})
    assert run("info", tmp_path / "a.pt") == 4
    said = capsys.readouterr().err
    assert "a.pt: its color_order, mean or std is damaged; use another copy" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    "card", [3, {"commit": 3}, {"data": []}, {"data": {"train": 3}}, {"changes": "a"}, {"changes": [3]}, {"imported": 3}]
)  # fmt: skip
def test_a_damaged_card_is_refused(trained, tmp_path, card):
    save_checkpoint(tmp_path / "a.pt", trained | {"card": card})
    with pytest.raises(CheckpointError, match=r"a\.pt: its 'card' is damaged, a .* in place of"):
        read_card(tmp_path / "a.pt")


def test_what_would_move_the_terminal_is_shown_with_its_escapes(trained, tmp_path, capsys):
    evil = trained | {"card": {"commit": "\x1b[2J", "data": {"train": {"a\x1b": "b\nc"}}}}
    save_checkpoint(tmp_path / "a.pt", evil | {"versions": {"torch": torch.ones(1)}})
    text = printed(tmp_path / "a.pt", capsys)
    assert "\x1b" not in text
    assert "* commit: '\\x1b[2J'" in text
    json.loads(printed(tmp_path / "a.pt", capsys, "--json"))


# ---------------------------------------------------------------- what is stored


def test_persons_are_counted(tmp_path):
    content = tiny_coco.content(4, 2)
    content["annotations"][0] |= {"iscrowd": 1}
    files = tiny_coco.write(tmp_path, content, "train2017")
    persons = load_persons(*files, load_skeleton("coco17"))
    stored = trained_on("abc", train=persons)
    assert stored == {
        "commit": "abc",
        "changes": [],
        "data": {"train": {"file": files[0].name, "entries": 8, "used": 7, "images": 4}},
    }


def test_of_conditions_what_is_stored_names_no_folder():
    persons = {"total": 9, "used": 7, "skipped": {"crowd": 2}, "source": "/a/b", "listed": [1] * 99}
    given = dict.fromkeys(CONDITIONS, 1) | {"boxes_file": "/home/a.json", "annotations": "/b.json"}
    stored = measured_under(given | {"persons": persons, "results": {}}, "bf16")
    assert (stored["boxes_file"], stored["annotations"], stored["amp"]) == ("a.json", "b.json", "bf16")  # fmt: skip
    assert stored["persons"] == {"total": 9, "used": 7}
    assert stored.keys() == {*CONDITIONS, "persons", "amp"}


def evaluated(folder, **options):
    folder.mkdir()
    made = a_run(folder, evaluate=lambda model: ({"AP": 0.5}, HELD), evaluate_every=1, **options)
    made.card = made.card | {"card": {"commit": "abc", "changes": []}, "versions": {"torch": "2"}}
    return made


def test_two_equal_runs_give_equal_files_and_each_ap_what_it_holds_for(tmp_path):
    """A date in it would tell them apart, and a resumed run from one that was never stopped."""
    for name in ("a", "b"):
        evaluated(tmp_path / name).fit()
    for name in ("last.pt", "best.pt"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    history = torch.load(tmp_path / "a" / "last.pt", weights_only=True)["history"]
    assert [epoch["conditions"] for epoch in history] == [HELD, HELD]


def test_what_was_another_before_a_resumption_is_kept(tmp_path):
    evaluated(tmp_path / "a").fit()
    last = tmp_path / "a" / "last.pt"
    same = evaluated(tmp_path / "same")
    same.resume(last)
    assert equal(same.card["card"], torch.load(last, weights_only=True)["card"])

    other = evaluated(tmp_path / "b")
    other.card |= {"data": {"train": "b"}, "versions": {"torch": "3"}}
    other.card["card"]["commit"] = "def"
    other.resume(last, allow_changed=True, changes=["was trained with another config: x"])
    changes = other.card["card"]["changes"]
    assert changes[0] == "until epoch 3, batch 0: was trained with another config: x"
    assert "was trained with other train persons (fingerprint a, now b)" in changes[1]
    assert changes[2] == "until epoch 3, batch 0: was trained by commit abc, torch 2"
    other.save("last.pt")
    third = evaluated(tmp_path / "c")
    third.card |= {"data": {"train": "b"}, "versions": {"torch": "3"}}
    third.card["card"]["commit"] = "def"
    third.resume(tmp_path / "b" / "last.pt")
    assert third.card["card"]["changes"] == changes, "what is past stays told"
