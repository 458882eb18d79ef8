"""keypoint train hands each option of the config to the part that it is for."""

import logging

import pytest

from keypoint.commands import cli
from keypoint.commands.log import log_files
from keypoint.data.synthetic.demo_set import write_demo_set
from keypoint.errors import ConfigError
from tests.calling import command

CONFIG = """
data: {root: ROOT, workers: 0}
model: {encoder: resnet50, input_size: [64, 64], weights: none, encoder_stride: 8, dilated: true}
train: {recipe: hrnet, ohkm: 5, keypoint_weights: {nose: 1.5, left_ankle: 2}}
"""


class ReachedError(Exception):
    """The trainer would begin here."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_demo_set(folder, train_images=30, val_images=2, seed=1)
    return folder


@pytest.fixture
def begin(data, monkeypatch, tmp_path):
    """Runs keypoint train up to the trainer; gives what trainer and crop were made of."""
    train = command("train")
    (tmp_path / "own.yaml").write_text(CONFIG.replace("ROOT", str(data)))
    given = {}
    crop = train.PersonCrop

    def trainer(step, **options):
        given.update(options, step=step)
        raise ReachedError

    def person_crop(**options):
        given["crop"] = options
        return crop(**options)

    monkeypatch.setattr("keypoint.commands.training.Trainer", trainer)
    monkeypatch.setattr(train, "PersonCrop", person_crop)

    def run(*overrides):
        arguments = ["--cfg", str(tmp_path / "own.yaml"), f"output={tmp_path / 'out'}", *overrides]
        with pytest.raises(ReachedError):
            train.main(arguments)
        return given

    yield run, train, tmp_path
    for handler in list(logging.getLogger("keypoint").handlers):
        logging.getLogger("keypoint").removeHandler(handler)
        handler.close()
    logging.getLogger("keypoint").propagate = True


def held_lines():
    """Lines of the log file, which has not begun."""
    (file,) = log_files()
    return "".join(f"{file.format(record)}\n" for record in file.held)


def test_options_reach_their_part(begin):
    run, _, folder = begin
    given = run()
    crop, step = given["crop"], given["step"]
    loss, model = step.loss.keywords["heatmap_loss"], step.model
    assert crop["half_body_probability"] == 0.3
    assert crop["upper_body"] == tuple(range(11))
    assert (crop["scale"], crop["rotation"]) == (0.35, 45.0)
    assert loss.keywords["hardest"] == 5
    assert loss.keywords["keypoint_weights"].tolist() == [1.5, *[1.0] * 14, 2.0, 1.0]
    assert model.encoder_stride == 8
    assert model.deconv_sites == ("deconv1",)
    assert model.layer4[1].conv2.dilation == (4, 4)
    card = given["facts"]["config"]
    assert (card["train"]["recipe"], card["augment"]["scale"]) == ("hrnet", 0.35)
    log = held_lines()
    assert (
        "INFO keypoint: recipe hrnet, except train.ohkm=5 (none), "
        "train.keypoint_weights={'nose': 1.5, 'left_ankle': 2.0} (none)\n"
    ) in log
    assert "WARNING keypoint: 32 crops a step" in log
    assert "in the recipe hrnet 128 (32 x 4); train.lr=0.001 was chosen for those" in log


def test_the_recipes_step_is_not_a_warning(begin):
    run, _, folder = begin
    run("train.accumulate=4")
    log = held_lines()
    assert "INFO keypoint: 128 crops a step (train.batch_size 32 x 1 device x" in log
    assert "WARNING" not in log


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.ohkm=17", "train.ohkm=17 has no effect with 17 keypoints"),
        ("train.keypoint_weights.left_hand=2", "contains ['left_hand'], which"),
    ],
)
def test_what_does_not_fit_the_skeleton_ends_before_the_data_is_read(
    begin, override, words, capsys
):
    _, train, folder = begin
    arguments = ["--cfg", str(folder / "own.yaml"), f"output={folder / 'out'}", override]
    assert cli.run(train.main, [*arguments, "model.encoder_stride=32", "model.dilated=false"]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flag", "words"),
    [([], "--resume continues it"), (["--resume"], "no last.pt to resume from")],
)
def test_a_run_whose_last_checkpoint_was_deleted_is_not_overwritten(begin, flag, words):
    _, train, folder = begin
    (folder / "out").mkdir()
    (folder / "out" / "best.pt").write_bytes(b"the best of days")
    arguments = ["--cfg", str(folder / "own.yaml"), f"output={folder / 'out'}", *flag]
    with pytest.raises(ConfigError, match=words):
        train.main(arguments)
    assert (folder / "out" / "best.pt").read_bytes() == b"the best of days"
