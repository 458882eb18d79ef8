import re
import time

import pytest
import yaml

from keypoint.errors import ConfigError
from keypoint.pose.skeleton import (
    UNIFORM_SIGMA,
    load_skeleton,
    skeleton_from_dict,
    skeleton_from_here,
)

COCO = load_skeleton("coco17")


def test_coco17_is_pycocotools():
    from pycocotools.cocoeval import Params

    assert COCO.oks_sigmas == pytest.approx(Params("keypoints").kpt_oks_sigmas.tolist())
    assert COCO.num_keypoints == 17


def test_coco17_is_the_official_category(coco_sample):
    import json

    file = coco_sample / "annotations" / "person_keypoints_sample.json"
    category = json.loads(file.read_text())["categories"][0]
    assert list(COCO.keypoints) == category["keypoints"]
    ours = {frozenset(edge) for edge in COCO.edge_indices}
    assert ours == {frozenset((a - 1, b - 1)) for a, b in category["skeleton"]}


def test_round_trip_through_a_checkpoint_and_a_file(tmp_path):
    without_upper_body = COCO.to_dict()
    without_upper_body.pop("upper_body")
    for content in (COCO.to_dict(), without_upper_body, SIGN):
        skeleton = skeleton_from_dict(content, "x")
        assert skeleton.to_dict() == content
        (tmp_path / "own.yaml").write_text(yaml.safe_dump(content))
        assert load_skeleton(tmp_path / "own.yaml") == skeleton
    assert skeleton.upper_body_indices == ()


def test_the_upper_body_of_coco_is_hrnets():
    assert COCO.upper_body_indices == tuple(range(11))
    assert COCO.upper_body[-1] == "right_wrist"


SIGN = {
    "name": "sign",
    "keypoints": ["a", "b", "c"],
    "pairs": [["a", "b"]],
    "edges": [["a", "c"]],
    "oks_sigmas": [0.1] * 3,
}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"pairs": [["a", "d"]]}, "pairs contains 'd', which is not a keypoint"),
        ({"edges": [["a", "a"]]}, "edges has .* two different names"),
        ({"pairs": [["a", "b"], ["b", "c"]]}, r"\['b'\] are in more than one of pairs"),
        ({"keypoints": ["a", "a", "c"]}, r"lists \['a'\] twice"),
        ({"keypoints": [], "pairs": [], "edges": [], "oks_sigmas": []}, "keypoints is empty"),
        ({"oks_sigmas": [0.1, 0.1]}, "oks_sigmas has 2 numbers .* each of the 3"),
        ({"oks_sigmas": [0.1, 0.0, 0.1]}, "one positive number"),
        ({"oks_sigmas": [0.1, float("nan"), 0.1]}, "one positive number"),
        ({"pairs": [["a"]]}, "pairs and edges are lists of two names"),
        ({"colour": 1}, "exactly the keys"),
        ({"oks_sigmas": "0.1"}, "oks_sigmas is '0.1'; .* a list of numbers or uniform"),
        ({"keypoints": "abc"}, "keypoints is 'abc'; keypoints is a list"),
        ({"pairs": "ab"}, "pairs is 'ab'"),
        *(
            ({"oks_sigmas": [0.1, sigma, 0.1]}, "one positive number from 1e-06 to 10 for each")
            for sigma in (9e15, 1e-200, 11.0, -0.1, 9e-7, float("inf"))
        ),
    ],
)
def test_mistakes_are_named(tmp_path, change, text):
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(SIGN | change))
    with pytest.raises(ConfigError, match=rf"own\.yaml: .*{text}"):
        load_skeleton(tmp_path / "own.yaml")


def test_sigmas_may_be_unknown(tmp_path):
    left_out = {key: value for key, value in SIGN.items() if key != "oks_sigmas"}
    for content in (left_out, left_out | {"oks_sigmas": "uniform"}):
        (tmp_path / "own.yaml").write_text(yaml.safe_dump(content))
        skeleton = load_skeleton(tmp_path / "own.yaml")
        assert skeleton.uniform_sigmas
        assert skeleton.oks_sigmas == (UNIFORM_SIGMA,) * 3
        assert skeleton_from_dict(skeleton.to_dict(), "a checkpoint") == skeleton
    assert pytest.approx(sum(COCO.oks_sigmas) / 17, abs=5e-4) == UNIFORM_SIGMA
    known = skeleton_from_dict(SIGN | {"oks_sigmas": [UNIFORM_SIGMA] * 3}, "x")
    assert not known.uniform_sigmas
    (tmp_path / "own.yaml").write_text(
        yaml.safe_dump({"keypoints": ["a"], "pairs": [], "edges": []})
    )
    with pytest.raises(ConfigError, match="exactly the keys .*only oks_sigmas may be left out"):
        load_skeleton(tmp_path / "own.yaml")


def test_a_relative_path_counts_from_the_data_sets_folder(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "own.yaml").write_text(yaml.safe_dump(SIGN))
    monkeypatch.chdir(tmp_path)
    assert load_skeleton("own.yaml", "data").name == "sign"
    assert load_skeleton(tmp_path / "data" / "own.yaml", "elsewhere").name == "sign"
    assert load_skeleton("coco17", "elsewhere") == COCO
    with pytest.raises(ConfigError, match=r"own\.yaml.* \(elsewhere/own\.yaml does not exist\)"):
        load_skeleton("own.yaml", "elsewhere")


def test_a_file_in_the_current_folder_is_no_riddle(tmp_path, monkeypatch):
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(SIGN))
    monkeypatch.chdir(tmp_path)
    here = re.escape(str(tmp_path / "own.yaml"))
    with pytest.raises(
        ConfigError, match=f"is relative to data.root: for the file here give {here}$"
    ):
        load_skeleton("own.yaml", "elsewhere")
    assert skeleton_from_here("own.yaml") == str(tmp_path / "own.yaml")
    assert skeleton_from_here("coco17") == "coco17"
    with pytest.raises(ConfigError, match=r"did you mean mpii16\?$"):
        load_skeleton("mpii16.yaml", "elsewhere")


def test_one_keypoint_without_pairs_and_edges():
    dot = skeleton_from_dict(
        {"name": "dot", "keypoints": ["centre"], "pairs": [], "edges": []}, "x"
    )
    assert (dot.num_keypoints, dot.flip_indices, dot.edge_indices) == (1, (0,), ())


def test_unknown_skeleton_and_no_yaml(tmp_path):
    with pytest.raises(
        ConfigError, match=r"'coco18' is neither built in \(\['aic14', .*\]\) nor a YAML file"
    ):
        load_skeleton("coco18")
    (tmp_path / "own.yaml").write_text("a: [")
    with pytest.raises(ConfigError, match="not the YAML of a skeleton"):
        load_skeleton(tmp_path / "own.yaml")


@pytest.mark.parametrize(
    ("upper_body", "words"),
    [
        (["nose", "left_hand"], r"unknown: \['left_hand'\]"),
        (["nose", "nose"], "each keypoint once"),
        (["nose", "left_eye"], r"half of a pair: \[\['left_eye', 'right_eye'\]\]"),
        (list(load_skeleton("coco17").keypoints), "lists every keypoint; remove"),
        (None, "oks_sigmas a list of numbers"),
    ],
)
def test_a_wrong_upper_body_is_refused(upper_body, words):
    content = load_skeleton("coco17").to_dict() | {"upper_body": upper_body}
    with pytest.raises(ConfigError, match=words):
        skeleton_from_dict(content, "own.yaml")


def test_a_key_twice_is_refused(tmp_path):
    text = yaml.safe_dump(SIGN)
    (tmp_path / "own.yaml").write_text(f"{text}keypoints: [x, y, z]\n")
    with pytest.raises(ConfigError, match=r"line \d+: given twice, first in line \d+; keep one"):
        load_skeleton(tmp_path / "own.yaml")


def many(number):
    names = [f"{side}_{i}" for i in range(number // 2) for side in ("left", "right")]
    pairs = [[f"left_{i}", f"right_{i}"] for i in range(number // 2)]
    edges = [[a, b] for a, b in zip(names, names[1:], strict=False)]
    return {"name": "many", "keypoints": names, "pairs": pairs, "edges": edges}


def test_the_most_keypoints():
    """Names, pairs and edges were looked up in lists: 100,000 keypoints took more than 40 s."""
    begin = time.process_time()
    skeleton = skeleton_from_dict(many(10_000), "x")
    assert skeleton.flip_indices[:4] == (1, 0, 3, 2)
    assert skeleton.edge_indices[-1] == (9_998, 9_999)
    with pytest.raises(ConfigError, match="lists 100,000 keypoints; at most 10,000 are supported"):
        skeleton_from_dict(many(100_000), "x")
    assert time.process_time() - begin < 5  # 0.2 s


@pytest.mark.parametrize("key", ["name", "keypoints", "pairs"])
@pytest.mark.parametrize("name", ["a\x1b[31m", "\u202eb", "", "a" * 201, ["a"], None])
def test_names_are_short_printable_text(key, name):
    content = {"name": "x", "keypoints": ["a", "b"], "pairs": [], "edges": []}
    content[key] = {"name": name, "keypoints": ["a", name], "pairs": [["a", name]]}[key]
    with pytest.raises(
        ConfigError, match="x.yaml: .*is not a name, which is printable text of"
    ) as e:
        skeleton_from_dict(content, "x.yaml")
    assert str(e.value).isprintable()
    assert len(str(e.value)) < 500


def sided(*names, pairs=()):
    content = {
        "name": "x",
        "keypoints": names,
        "pairs": pairs,
        "edges": [],
        "oks_sigmas": "uniform",
    }
    return skeleton_from_dict(content, "x")


def test_sides_need_pairs_only_if_images_are_mirrored():
    for names in (
        ("a", "top_left", "top_right"),
        ("TOP_LEFT", "TOP_RIGHT"),
        ("Left", "Right", "tail"),
        ("earLeft", "earRight"),
    ):
        skeleton = sided(*names)  # in order, as long as no image is mirrored
        with pytest.raises(
            ConfigError, match=r"pairs lacks \[.*(?i:left), .*(?i:right)\]; .*flip=f"
        ):
            skeleton.require_pairs()
    sided("LEFT", "RIGHT", pairs=[("RIGHT", "LEFT")]).require_pairs()
    sided("L_1", "R_1", "left").require_pairs()  # lenses, perhaps
    with pytest.raises(ConfigError, match=r"pairs lacks \[left_ear, right_ear\], \[left_eye"):
        sided(
            *("left_ear", "right_ear", "left_eye", "right_eye"),
            pairs=[("left_ear", "right_eye"), ("left_eye", "right_ear")],
        ).require_pairs()


def test_many_keypoints_take_linear_time():
    names = [f"k{n}" for n in range(10_000)]
    start = time.perf_counter()
    skeleton = sided(*names, pairs=list(zip(names[::2], names[1::2], strict=True)))
    assert skeleton.flip_indices[:4] == (1, 0, 3, 2)
    assert time.perf_counter() - start < 5
