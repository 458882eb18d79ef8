"""The configs of keypoints under configs/: each loads, says only what differs, and pairs differ in the blocks."""

from __future__ import annotations

import difflib
import re

import pytest
import yaml

from keypoint.config.load import (
    CONFIG_FOLDER,
    Config,
    config_from_dict,
    find_config,
    load_config,
    task_of,
)
from keypoint.pose.codec import Codec

SWEEPS = CONFIG_FOLDER / "sweeps"  # tests/commands/test_sweep.py has them
FILES = (path for path in CONFIG_FOLDER.rglob("*.yaml") if path.parent != SWEEPS)
PATHS = sorted(path for path in FILES if task_of(path) == "keypoints")
SIZES = {"256x192": (256, 192), "384x288": (384, 288), "512x384": (512, 384)}
SIGMAS = {"256x192": 2.0, "384x288": 3.0, "512x384": 4.0}
BLOCKS = {
    "": None,
    "_srl3": "srl_fft",
    "_nl3": "nl",
    "_a2x3": "a2",
    "_cgnl3": "cgnl",
    "_rcca3": "rcca",
    "_srllo3": "srl_lo",
}
PUBLISHED = {  # tables 2, 3 and 6 of the paper, by the three sizes; None: the paper has no such row
    ("resnet50", ""): (70.4, 72.2, 71.7),
    ("resnet101", ""): (71.4, 73.6, 74.2),
    ("resnet152", ""): (72.0, 74.3, 74.9),
    ("resnet50", "_srl3"): (70.9, 73.3, 73.8),
    ("resnet101", "_srl3"): (71.8, 74.3, 74.9),
    ("resnet152", "_srl3"): (72.1, 74.6, 75.3),
    ("resnet50", "_nl3"): (70.6, 72.8, None),
    ("resnet50", "_a2x3"): (70.5, 72.8, None),
    ("resnet50", "_cgnl3"): (70.6, 72.4, None),
    ("resnet50", "_rcca3"): (70.6, 72.8, None),
    ("resnet50", "_srllo3"): (71.0, 72.8, None),
    ("resnet101", "_srllo3"): (71.7,),
    ("resnet152", "_srllo3"): (72.3,),
}
EXPERIMENTS = [
    (encoder, suffix, size, ap)
    for (encoder, suffix), aps in PUBLISHED.items()
    for size, ap in zip(SIZES, aps, strict=False)
]
ENCODER_SITES = ("layer2", "layer3", "layer4")  # res_3, res_4 and res_5
OTHERS = {  # tables 4 and 5: ResNet-50 at 384x288; what differs in the model, table, label, AP
    "_stride8": ({"encoder_stride": 8}, 4, "baseline*", 66.3),
    "_stride8_dilated": ({"encoder_stride": 8, "dilated": True}, 4, "dilated conv", 72.3),
    "_stride8_nl3": (dict.fromkeys(ENCODER_SITES, "nl"), 4, "+3 NL", 72.7),
    "_stride8_srl3": (dict.fromkeys(ENCODER_SITES, "srl_fft"), 4, "+3 SRL-FFT", 73.4),
    "_stride8_srl4": (
        dict.fromkeys((*ENCODER_SITES, "deconv1"), "srl_fft"), 4, "+4 SRL-FFT", 73.7),
    "_srl1_d1": ({"deconv1": "srl_fft"}, 5, "+1 @ d1", 72.7),
    "_srl1_d2": ({"deconv2": "srl_fft"}, 5, "+1 @ d2", 72.6),
    "_srl1_d3": ({"deconv3": "srl_fft"}, 5, "+1 @ d3", 72.6),
    "_srl2_d1d2": ({"deconv1": "srl_fft", "deconv2": "srl_fft"}, 5, "+2 @ d1 / d2", 72.9),
}  # fmt: skip
PAIRS = [(encoder, suffix, size) for encoder, suffix, size, _ in EXPERIMENTS if suffix]


def name_of(encoder, suffix, size):
    return f"res{encoder.removeprefix('resnet')}_{size}{suffix}"


def statements(path):
    return [line for line in path.read_text().splitlines() if not line.startswith("#")]


def test_these_are_all_experiments():
    names = [name_of(encoder, suffix, size) for encoder, suffix, size, _ in EXPERIMENTS]
    names += [f"res50_384x288{suffix}" for suffix in OTHERS]
    found = {path.stem for path in PATHS}
    assert found >= {*names, "demo", "overfit_sample", "signs"}
    in_folder = {path.stem for path in (CONFIG_FOLDER / "coco").glob("*.yaml")}
    assert in_folder == set(names)
    assert len(in_folder) == 44


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_config_loads_is_short_and_opens_with_what_it_is(path):
    assert find_config(path.stem) == path
    load_config(path)
    lines = path.read_text().splitlines()
    assert 5 <= len(lines) <= (15 if path.parent.name == "coco" else 30)
    assert lines[0].startswith("# ")
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_config_says_only_what_differs(path):
    # What names the experiment is said even where it is the default.
    named = {("model", "encoder"), ("model", "input_size")}
    defaults = Config().to_dict()
    for section, keys in yaml.safe_load(path.read_text()).items():
        if not isinstance(keys, dict):
            assert keys != defaults[section]
            continue
        for key, value in keys.items():
            loaded = load_config(path).to_dict()[section][key]
            assert (section, key) in named or loaded != defaults[section][key], (key, value)


@pytest.mark.parametrize(("encoder", "suffix", "size", "ap"), EXPERIMENTS)
def test_an_experiment_is_what_its_name_says(encoder, suffix, size, ap):
    name = name_of(encoder, suffix, size)
    path = find_config(name)
    config = load_config(path)
    model = {"encoder": encoder, "input_size": SIZES[size], "blocks": BLOCKS[suffix]}
    assert config == config_from_dict({"output": f"output/{name}", "model": model}, "expected")
    assert Codec(SIZES[size], heatmap_sigma=config.model.heatmap_sigma).sigma == SIGMAS[size]
    assert config.train.batch_size == 32
    comment = path.read_text().splitlines()[0]
    number = encoder.removeprefix("resnet")
    assert f"ResNet-{number}" in comment
    assert size in comment
    assert re.findall(r"\d\d\.\d", comment) == ([] if ap is None else [f"{ap:.1f}"])
    table = {"": 2, "_srl3": 2, "_srllo3": 6}.get(suffix, 3)
    assert f"table {table}," in comment


@pytest.mark.parametrize(("encoder", "suffix", "size"), PAIRS)
def test_a_pair_differs_in_the_block_line_alone(encoder, suffix, size):
    plain = find_config(name_of(encoder, "", size))
    blocks = find_config(name_of(encoder, suffix, size))
    diff = difflib.ndiff(statements(plain), statements(blocks))
    changed = [line for line in diff if not line.startswith("  ")]
    assert changed == [f"+   blocks: {BLOCKS[suffix]}"]
    without = load_config(blocks, ["model.blocks=none", f"output=output/{plain.stem}"])
    assert without == load_config(plain)


@pytest.mark.parametrize("suffix", OTHERS)
def test_the_experiments_of_tables_4_and_5(suffix):
    differs, table, label, ap = OTHERS[suffix]
    name = f"res50_384x288{suffix}"
    path = find_config(name)
    plain_name = "res50_384x288_stride8" if "_stride8_" in suffix else "res50_384x288"
    model = {"encoder": "resnet50", "input_size": (384, 288)}
    in_blocks = set(differs) <= {"deconv1", "deconv2", "deconv3", *ENCODER_SITES}
    if in_blocks:
        model |= {"encoder_stride": 8} if table == 4 else {}
        model |= {"blocks": differs}
    else:
        model |= differs
    config = load_config(path)
    assert config == config_from_dict({"output": f"output/{name}", "model": model}, "expected")
    comment = path.read_text().splitlines()[0]
    assert (
        comment == f"# SRL paper, table {table}, {label}, ResNet-50, 384x288: AP {ap} on val2017."
    )
    changed = difflib.ndiff(statements(find_config(plain_name)), statements(path))
    changed = [line for line in changed if not line.startswith("  ")]
    assert all(line.startswith("+   ") for line in changed)
    if in_blocks:
        assert changed == ["+   blocks:", *(f"+     {s}: {b}" for s, b in differs.items())]


def test_the_demo_runs_without_blocks_too():
    demo = load_config(find_config("demo"))
    assert (demo.output, demo.data.root) == ("output/demo", "output/demo/data")
    assert demo.model.weights is None  # nothing is downloaded
    bare = load_config(find_config("demo"), ["model.blocks=none"])
    assert demo.model.blocks is not None
    assert bare.model.blocks is None


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_one_epoch_is_one_override(path):
    assert load_config(path, ["train.epochs=1"]).train.drops == ()
