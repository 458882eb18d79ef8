"""The estimate must find the sigma that made the annotations; a slow loop restates the formula."""

import itertools
import json

import numpy as np
import pytest
import yaml

from keypoint.errors import DataError
from keypoint.evaluation.sigmas import estimate_sigmas, read_repeated, require_all
from keypoint.pose.skeleton import skeleton_from_dict
from tests import forked
from tests.calling import words

SKELETON = skeleton_from_dict(
    {"name": "sign", "keypoints": ["banana", "b", "c"], "pairs": [], "edges": []}, "test"
)
TRUE = np.array([0.02, 0.06, 0.15])


def simulate(rng, annotators, objects=400, missing=0.0, sigmas=TRUE):
    """E[d^2] = sigma^2 * area, d the distance from the truth: sigma^2 * area / 2 on each axis."""
    made = []
    for _ in range(objects):
        count = int(rng.choice(annotators))
        area = rng.uniform(1000, 40000)
        truth = rng.uniform(0, 500, (len(sigmas), 2))
        spread = sigmas[:, None] * np.sqrt(area / 2)
        points = truth + rng.normal(size=(count, len(sigmas), 2)) * spread
        flags = 2.0 * (rng.uniform(size=(count, len(sigmas), 1)) >= missing)
        made.append((np.concatenate([points * (flags > 0), flags], axis=2), area))
    return made


@pytest.mark.parametrize(
    ("annotators", "missing"), [([2], 0), ([5], 0), ([1, 2, 3, 5], 0), ([2, 3], 0.4)]
)
def test_the_estimate_is_unbiased_and_its_error_is_the_true_one(annotators, missing):
    rng = np.random.default_rng(0)
    estimates = [estimate_sigmas(simulate(rng, annotators, 100, missing), 3) for _ in range(200)]
    squares = np.array([estimate.sigmas for estimate in estimates]) ** 2
    deviation = squares.std(axis=0, ddof=1)
    z = (squares.mean(axis=0) - TRUE**2) / (deviation / np.sqrt(200))
    assert np.abs(z).max() < 4, z  # a factor of 2 in the variance is z of 200
    inside = [
        np.abs(estimate.sigmas - TRUE) < 1.96 * estimate.standard_errors for estimate in estimates
    ]
    assert 0.88 < np.mean(inside) < 0.99  # of 600 intervals of 95 %
    errors = np.mean([estimate.standard_errors for estimate in estimates], axis=0)
    spread = np.std([estimate.sigmas for estimate in estimates], axis=0, ddof=1)
    np.testing.assert_allclose(errors, spread, rtol=0.2)


def test_two_annotators_in_closed_form():
    """|a - b|^2 / 2 / area: 3-4-5 px apart on 50 square pixels gives sigma^2 = 25 / 2 / 50."""
    pair = np.array([[[0, 0, 2]], [[3, 4, 1]]], float)
    estimate = estimate_sigmas([(pair, 50.0)], 1)
    assert estimate.sigmas[0] == pytest.approx(0.5)
    assert np.isnan(estimate.standard_errors[0])  # one object has no spread


def test_equals_a_slow_loop_over_pairs():
    """The same estimate by pairs of annotations: the mean of |a - b|^2 / 2 over an object's pairs is S / (n - 1)."""
    objects = simulate(np.random.default_rng(1), [1, 2, 3, 5], 60, missing=0.3)
    estimate = estimate_sigmas(objects, 3)
    for k in range(3):
        total, freedom, used, alone, labels = 0.0, 0, 0, 0, 0
        for annotations, area in objects:
            points = [row[k, :2] for row in annotations if row[k, 2] > 0]
            n = len(points)
            if n < 2:
                alone += n
                continue
            pairs = [float(((a - b) ** 2).sum()) / 2 for a, b in itertools.combinations(points, 2)]
            total += (n - 1) * sum(pairs) / len(pairs) / area
            freedom, used, labels = freedom + n - 1, used + 1, labels + n
        assert estimate.sigmas[k] == pytest.approx((total / freedom) ** 0.5, rel=1e-12)
        assert (estimate.objects[k], estimate.labels[k], estimate.alone[k]) == (used, labels, alone)
        given = sum(int((annotations[:, k, 2] > 0).sum()) for annotations, _ in objects)
        assert estimate.labels[k] + estimate.alone[k] == given
    assert estimate.repeated_objects + estimate.single_objects == 60


def test_keypoints_without_repeated_labels_and_copies_are_refused():
    once = np.array([[[5, 5, 2], [5, 5, 2], [1, 1, 2]], [[6, 5, 2], [0, 0, 0], [1, 1, 2]]], float)
    estimate = estimate_sigmas([(once, 100.0)], 3)
    assert estimate.alone.tolist() == [0, 1, 0]
    with pytest.raises(DataError, match=r"no sigma for \['b'\] \(1 of 3"):
        require_all(estimate, SKELETON)
    copies = estimate_sigmas([(np.repeat(once[:1], 2, axis=0), 100.0)], 3)
    with pytest.raises(DataError, match="sigma 0 for .* not copies"):
        require_all(copies, SKELETON)
    with pytest.raises(ValueError, match="object 0 has area 0"):
        estimate_sigmas([(once, 0.0)], 3)


def content(entries, key="id"):
    annotations = []
    for number, (image_id, value, points, bbox) in enumerate(entries):
        triples = np.column_stack([points, np.full(3, 2)]).ravel().tolist()
        entry = {"id": 50 + number, "image_id": image_id, "category_id": 7, "bbox": bbox, "area": 2500.0, "keypoints": triples}  # fmt: skip
        annotations.append(entry | {key: value})
    images = [{"id": i, "file_name": f"{i}.jpg", "width": 300, "height": 300} for i in (4, 9)]
    category = {"id": 7, "name": "sign", "keypoints": list(SKELETON.keypoints)}
    return {"images": images, "annotations": annotations, "categories": [category]}


@pytest.fixture
def two_files(tmp_path):
    rng = np.random.default_rng(2)
    files = []
    truth = rng.uniform(20, 60, (40, 3, 2))
    for name in ("anna", "ben"):
        entries = [
            (4 + 5 * (i % 2), 1000 + i, truth[i] + rng.normal(0, 2, (3, 2)), [10, 10, 50, 50])
            for i in rng.permutation(40).tolist()  # another order in each file
        ]
        files.append(tmp_path / f"{name}.json")
        files[-1].write_text(json.dumps(content(entries)))
    return files


def run(*arguments):
    return forked.run(words("estimate_sigmas", *arguments), timeout=100)


def test_the_command_prints_a_yaml_snippet_that_a_skeleton_takes(two_files, tmp_path):
    plain = {key: value for key, value in SKELETON.to_dict().items() if key != "oks_sigmas"}
    (tmp_path / "sign.yaml").write_text(yaml.safe_dump(plain))
    done = run("--skeleton", tmp_path / "sign.yaml", *two_files)
    assert done.returncode == 0, done.stderr
    assert "40 objects annotated twice or more, 0 once" in done.stdout
    snippet = done.stdout[done.stdout.index("# estimated") :]
    (tmp_path / "sign.yaml").write_text(yaml.safe_dump(plain) + snippet)
    sigmas = skeleton_from_dict(
        yaml.safe_load((tmp_path / "sign.yaml").read_text()), "x"
    ).oks_sigmas
    expected = (2 * 2**2 / 2500) ** 0.5  # 2 px on each axis, area 2500
    np.testing.assert_allclose(sigmas, expected, rtol=0.3)
    assert "banana" in done.stdout  # and no "-" where a name holds nan

    # One file with both annotators' entries and a key of its own gives the same numbers.
    both = [json.loads(file.read_text()) for file in two_files]
    merged = both[0] | {"annotations": []}
    for entry in both[0]["annotations"] + both[1]["annotations"]:
        merged["annotations"].append(entry | {"id": len(merged["annotations"]), "object": entry["id"]})  # fmt: skip
    (tmp_path / "all.json").write_text(json.dumps(merged))
    again = run("--skeleton", tmp_path / "sign.yaml", "--key", "object", tmp_path / "all.json")
    assert again.stdout[again.stdout.index("# est") :] == snippet

    alone = run("--skeleton", tmp_path / "sign.yaml", two_files[0])
    assert alone.returncode == 3
    assert "0 objects annotated twice or more, 40 once" in alone.stdout
    assert "-" in alone.stdout
    assert "no sigma for ['banana', 'b', 'c']" in alone.stderr


def test_what_cannot_be_matched_is_reported(tmp_path):
    points, box = [[20, 20], [30, 30], [40, 40]], [10, 10, 50, 50]
    first, second = tmp_path / "a.json", tmp_path / "b.json"

    def read(one, two):
        first.write_text(json.dumps(one))
        second.write_text(json.dumps(two))
        return read_repeated([first, second], SKELETON)

    good = content([(4, 1, points, box)])
    assert len(read(good, good)) == 1
    with pytest.raises(DataError, match="image id 4, id 1: boxes have IoU 0.00, hardly one object"):
        read(good, content([(4, 1, points, [200, 10, 50, 50])]))
    other = content([(4, 1, points, box)])
    other["images"][0]["file_name"] = "other.jpg"
    with pytest.raises(DataError, match=r"b\.json: .*\n.*image id 4 is other.jpg, elsewhere 4.jpg"):
        read(good, other)
    twice = content([(4, 1, points, box), (4, 1, points, box)], key="object")
    for file in (first, second):
        file.write_text(json.dumps(twice))
    with pytest.raises(DataError, match="object 1 is twice on its image"):
        read_repeated([first, second], SKELETON, key="object")
    first.write_text(json.dumps(good))
    with pytest.raises(DataError, match="object is None; give an integer"):
        read_repeated([first], SKELETON, key="object")
    flat = content([(4, 1, points, box)])
    flat["annotations"][0]["area"] = 0
    with pytest.raises(DataError, match="area 0; give square pixels above 0"):
        read(good, flat)
