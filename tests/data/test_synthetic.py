"""The demo set, judged by pycocotools, closed forms and a slow second way to see who is on top."""

import dataclasses
import json
import math

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from keypoint.data.synthetic import figure as synthetic_figure
from keypoint.data.synthetic import scene as synthetic_scene
from keypoint.data.synthetic.demo_set import is_demo_set, synthesize_image, write_demo_set
from keypoint.data.synthetic.figure import KEYPOINTS, OBJECT, PARTS, TORSO, sample_figure
from keypoint.data.synthetic.pose import sample_pose
from keypoint.data.synthetic.scene import compose_scene
from keypoint.data.synthetic.shapes import Hull, draw_hulls
from keypoint.errors import DataError

SIZE = (160, 224)
K = {name: index for index, name in enumerate(KEYPOINTS)}


@pytest.fixture(scope="module")
def scenes():
    return [compose_scene(np.random.default_rng([7, n]), (224, 288)) for n in range(80)]


@pytest.fixture(scope="module")
def demo_set(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "set"
    write_demo_set(folder, train_images=30, val_images=12, image_size=(224, 288), seed=3)
    return folder


def content(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def annotations(folder, split="train2017"):
    return json.loads((folder / "annotations" / f"person_keypoints_{split}.json").read_text())


def load(folder, split):
    return COCO(str(folder / "annotations" / f"person_keypoints_{split}.json"))


# -- determinism


def test_same_seed_same_bytes_other_seed_other_images(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_demo_set(tmp_path / name, train_images=3, val_images=2, image_size=SIZE, seed=seed)
    a, b, c = (content(tmp_path / name) for name in "abc")
    assert len(a) == 3 + 2 + 2 + 1
    assert a == b
    assert a.keys() == c.keys()
    assert not any(a[name] == c[name] for name in a)


def test_a_small_set_is_the_beginning_of_a_large_one(tmp_path):
    write_demo_set(tmp_path / "few", train_images=2, val_images=1, image_size=SIZE)
    write_demo_set(tmp_path / "many", train_images=5, val_images=3, image_size=SIZE)
    few, many = (
        {name: data for name, data in content(tmp_path / part).items() if name.endswith(".jpg")}
        for part in ("few", "many")
    )
    assert few.items() <= many.items()
    assert len(set(many.values())) == 8  # no image twice, in either split
    for split, count in (("train2017", 2), ("val2017", 1)):
        short, long = annotations(tmp_path / "few", split), annotations(tmp_path / "many", split)
        assert short["images"] == long["images"][:count]
        assert short["annotations"] == [a for a in long["annotations"] if a["image_id"] <= count]


# -- COCO's format


@pytest.mark.parametrize("split", ["train2017", "val2017"])
def test_pycocotools_reads_it_and_agrees_on_area_and_box(demo_set, split, capsys):
    coco = load(demo_set, split)
    assert len(coco.imgs) == {"train2017": 30, "val2017": 12}[split]
    assert len(coco.anns) == len(coco.dataset["annotations"]) > 10
    assert set(coco.dataset) == {"info", "licenses", "images", "annotations", "categories"}
    (category,) = coco.loadCats(coco.getCatIds(catNms=["person"]))
    assert category["id"] == 1
    assert category["keypoints"] == list(KEYPOINTS)
    assert [16, 14] in category["skeleton"]  # left ankle to left knee, from 1 as COCO has it
    assert sorted({n for edge in category["skeleton"] for n in edge}) == list(range(1, 18))
    for image in coco.imgs.values():
        read = cv2.imread(str(demo_set / split / image["file_name"]))
        assert read.shape == (image["height"], image["width"], 3) == (224, 288, 3)
    for annotation in coco.anns.values():
        assert annotation["id"] >= 1
        assert annotation["iscrowd"] == 0
        assert annotation["category_id"] == 1
        assert annotation["image_id"] in coco.imgs
        rle = coco.annToRLE(annotation)
        assert int(coco_mask.area(rle)) == annotation["area"] > 0
        assert list(coco_mask.toBbox(rle)) == annotation["bbox"]
        keypoints = np.array(annotation["keypoints"]).reshape(17, 3)
        assert annotation["num_keypoints"] == (keypoints[:, 2] > 0).sum() >= 5


def test_the_truth_as_result_scores_one_for_medium_and_large(demo_set, capsys):
    coco = load(demo_set, "train2017")
    results = [
        {key: a[key] for key in ("image_id", "category_id", "keypoints")} | {"score": 1.0}
        for a in coco.dataset["annotations"]
    ]
    evaluation = COCOeval(coco, coco.loadRes(results), "keypoints")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats == pytest.approx(np.ones(10))


def test_the_file_is_the_image(tmp_path):
    write_demo_set(tmp_path, train_images=0, val_images=3, image_size=SIZE, seed=5)
    for index in range(3):
        image, persons = synthesize_image(np.random.default_rng([5, 1, index]), SIZE)
        read = cv2.imread(str(tmp_path / "val2017" / f"{index + 1:012d}.jpg"))[..., ::-1]
        assert np.abs(read.astype(float) - image).mean() < 6  # 25 with red and blue exchanged
        assert np.abs(read[..., ::-1].astype(float) - image).mean() > 8
        written = [a for a in annotations(tmp_path, "val2017")["annotations"]
                   if a["image_id"] == index + 1]  # fmt: skip
        for annotation, person in zip(written, persons, strict=True):
            assert annotation["keypoints"] == pytest.approx(person["keypoints"].ravel())
            assert annotation["bbox"] == person["bbox"]


# -- visibility


def test_labelled_is_what_lies_in_the_image_but_on_the_far_side_of_the_head(scenes):
    keypoints = np.concatenate([scene.keypoints for scene in scenes]).reshape(-1, 3)
    assert (keypoints[keypoints[:, 2] == 0] == 0).all()
    assert set(keypoints[:, 2]) == {0, 1, 2}
    share = [(keypoints[:, 2] == v).mean() for v in (0, 1, 2)]
    assert share[0] > 0.05  # cut off by the border, and faces of back views
    assert share[1] > 0.04
    assert share[2] > 0.6
    for scene in scenes:
        for figure, keypoints in zip(scene.figures, scene.keypoints, strict=True):
            x, y = figure.keypoints.T
            inside = (x >= 0) & (x <= 287) & (y >= 0) & (y <= 223)
            clear = np.minimum.reduce([abs(x), abs(x - 287), abs(y), abs(y - 223)]) > 0.01
            np.testing.assert_array_equal(
                (keypoints[:, 2] > 0)[clear], (inside & ~figure.faces_away)[clear]
            )
            assert not figure.faces_away[K["left_shoulder"] :].any()


def test_visible_means_in_the_own_mask_and_hidden_comes_in_both_kinds(demo_set):
    coco, hidden = load(demo_set, "train2017"), []
    for annotation in coco.anns.values():
        mask = coco.annToMask(annotation)
        for x, y, visibility in np.array(annotation["keypoints"]).reshape(17, 3):
            owned = mask[round(y), round(x)]
            if visibility == 2:
                assert owned
            elif visibility == 1:
                hidden.append(bool(owned))
    assert hidden.count(True) > 15  # by the own body
    assert hidden.count(False) > 15


def depth_inside(point, hull):
    """Distance to the hull's edge, negative outside: its support function in 720 directions."""
    angles = np.arange(720) * math.pi / 360
    directions = np.stack([np.cos(angles), np.sin(angles)])  # 2 720
    support = (hull.centres @ directions + hull.radii[:, None]).max(axis=0)
    return (support - point @ directions).min()


CARRIERS = {
    "nose": {"face"}, "eye": {"face"}, "ear": {"ear", "face"}, "shoulder": {"torso", "upper_arm"},
    "elbow": {"upper_arm", "forearm"}, "wrist": {"forearm", "hand"},
    "hip": {"torso", "skirt", "thigh"}, "knee": {"thigh", "shank", "skirt"},
    "ankle": {"shank", "foot"},
}  # fmt: skip


def test_flags_agree_with_a_slow_look_at_the_shapes(monkeypatch):
    monkeypatch.setattr(synthetic_scene, "OBSTACLES", 0)  # the scene keeps persons and chairs only
    compared, skipped, hidden = 0, 0, 0
    for n in range(25):
        scene = compose_scene(np.random.default_rng([13, n]), (224, 288))
        for person, keypoints in enumerate(scene.keypoints):
            for name, (x, y, visibility) in zip(KEYPOINTS, keypoints, strict=True):
                if visibility == 0:
                    continue
                point = np.array([round(x), round(y)])
                top = None
                for owner, figure in reversed(list(enumerate(scene.figures))):
                    for hull in reversed(figure.hulls):
                        inside = depth_inside(point, hull)
                        if abs(inside) < 0.8:  # on an edge: the raster may decide either way
                            top = "unclear"
                        elif inside > 0:
                            top = (owner, PARTS[hull.label])
                        if top:
                            break
                    if top:
                        break
                if top == "unclear":
                    skipped += 1
                    continue
                side, _, kind = name.rpartition("_")
                own = CARRIERS[kind] | {f"{side}_{part}" for part in CARRIERS[kind]}
                seen = top is not None and top[0] == person and top[1] in own
                assert (visibility == 2) == seen, (n, person, name, top)
                compared += 1
                hidden += not seen
    assert hidden > 40
    assert compared > 400
    assert compared > 2 * skipped


# -- left and right


def test_left_is_on_the_right_in_front_views_and_on_the_left_in_back_views(scenes):
    backs = 0
    for scene in scenes:
        for figure in scene.figures:
            for part in ("hip", "shoulder"):
                offset = (
                    figure.keypoints[K[f"left_{part}"]] - figure.keypoints[K[f"right_{part}"]]
                )[0]
                assert (offset < 0) == figure.is_back_view
            backs += figure.is_back_view
    persons = sum(len(scene.figures) for scene in scenes)
    assert 0.2 < backs / persons < 0.5


def test_front_views_show_a_face_and_back_views_hair(scenes):
    faces = {False: [], True: []}
    ears = []
    for scene in scenes:
        for figure, keypoints in zip(scene.figures, scene.keypoints, strict=True):
            labelled = keypoints[:, 2] > 0
            x, y = figure.keypoints[K["nose"]]
            if not (20 < x < 268 and 20 < y < 204):
                continue
            eyes = labelled[K["left_eye"]] + labelled[K["right_eye"]]
            faces[figure.is_back_view].append(labelled[K["nose"]] and eyes > 0)
            if figure.is_back_view:
                ears.append(labelled[K["left_ear"]] or labelled[K["right_ear"]])
    assert np.mean(faces[False]) > 0.97
    assert np.mean(faces[True]) < 0.08  # a head turned far
    assert np.mean(ears) == 1


@pytest.mark.parametrize("is_back_view", [False, True])
def test_what_is_before_the_body_is_painted_over_it_in_front_views_only(monkeypatch, is_back_view):
    pose = sample_pose(np.random.default_rng(0))
    reach = {f"left_{part}": np.array([0.05, 0.15, 0.25]) for part in ("elbow", "wrist", "hand")}
    monkeypatch.setattr(synthetic_figure, "BACK_VIEWS", float(is_back_view))
    monkeypatch.setattr(
        synthetic_figure,
        "sample_pose",
        lambda rng: dataclasses.replace(pose, points={**pose.points, **reach}),
    )
    for n in range(10):
        parts = [PARTS[hull.label] for hull in sample_figure(np.random.default_rng(n)).hulls]
        first, last = parts.index("torso"), len(parts) - 1 - parts[::-1].index("torso")
        hand = parts.index("left_hand")
        assert (hand < first) if is_back_view else (hand > last)


def test_shoes_look_the_same_from_both_sides():
    for n in range(60):
        figure = sample_figure(np.random.default_rng([17, n]))
        parts = [PARTS[hull.label] for hull in figure.hulls]
        for side in ("left", "right"):
            index = parts.index(f"{side}_foot")
            heel, toe = figure.hulls[index].centres
            assert abs(toe[1] - heel[1]) < 1e-9
            assert index < parts.index(f"{side}_shank")


# -- pixels


def test_a_disc_is_drawn_where_it_is():
    centre, radius = np.array([30.3, 19.8]), 9.0
    hull = Hull(5, np.full(3, 200.0), centre[None], np.array([radius]))
    layer = draw_hulls([hull], (50, 64), np.zeros(2), np.random.default_rng(0))
    alpha, labels = np.zeros((50, 64)), np.zeros((50, 64))
    alpha[layer.window], labels[layer.window] = layer.alpha[..., 0], layer.labels
    assert set(np.unique(labels)) == {0, 5}
    y, x = np.mgrid[:50, :64]
    for drawn, tolerance in ((alpha, 0.1), (labels == 5, 0.2)):
        assert drawn.sum() == pytest.approx(math.pi * radius**2, rel=0.07)
        assert (x * drawn).sum() / drawn.sum() == pytest.approx(centre[0], abs=tolerance)
        assert (y * drawn).sum() / drawn.sum() == pytest.approx(centre[1], abs=tolerance)
    canvas = np.zeros((50, 64, 3), np.float32)
    layer.paint_on(canvas)
    assert canvas[20, 30] == pytest.approx(214, abs=1)  # the brightest step of 200
    assert canvas[20, 50].max() == 0


def test_a_shape_outside_the_image_is_no_layer():
    for centre in ([-30.0, 20], [30, -30], [100, 20], [30, 90]):
        hull = Hull(1, np.zeros(3), np.array([centre]), np.array([9.0]))
        assert draw_hulls([hull], (50, 64), np.zeros(2), np.random.default_rng(0)) is None


def test_masks_agree_with_the_colours_in_the_picture(monkeypatch):
    paints = [np.array(c, float) for c in ((250, 0, 0), (0, 250, 0), (0, 0, 250))]

    def painted(rng):
        figure = sample_figure(rng)
        colour = paints[painted.count % 3]
        painted.count += 1
        return dataclasses.replace(
            figure, hulls=tuple(dataclasses.replace(h, colour=colour) for h in figure.body)
        )

    painted.count = 0
    monkeypatch.setattr(synthetic_scene, "sample_figure", painted)
    agreed = []
    for n in range(20):
        painted.count = 0
        scene = compose_scene(np.random.default_rng([19, n]), (224, 288))
        hues = [int(np.argmax(figure.hulls[0].colour)) for figure in scene.figures]
        for person, hue in enumerate(hues):
            # the outermost pixels are mixed with what is behind
            mask = (
                cv2.erode((scene.owner == person).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
            )
            agreed.append((scene.image[mask].argmax(axis=-1) == hue).mean())
    assert len(agreed) > 25
    assert min(agreed) > 0.98


def test_every_drawn_person_is_in_the_truth(scenes):
    for scene in scenes:
        np.testing.assert_array_equal(scene.owner >= 0, scene.labels >= TORSO)
        assert len(scene.figures) == len(scene.keypoints)
        assert set(np.unique(scene.owner)) - {-1} == set(range(len(scene.figures)))
        for person, keypoints in enumerate(scene.keypoints):
            assert (scene.owner == person).sum() >= 500
            assert (keypoints[:, 2] == 2).sum() >= 5
    assert any(len(scene.figures) >= 3 for scene in scenes)
    assert any((scene.labels == OBJECT).any() for scene in scenes)


def test_a_hidden_person_is_not_drawn(monkeypatch, scenes):
    monkeypatch.setattr(synthetic_scene, "MIN_VISIBLE_PART", 1.01)  # more than all
    scene = compose_scene(np.random.default_rng([7, 0]), (224, 288))
    assert len(scenes[0].figures) > 0
    assert len(scene.figures) == len(scene.keypoints) == 0
    assert (scene.labels < TORSO).all()
    assert scene.keypoints.shape == (0, 17, 3)


# -- writing


@pytest.mark.parametrize("name", ["notes.txt", "train2017", "annotations"])
def test_a_foreign_folder_is_left_alone(tmp_path, name):
    if name == "notes.txt":
        (tmp_path / name).write_text("mine")
    else:  # COCO itself looks like this
        (tmp_path / name).mkdir()
        (tmp_path / name / "000000000009.jpg").write_bytes(b"mine")
    before = content(tmp_path)
    with pytest.raises(
        DataError, match=rf"{tmp_path}: contains \['{name}'\].*choose a new or empty"
    ):
        write_demo_set(tmp_path, train_images=1, val_images=1, image_size=SIZE)
    assert content(tmp_path) == before


def test_a_file_instead_of_the_folder_is_refused(tmp_path):
    (tmp_path / "demo").write_text("mine")
    with pytest.raises(DataError, match="demo: a file; the demo set needs a folder"):
        write_demo_set(tmp_path / "demo", train_images=1, val_images=1, image_size=SIZE)


def test_an_earlier_demo_set_is_replaced_whole(tmp_path):
    write_demo_set(tmp_path / "a", train_images=4, val_images=2, image_size=SIZE, seed=1)
    write_demo_set(tmp_path / "a", train_images=2, val_images=1, image_size=SIZE, seed=2)
    write_demo_set(tmp_path / "b", train_images=2, val_images=1, image_size=SIZE, seed=2)
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_an_interrupted_run_leaves_no_annotations_and_can_be_repeated(tmp_path):
    folder, settings = tmp_path / "a", {"train_images": 2, "val_images": 2, "image_size": SIZE}
    write_demo_set(folder, **settings)
    complete = content(folder)
    left = [None, None]

    def interrupt(number):
        if not left:
            raise KeyboardInterrupt
        left.pop()

    with pytest.raises(KeyboardInterrupt):
        write_demo_set(folder, **settings, progress=interrupt)
    assert not any(name.startswith("annotations") for name in content(folder))
    assert not is_demo_set(folder, **settings)
    write_demo_set(folder, **settings)
    assert content(folder) == complete
    assert is_demo_set(folder, **settings)
    assert not is_demo_set(folder, **settings | {"val_images": 3})
    assert not is_demo_set(tmp_path / "b", **settings)


def test_numbers_out_of_range_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"image_size=\(160, 63\) must be .* at least 64"):
        synthesize_image(np.random.default_rng(0), (160, 63))
    with pytest.raises(ValueError, match="train_images=-1, val_images=1, seed=0: 0 or more"):
        write_demo_set(tmp_path, train_images=-1, val_images=1)
    with pytest.raises(ValueError, match="seed=-1: 0 or more"):
        write_demo_set(tmp_path, train_images=1, val_images=1, seed=-1)
    assert not content(tmp_path)
