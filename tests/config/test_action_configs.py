"""The configs of action recognition: each builds the network that its table's row counts."""

import re

import pytest
import torch
import yaml

from keypoint.action.config import ActionConfig, load_action_config
from keypoint.action.networks.build import create_model
from keypoint.config.load import CONFIG_FOLDER, find_config, task_of
from tests.test_readme import REPOSITORY

CLASSES = {"kinetics": 400, "mini_kinetics": 200, "ucf101": 101}
# Parameters of the networks, by config. Those in the papers' tables are integers of their own
# (tests/action/networks/test_tables.py); the others differ from one in the width of the blocks.
PARAMETERS = {
    "kinetics": {
        "c2d_res18": 11_381_712,
        "c2d_res18_nl4": 11_710_928,
        "c2d_res18_srl_lo4": 11_474_612,
        "c2d_res18_srl_fft4": 11_471_972,
        "c2d_res18_srl_fft1": 11_416_769,
        "c2d_res18_srl_fft2": 11_426_842,
        "c2d_res18_srl_fft1_channel": 11_416_769 - 4**2 - 2 * 512,  # no conv_t, one norm less
        "c2d_res18_srl_fft1_time": 11_416_769 - 512**2 // 8 - 2 * 512,
        "c2d_res50": 24_327_632,
        "c2d_res50_srl_fft5": 24_327_632 + 1_870_213,
        "c2d_res50_srl_fft5_ungrouped": 24_327_632 + 14_715_269,
    },
    "mini_kinetics": {
        "mfnet": 7_842_568,
        "mfnet_pnl1": 7_920_352,
        "mfnet_pnl1_gaussian": 7_920_352 - 4 * 2 * (96 * 48 + 48),  # no theta and phi
        "mfnet_pnl1_dot": 7_920_352,
        "mfnet_pnl1_concatenation": 7_920_352 + 4 * 2 * 48,  # w on pairs
        "mfnet_pnl1_n2_conv2": 7_852_804,
        "mfnet_pnl1_n2_conv3": 7_882_624,
        "mfnet_pnl1_n2_conv4": 8_001_016,
        "mfnet_pnl1_n2_conv5": 8_472_808,
        "mfnet_pnl1_no_attention": 7_918_024,
        "mfnet_pnl1_n3": 7_946_728,
        "mfnet_nl1": 8_139_208,
        "mfnet_pnl5": 8_115_688,
    },
    "ucf101": {
        "c2d_res50_ucf": 23_714_981,
        "c2d_res50_ucf_nl1": 25_816_741,
        "c2d_res50_ucf_cgnl1": 25_355_429,
        "c2d_res50_ucf_pnl1": 24_260_325,
    },
}
EXPERIMENTS = [(folder, name) for folder, names in PARAMETERS.items() for name in names]


def pnl(channels, scales):
    """Parameters of a PNL block with an operation for each scale and q, k of an eighth."""
    c = channels // scales
    operation = 3 * (c * c // 2 + c // 2) + (c // 2 * c + c) + 2 * c
    return scales * operation + 2 * (c * (c // 8) + c // 8)


def test_parameters_of_pnl_in_closed_form():
    found = PARAMETERS["mini_kinetics"]
    for name, channels, scales in (
        ("", 384, 4), ("_n3", 384, 3), ("_n2_conv2", 96, 2), ("_n2_conv3", 192, 2),
        ("_n2_conv4", 384, 2), ("_n2_conv5", 768, 2),
    ):  # fmt: skip
        assert found[f"mfnet_pnl1{name}"] == found["mfnet"] + pnl(channels, scales), name


def test_these_are_all_experiments_and_their_names_are_one_configs():
    for folder, names in PARAMETERS.items():
        assert {path.stem for path in (CONFIG_FOLDER / folder).glob("*.yaml")} == set(names)
    for path in CONFIG_FOLDER.rglob("*.yaml"):
        assert find_config(path.stem) == path  # another file of this name would be an error


@pytest.mark.parametrize(("folder", "name"), EXPERIMENTS, ids=[name for _, name in EXPERIMENTS])
def test_a_config_builds_the_network_of_its_row(folder, name):
    path = find_config(name)
    assert task_of(path) == "action"
    config = load_action_config(path)
    with torch.device("meta"):
        keys = config.model.arguments(CLASSES[folder], config.clips.frames)
        model = create_model(**keys)
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[folder][name]
    assert bool(config.model.blocks) == bool(model.all_blocks())
    lines = path.read_text().splitlines()
    assert 5 <= len(lines) <= 15
    assert max(map(len, lines)) <= 100
    assert re.match(r"# (SRL|PNL) paper, tables? \d+.*top-1 \d\d\.\d", lines[0])


@pytest.mark.parametrize(("folder", "name"), EXPERIMENTS, ids=[name for _, name in EXPERIMENTS])
def test_blocks_are_at_the_places_of_the_row(folder, name):
    """Numbers of parameters do not show them."""
    of_srl = {"1": "res4", "2": "res3+res4", "4": "each", "5": "five"}
    places = of_srl if folder == "kinetics" else {"1": "x1", "5": "x5"}
    number = re.search(r"_(?:srl_fft|srl_lo|nl|cgnl|pnl)(\d)", name)
    stage = re.search(r"_conv([235])$", name)
    expected = None if number is None else places[number[1]] + (f"@conv{stage[1]}" if stage else "")
    assert load_action_config(find_config(name)).model.places == expected


@pytest.mark.parametrize(("folder", "name"), EXPERIMENTS, ids=[name for _, name in EXPERIMENTS])
def test_a_config_says_only_what_differs(folder, name):
    defaults, path = ActionConfig().to_dict(), find_config(name)
    loaded = load_action_config(path).to_dict()
    for section, keys in yaml.safe_load(path.read_text()).items():
        if section == "task":
            continue
        for key in keys:
            named = (section, key) == ("model", "network")
            assert named or loaded[section][key] != defaults[section][key], (section, key)


@pytest.mark.parametrize(("folder", "name"), EXPERIMENTS, ids=[name for _, name in EXPERIMENTS])
def test_experiments_of_a_table_differ_in_their_blocks_alone(folder, name):
    base = next(plain for plain in PARAMETERS[folder] if name.startswith(plain))
    ours, theirs = (load_action_config(find_config(n)).to_dict() for n in (name, base))
    for config in (ours, theirs):
        config.pop("output")
        for key in ("blocks", "places", "partial_weights"):
            config["model"].pop(key)
    assert ours == theirs


def test_the_batch_of_all_devices():
    for folder, name in EXPERIMENTS:
        config = load_action_config(find_config(name))
        devices = 2 if folder == "mini_kinetics" else 8
        whole = 128 if name.startswith("c2d_res18") else 64
        assert config.train.batch_size * devices == whole
        assert config.train.lr == whole / 64 * 0.01
        assert config.train.drops == (40, 80)


def test_the_document_has_a_row_for_each():
    text = (REPOSITORY / "docs" / "reference" / "action-networks.md").read_text()
    for folder, names in PARAMETERS.items():
        for name, parameters in names.items():
            rows = [line for line in text.splitlines() if line.startswith(f"| `{name}.yaml`")]
            assert len(rows) == 1, (folder, name)
            cells = [cell.strip() for cell in rows[0].split("|")]
            assert f"{parameters:,}" in cells, name
            comment = find_config(name).read_text().splitlines()[0]
            for number in re.findall(r"top-\d (\d\d\.\d+)", comment):
                assert number in cells, (name, number)
