"""tools/benchmarks/run.py runs and fills its tables, and the straightforward way it compares with does the same work."""

import re
import time
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import cv2
import numpy as np
import pytest
import torch

from keypoint.commands import cli
from keypoint.data.batches import EvaluationDataset
from keypoint.data.coco import load_persons
from keypoint.data.images.read import read_image, warp
from keypoint.data.synthetic.demo_set import write_demo_set
from keypoint.models import SimpleBaseline
from keypoint.pose.codec import Codec
from keypoint.pose.geometry import CropFrame, apply_affine
from keypoint.pose.heatmap import encode
from keypoint.pose.skeleton import load_skeleton

REPOSITORY = Path(__file__).parents[2]
INPUT_SIZE = (96, 64)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("benchmark") / "data"
    write_demo_set(folder, train_images=3, val_images=0, image_size=(96, 128), seed=2)
    return folder / "annotations" / "person_keypoints_train2017.json", folder / "train2017"


@pytest.fixture
def tools(monkeypatch):
    """The commands' folder on the path; threads and logging as they were afterwards."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "tools/benchmarks"))
    monkeypatch.setattr("keypoint.commands.cli.log_to", lambda: None)
    threads, cv2_threads = torch.get_num_threads(), cv2.getNumThreads()
    yield
    torch.set_num_threads(threads)
    cv2.setNumThreads(cv2_threads)


@pytest.fixture
def straightforward(tools):
    import straightforward

    return straightforward


@pytest.fixture
def run(tools, capsys):
    """The command in this process; what it printed and its messages."""

    def call(*arguments, status=0):
        import run as benchmark

        assert cli.run(benchmark.main, [str(argument) for argument in arguments]) == status
        return capsys.readouterr()

    return call


def cells(text):
    """The rows of all tables, headers and rules left out."""
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line] for line in lines]
    return [
        row
        for row in rows
        if not row[1].startswith("-") and not row[0].startswith(("path", "stage", "input"))
    ]


def test_data_fills_its_tables_and_its_section(demo, tmp_path, run):
    document = tmp_path / "benchmarks.md"
    document.write_text("before\n<!-- begin data cpu -->\nold\n<!-- end data cpu -->\nafter\n")
    annotations, images = demo
    options = ["--input-size", "64x32", "--batch", "2", "--boxes", "1", "3"]
    options += ["--crops", "3", "--rounds", "1"]
    done = run(
        "data", "--annotations", annotations, "--images", images, *options, "--write", document
    )
    rows = cells(done.out)
    ways = ["straightforward", "ours, all on this core", "ours, uint8 to the device"]
    paths = ["training", "evaluation, 1 an image", "evaluation, 3 an image"]
    assert [row[:2] for row in rows[:9]] == [[path, way] for path in paths for way in ways]
    assert all(float(number) > 0 for row in rows[:9] for number in row[2:])
    assert [row[4] for row in rows[:9] if row[1] == "straightforward"] == ["1.00"] * 3
    stages = [
        "read and decode",
        "draws, matrix, keypoints",
        "mirror",
        "warp",
        "collate",
        "to float, normalise",
    ]
    assert [row[0] for row in rows[9:]] == [*stages, "heatmaps", "all"]
    written = document.read_text()
    assert written.startswith(
        "before\n<!-- begin data cpu -->\n* command: `tools/benchmarks/run.py data "
    )
    assert written.endswith("<!-- end data cpu -->\nafter\n")
    assert "old" not in written
    assert done.out.strip() in written


def test_model_fills_its_table(run):
    options = ["--input-size", "64x32", "--blocks", "srl_fft", "--batch", "2"]
    options += ["--eval-rounds", "1", "--train-rounds", "1"]
    out = run("model", *options).out
    reached = re.search(r"reaches ([\d.]+) of it in evaluation and ([\d.]+) in a whole", out)
    assert all(float(share) > 0 for share in reached.groups())
    rows = cells(out)
    assert [row[:3] for row in rows] == [["64x32", "float32", name] for name in ("none", "srl_fft")]
    assert [rows[0][5], rows[0][7]] == ["1.00", "1.00"]
    assert all(float(number) > 0 for row in rows for number in row[3:])


@pytest.mark.parametrize("how", ["eager", "compiled"])
def test_blocks_fill_their_tables_and_their_section(tmp_path, run, monkeypatch, how):
    # The compiler's own work is not ours to test: reading the code alone takes a tenth of the time.
    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", lambda module: compile_(module, backend="eager"))
    document = tmp_path / "benchmarks.md"
    section = "blocks cpu" if how == "eager" else "blocks compiled cpu"
    document.write_text(f"<!-- begin {section} -->\nold\n<!-- end {section} -->\n")
    options = ["--input-size", "64x32", "--blocks", "srl_fft", "srl_fft_matmul", "--batch", "2"]
    done = run("blocks", *options, "--how", how, "--rounds", "1", "--write", document)
    rows = cells(done.out)
    head = ["64x32", "float32", how]
    names = ["base network", "srl_fft", "srl_fft_matmul"]
    assert [row[:4] for row in rows[:3]] == [[*head, name] for name in names]
    assert [rows[0][5], rows[0][7]] == ["100.0", "100.0"]
    alone = [["copy the map", *names[1:]][i % 3] for i in range(9)]
    sizes = [size for size in ("4x2", "8x4", "16x8") for _ in range(3)]
    rows, ratios = rows[:-3], rows[-3:]  # of matrix products to FFTs
    assert [row[:5] for row in rows[3:]] == [
        [*head, size, name] for size, name in zip(sizes, alone, strict=True)
    ]
    assert [row[:4] for row in ratios] == [[*head, size] for size in sizes[::3]]
    for row in ratios:  # with one round, those of the table's own times, which it rounds
        fft, matmul = (
            float(own[5]) for own in rows[3:] if own[3] == row[3] and own[4] in names[1:]
        )
        assert float(row[4]) == pytest.approx(matmul / fft, rel=0.01 / matmul + 0.01 / fft + 0.01)
    assert all(float(row[5]) >= 0 for row in rows[3:])
    for column, total in ((5, 4), (7, 6)):  # with one round, medians add up
        alone_ms = sum(float(row[column]) for row in rows[3:] if row[4] == "srl_fft")
        assert alone_ms == pytest.approx(float(rows[1][total]), abs=0.08)
    peaks = [float(row[9]) for row in rows[3:] if row[4] == "srl_fft"]
    # Forward+backward keeps the spectrum at least: 2C (H/2+1) W floats of a C H W map.
    assert all(
        peak > 4e-6 * 256 * h * w
        for peak, (h, w) in zip(peaks, [(4, 2), (8, 4), (16, 8)], strict=True)
    )
    assert all(
        peak < 100 * 4e-6 * 256 * h * w + 1
        for peak, (h, w) in zip(peaks, [(4, 2), (8, 4), (16, 8)], strict=True)
    )
    assert "\nold\n" not in document.read_text()
    assert done.out.strip() in document.read_text()


def test_a_document_without_the_section_is_refused_before_any_work(tmp_path, run):
    done = run("data", "--write", tmp_path / "other.md", status=2)
    assert "has no section between '<!-- begin data cpu -->'" in done.err
    assert "generate images" not in done.err


def test_images_without_annotations_are_refused(tmp_path, run):
    assert (
        "--images and --annotations belong together"
        in run("data", "--images", tmp_path, status=2).err
    )


def test_eval_times_both_ways_to_one_ap(run):
    said = run("eval", "--images", 20, "--persons", 60, "--boxes", 700, "--input-size", "64x64")
    assert "20 images, 60 persons, 700 boxes; AP 0." in said.out
    assert "the same both ways" in said.out
    for stage in ("flip average, decoding", "rescoring and OKS-NMS", "scoring", "all"):
        assert re.search(rf"\| {stage} +\| +[\d.]+ \| +[\d.]+ \| +[\d.]+ \|", said.out)
    run("eval", "--persons", 20, "--boxes", 10, status=2)


def test_read_fills_its_table_and_its_section(tmp_path, run):
    document = tmp_path / "benchmarks.md"
    document.write_text("<!-- begin read cpu -->\nold\n<!-- end read cpu -->\n")
    options = ["--persons", 150, 1200, "--rounds", 1, "--write", document]
    rows = [row for row in cells(run("read", *options).out) if row[0] != "persons"]
    ways = ["pycocotools", "json.load alone", "ours"]
    assert [[row[0], row[2]] for row in rows] == [
        [n, way] for n in ("150", "1,200") for way in ways
    ]
    assert [row[5] for row in rows[::3]] == ["1.00", "1.00"]
    assert all(float(number.replace(",", "")) > 0 for row in rows[3:] for number in row[4:])
    assert "\nold\n" not in document.read_text()


def test_export_fills_its_table_and_its_section(tmp_path, run):
    document = tmp_path / "benchmarks.md"
    document.write_text("<!-- begin export cpu -->\nold\n<!-- end export cpu -->\n")
    options = ["--input-size", "32x32", "--blocks", "none", "--precision", "float32"]
    options += ["--batch", 1, 2, "--rounds", 1, "--write", document]
    rows = [row for row in cells(run("export", *options).out) if row[0] == "none"]
    ways = ["torch float32", "onnxruntime float32"]
    assert [row[:3] for row in rows] == [["none", b, way] for b in ("1", "2") for way in ways]
    assert [row[4] for row in rows[::2]] == ["1.00", "1.00"]
    assert all(float(number) > 0 for row in rows for number in row[3:])
    assert "\nold\n" not in document.read_text()


def test_predict_fills_its_table_and_its_section(tmp_path, run):
    document = tmp_path / "benchmarks.md"
    document.write_text("<!-- begin predict cpu -->\nold\n<!-- end predict cpu -->\n")
    options = ["--generate", 2, "--input-size", "32x32", "--rounds", 1, "--write", document]
    rows = [row for row in cells(run("predict", *options).out) if "persons/s" not in row]
    ways = [row[0] for row in rows if row[0].startswith(("one", "Predictor", "keypoint"))]
    assert ways == [
        "one person after the other",
        "Predictor, image by image",
        "keypoint predict --batch-size 1",
        "keypoint predict",
        "keypoint predict --amp bf16",
    ]
    assert "\nold\n" not in document.read_text()


def test_tracking_fills_its_table_and_its_section(tmp_path, run, monkeypatch):
    import tracking

    monkeypatch.setattr(tracking, "SECONDS", 2.2)
    document = tmp_path / "benchmarks.md"
    document.write_text("<!-- begin tracking cpu -->\nold\n<!-- end tracking cpu -->\n")
    rows = cells(run("tracking", "--scenes", 1, "--write", document).out)
    assert [row[0] for row in rows] == ["scenes", *tracking.SETTINGS, "all"]
    assert rows[1][:3] == ["easy", "0", "100.0"]
    assert "\nold\n" not in document.read_text()


def test_identities_are_scored_by_hand(tools):
    """Two persons in four frames: one swaps ids with the other, then one is boxed twice."""
    import tracking

    def shown(*identity):
        return tracking.Shown(0.0, np.array(identity), *([None] * 3))

    frames = [shown(0, 1), shown(1, 0, -1), shown(0, 1), shown(0, 0, 1)]
    ids = [np.array(one) for one in ([5, 6], [6, 5, 7], [6, 5], [9, 6, 0])]
    score = tracking.Score()
    score.add(frames, ids)
    assert score == tracking.Score(switches=2, right=4, with_id=7, total=8)
    assert score.cells() == ["2", "53.3"]


def test_straightforward_prediction_is_ours(demo, tools):
    import predict

    torch.manual_seed(0)
    model = SimpleBaseline("resnet18", input_size=INPUT_SIZE).eval()
    torch.nn.init.normal_(model.final_layer.weight, std=1.0)
    skeleton = load_skeleton("coco17")
    setting = predict.PredictSetting(
        load_persons(*demo, skeleton), skeleton, model, batch_size=4, threads=1, compiled=False
    )
    slow = predict.straightforward_predict(setting)
    predictor = predict.Predictor(model, skeleton)
    for ours in (predict.image_by_image, predict.as_predict):
        found = ours(setting, predictor)
        assert set(found) == set(slow)
        for key, keypoints in found.items():
            np.testing.assert_allclose(keypoints, slow[key], atol=1e-3)


def test_straightforward_evaluation_is_ours(tools, monkeypatch):
    """Stage by stage, and a stage that differed would be told of."""
    import evaluation
    import straightforward_evaluation as loops

    codec, skeleton = Codec((64, 48)), load_skeleton("coco17")
    flip = torch.tensor(skeleton.flip_indices)
    maps, mirrored = torch.rand(2, 5, 17, 16, 12)
    pairs = [(i, j) for i, j in enumerate(skeleton.flip_indices) if i < j]
    average = codec.average_flipped(maps, mirrored, flip)
    assert torch.equal(loops.flip_average(maps, mirrored.clone(), pairs), average)
    points, scores = codec.decode(average)
    expected = loops.find_keypoints(average.numpy())
    np.testing.assert_array_equal(points, expected[0])
    np.testing.assert_array_equal(scores, expected[1])
    bbox = np.array([[10.0, 20, 50, 90]] * 5)
    found = codec.crop_frame(bbox).to_image(points.double().numpy(), codec.heatmap_size)
    for b in range(5):
        image = loops.to_image(expected[0][b], bbox[b], codec.heatmap_size)
        np.testing.assert_allclose(image, found[b], atol=1e-4)
    case = evaluation.make_case(codec, skeleton, images=9, persons=40, boxes=700)
    both = [
        way(case, codec, skeleton, evaluation.Laps(time.perf_counter), MagicMock())
        for way in (evaluation.ours, evaluation.theirs)
    ]
    assert both[0][1] == pytest.approx(both[1][1], abs=1e-6)
    assert 0.1 < both[0][1]["AP"] < 0.99
    found = loops.to_image
    monkeypatch.setattr(loops, "to_image", lambda *place: found(*place) + 5)
    sizes = {"images": 9, "persons": 40, "boxes": 700}
    with pytest.raises(AssertionError, match="the two ways disagree"):
        evaluation.measure_eval(codec, skeleton, **sizes, rounds=1, clock=time.perf_counter)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data", "--rounds", "0"], "given '0'; give a whole number from 1 to"),
        (["model", "--input-size", "384"], "'384' must be HEIGHTxWIDTH, as 384x288"),
    ],
)
def test_numbers_are_checked(tools, capsys, arguments, message):
    import run as benchmark

    with pytest.raises(SystemExit):
        benchmark.main(arguments)
    assert message in capsys.readouterr().err


def test_every_section_is_in_the_document(tools):
    import run as benchmark

    names = [
        "data cpu",
        "eval cpu",
        "model cpu",
        "model cuda",
        "blocks cpu",
        "blocks compiled cpu",
        "blocks cuda",
        "blocks compiled cuda",
        "predict cpu",
        "predict cuda",
        "export cpu",
        "export cuda",
        "tracking cpu",
        "start cpu",
        "peers cpu",
    ]
    for name in names:
        assert benchmark.find_section(benchmark.DOCUMENTS, name)


def test_straightforward_crops_are_ours(demo, straightforward):
    persons = load_persons(*demo, load_skeleton("coco17"))
    ours = torch.zeros(len(persons), 3, *INPUT_SIZE)
    model = SimpleBaseline("resnet18", input_size=INPUT_SIZE)
    for batch in EvaluationDataset(persons, codec=Codec(INPUT_SIZE), batch_size=4):
        ours[batch.index] = model.normalize(batch.crops)
    theirs = straightforward.evaluation_batch(persons, range(len(persons)), INPUT_SIZE)
    torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-5)


@pytest.mark.parametrize("augmented", [False, True])
def test_straightforward_training_is_ours(demo, straightforward, monkeypatch, augmented):
    """Crop and heatmaps of a mirrored, scaled person are those of one warp by the mirrored matrix."""
    skeleton = load_skeleton("coco17")
    persons = load_persons(*demo, skeleton)
    factor, rotation, mirror = (1.2, 30.0, True) if augmented else (1.0, 0.0, False)
    monkeypatch.setattr(straightforward, "draw", lambda rng: (factor, rotation, mirror))
    indices = list(range(len(persons)))
    crops, maps, weights = straightforward.train_batch(
        persons, indices, np.random.default_rng(0),
        flip_indices=skeleton.flip_indices, input_size=INPUT_SIZE, heatmap_sigma=2.0,
    )  # fmt: skip
    frame = CropFrame.from_bboxes(persons.bbox_xywh, INPUT_SIZE)
    matrices = frame.scaled(factor).matrices(rotation, mirror)
    order = skeleton.flip_indices if mirror else range(17)
    keypoints = torch.from_numpy(apply_affine(matrices, persons.keypoints_image)[:, list(order)])
    labelled = torch.from_numpy(persons.visibility[:, list(order)] > 0)
    expected, expected_weights = encode(
        keypoints, labelled, (INPUT_SIZE[0] // 4, INPUT_SIZE[1] // 4), 2.0
    )
    assert torch.equal(weights, expected_weights)
    assert weights.sum() > 10
    torch.testing.assert_close(maps, expected, rtol=0, atol=1e-5)
    images = [read_image(persons.images.path(int(row))) for row in persons.image_index]
    ours = np.stack(
        [warp(image, matrix, INPUT_SIZE) for image, matrix in zip(images, matrices, strict=True)]
    )
    model = SimpleBaseline("resnet18", input_size=INPUT_SIZE)
    difference = (crops - model.normalize(torch.from_numpy(ours))).abs()
    assert difference.median() == pytest.approx(0, abs=1e-5)
    assert (
        difference.mean() < 0.02
    )  # of one standard deviation: OpenCV's rounding of the coefficients


def test_straightforward_heatmaps_are_ours_outside_the_map_too(straightforward):
    x = np.arange(-60.0, 130.0, 3.7)  # the patch leaves the map on both sides
    keypoints = np.stack([x, x[::-1] + 20], axis=1)
    labelled = np.arange(len(x)) % 7 > 0
    maps, weights = straightforward.heatmaps(keypoints, labelled, INPUT_SIZE, 2.0)
    expected, expected_weights = encode(
        torch.from_numpy(keypoints)[None], torch.from_numpy(labelled)[None], (24, 16), 2.0
    )
    assert weights.tolist() == expected_weights[0].tolist()
    assert 0 < weights.sum() < labelled.sum()
    np.testing.assert_allclose(maps, expected[0].numpy(), rtol=0, atol=1e-6)


def test_table_is_markdown(tools):
    from timing import table

    text = table(["way", "ms"], [["a", "1.5"], ["long", "10"]])
    assert text.splitlines() == [
        "| way  |  ms |",
        "| ---- | --: |",
        "| a    | 1.5 |",
        "| long |  10 |",
    ]


def test_ways_take_turns_and_ratios_are_taken_within_a_round(tools):
    from timing import interleave, median_ratio

    order = []

    def way(name, seconds):
        def run(number):
            order.append((name, number))
            return seconds * 10**number  # a machine that slows down tenfold from round to round

        return run

    ways = {"a": way("a", 1.0), "b": way("b", 2.0)}
    times = interleave(ways, rounds=2, warm_up=1, bar=SimpleNamespace(update=lambda number: None))
    assert order == [("b", 0), ("a", 0), ("a", 1), ("b", 1), ("b", 2), ("a", 2)]
    assert times["a"].tolist() == [10.0, 100.0]
    assert median_ratio(times["b"], times["a"]) == 2.0


def test_start_times_processes(run, monkeypatch):
    import start

    monkeypatch.setattr(start, "write_files", lambda folder: None)
    monkeypatch.setattr(start, "FLOOR", "import json")
    monkeypatch.setattr(start, "LIBRARIES", ("import json",))
    monkeypatch.setattr(start, "HELPS", ("--help",))
    monkeypatch.setattr(start, "PREDICT", ())
    said = run("start", "--rounds", 2).out
    floor, helped = [row for row in cells(said) if row[0].startswith("`")]
    assert [floor[0], floor[3], helped[0]] == ["`import json`", "1.00", "`keypoint --help`"]
    assert all(float(number) > 0 for number in (*floor[1:], *helped[1:]))
    monkeypatch.setattr(start, "HELPS", ("trian",))
    assert "'trian' is not a command" in run("start", "--rounds", 1, status=1).err
