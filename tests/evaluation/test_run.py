"""The whole path after the network, with an oracle in the network's place."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from torch import nn

from keypoint.data.annotations import read_annotations
from keypoint.data.batches import EvaluationDataset
from keypoint.data.boxes import load_boxes
from keypoint.data.coco import load_persons
from keypoint.drawing.strokes import LEFT, MIDDLE, RIGHT
from keypoint.errors import ConfigError, DataError, NumericsError
from keypoint.evaluation import published
from keypoint.evaluation.coco import evaluate_coco
from keypoint.evaluation.pictures import truth_beside_prediction
from keypoint.evaluation.run import evaluate_model
from keypoint.pose.codec import Codec
from keypoint.pose.geometry import CropFrame, apply_affine
from keypoint.pose.skeleton import load_skeleton
from tests import tiny_coco
from tests.evaluation.cases import boxes_of

SKELETON = load_skeleton("coco17")


class Oracle(nn.Module):
    """Answers each crop with heatmaps of the truth, and a mirrored crop with mirrored ones."""

    def __init__(self, persons, input_size, flip, subpixel=True, codec="heatmap"):
        super().__init__()
        self.codec, self.color_order = Codec(input_size, codec), "rgb"
        self.input_size, self.heatmap_size = input_size, self.codec.heatmap_size
        self.register_buffer("pixel_mean", torch.zeros(3))
        matrices = self.codec.crop_frame(persons.bbox_xywh).matrices()
        points = apply_affine(matrices, persons.keypoints_image.astype(float))
        dataset = EvaluationDataset(persons, codec=self.codec, batch_size=8)
        order = np.concatenate([batch.index.numpy() for batch in dataset])
        self.points, self.labelled = (
            torch.tensor(points[order]),
            torch.tensor(persons.visibility[order] > 0),
        )
        self.flip, self.calls, self.seen, self.subpixel = flip, 0, 0, subpixel

    def normalize(self, crops):
        return crops.permute(0, 3, 1, 2).float()

    def forward(self, images):
        mirrored = self.flip and self.calls % 2 == 1
        self.calls += 1
        rows = slice(self.seen, self.seen + len(images))
        points = self.points[rows].clone()
        if mirrored:
            points = points[:, list(SKELETON.flip_indices)]
            points[..., 0] = self.input_size[1] - 1 - points[..., 0]
        if not self.flip or mirrored:
            self.seen += len(images)
        sigma = self.codec.sigma
        if not self.subpixel:
            return self.codec.encode(points, self.labelled[rows])[0]
        height, width = self.heatmap_size
        points[..., 0] *= (width - 1) / (4 * width - 1) if self.codec.udp else 1 / 4
        points[..., 1] *= (height - 1) / (4 * height - 1) if self.codec.udp else 1 / 4
        x = torch.exp(-((torch.arange(width) - points[..., :1]) ** 2) / (2 * sigma**2))
        y = torch.exp(-((torch.arange(height) - points[..., 1:]) ** 2) / (2 * sigma**2))
        return y[..., :, None] * x[..., None, :]


def evaluate(persons, annotations, input_size=(256, 192), flip=True, model=None, **options):
    model = model or Oracle(persons, input_size, flip)
    truth = read_annotations(annotations, persons.images.root, SKELETON, scored=True)
    return evaluate_model(
        model, persons=persons, annotations=truth, skeleton=SKELETON, batch_size=8, workers=0, flip=flip, **options
    )  # fmt: skip


@pytest.fixture(scope="module")
def sample(coco_sample, tmp_path_factory):
    """The real persons. 10 labels lie outside their own padded box, where no heatmap reaches; they are removed."""
    content = json.loads((coco_sample / "annotations" / "person_keypoints_sample.json").read_text())
    file = tmp_path_factory.mktemp("sample") / "annotations.json"
    persons = load_persons(
        coco_sample / "annotations" / "person_keypoints_sample.json",
        coco_sample / "images",
        SKELETON,
    )
    matrices = CropFrame.from_bboxes(persons.bbox_xywh, (256, 192)).matrices()
    crop = apply_affine(matrices, persons.keypoints_image.astype(float))
    outside = ((crop < 0) | (crop > [191, 255])).any(axis=2) & (persons.visibility > 0)
    assert outside.sum() == 10
    by_id = {entry["id"]: entry for entry in content["annotations"]}
    for row, k in zip(*np.nonzero(outside), strict=True):
        entry = by_id[int(persons.ids[row])]
        entry["keypoints"][3 * k : 3 * k + 3] = [0, 0, 0]
        entry["num_keypoints"] -= 1
    file.write_text(json.dumps(content))
    return load_persons(file, coco_sample / "images", SKELETON), file


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("input_size", [(256, 192), (384, 288)])
def test_truth_as_prediction_gives_ap_1_on_real_images(sample, flip, input_size):
    persons, file = sample
    evaluation = evaluate(persons, file, input_size, flip)
    assert evaluation.metrics["AP"] == pytest.approx(1.0, abs=1e-9)
    assert evaluation.metrics["AR"] == 1.0
    assert len(evaluation.results) == evaluation.conditions["persons"]["used"] == 111
    assert evaluation.conditions["boxes"] == "ground truth"


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(("codec", "decoding"), [("heatmap", "dark"), ("udp", "codec")])
def test_truth_survives_every_codec_and_decoding(sample, flip, codec, decoding):
    persons, file = sample
    model = Oracle(persons, (256, 192), flip, codec=codec)
    evaluation = evaluate(persons, file, flip=flip, model=model, decoding=decoding)
    assert evaluation.metrics["AP"] == pytest.approx(1.0, abs=1e-9)
    had = evaluation.conditions
    assert (had["codec"], had["decoding"]) == (codec, "dark")
    assert had["flip_shift"] == (flip and codec == "heatmap")
    found, truth = evaluation.predictions.keypoints_image, persons.keypoints_image
    off = np.linalg.norm(found - truth, axis=2)[persons.visibility > 0]
    heatmap_pixel = (model.codec.crop_frame(persons.bbox_xywh).crop_size[:, 1] / 48).mean()
    # The heatmap codec's average of two maps a quarter pixel apart stays an eighth off; udp's fits.
    assert np.median(off) < (0.15 if codec == "heatmap" and flip else 0.02) * heatmap_pixel


def test_a_decoding_of_the_other_codec_is_refused_before_any_work(sample):
    persons, file = sample
    model = Oracle(persons, (256, 192), False, codec="udp")
    with pytest.raises(ConfigError, match="'quarter' does not belong to the codec 'udp'"):
        evaluate(persons, file, flip=False, model=model, decoding="quarter")
    assert model.calls == 0


def test_training_targets_cost_what_their_grid_costs(sample):
    """Targets are centred on whole heatmap pixels: at 256x192 rounding alone costs AP, at 384x288 none here."""
    persons, file = sample
    ap = [
        evaluate(persons, file, size, False, Oracle(persons, size, False, subpixel=False)).metrics[
            "AP"
        ]
        for size in [(256, 192), (384, 288)]
    ]
    assert 0.97 < ap[0] < 1.0
    assert ap[1] == pytest.approx(1.0, abs=1e-9)


def test_a_wrong_way_back_is_seen(sample):
    """The check above can fail: half a heatmap pixel off, or left and right confused, and AP falls."""
    persons, file = sample
    for spoil in (lambda points: points + 4, lambda points: points[:, list(SKELETON.flip_indices)]):
        model = Oracle(persons, (256, 192), False)
        model.points = spoil(model.points)
        assert evaluate(persons, file, flip=False, model=model).metrics["AP"] < 0.97


def test_detector_boxes_are_rescored_suppressed_and_reported(tmp_path):
    data = tiny_coco.content(4, 1)
    file, images = tiny_coco.write(tmp_path, data)
    (tmp_path / "boxes.json").write_text(json.dumps(boxes_of(data, 0.9, 0.5)))  # each box twice
    persons = load_boxes(tmp_path / "boxes.json", file, images, SKELETON)
    truth = load_persons(file, images, SKELETON)
    again = np.repeat(np.arange(4), 2)
    points = truth.keypoints_image[again].copy()
    points[1::2] += 1  # px: the same person only by the scale of its ENLARGED crop
    filled = type(persons)(
        **{
            **vars(persons),
            "keypoints_image": points,
            "visibility": truth.visibility[again],
        }
    )
    evaluation = evaluate(persons, file, model=Oracle(filled, (256, 192), True))
    assert evaluation.conditions["boxes"] == "detector"
    assert evaluation.conditions["results"] == {"given": 8, "kept": 4, "suppressed": 4}
    assert [round(score, 1) for score in evaluation.results.scores.tolist()] == [0.9] * 4
    kept_all = evaluate(persons, file, model=Oracle(filled, (256, 192), True), nms=None)
    assert len(kept_all.results) == 8
    # A file may have a box twice: the network's equal results are then not a fault.
    scores = np.repeat(persons.bbox_scores[::2], 2)
    same = dataclasses.replace(filled, bbox_scores=scores, keypoints_image=points[::2][again])
    persons = dataclasses.replace(persons, bbox_scores=scores)
    repeated = evaluate(persons, file, model=Oracle(same, (256, 192), True), nms=None)
    with pytest.raises(DataError, match="duplicate of result 0"):
        evaluate_coco(file, repeated.results)
    assert repeated.metrics["AR"] == 1


def test_thresholds_are_among_the_conditions(tmp_path):
    data = tiny_coco.content(2, 1)
    file, images = tiny_coco.write(tmp_path, data)
    (tmp_path / "boxes.json").write_text(json.dumps(boxes_of(data, 0.9, 0.1)))
    for least, number in ((0.0, 4), (0.3, 2)):
        persons = load_boxes(tmp_path / "boxes.json", file, images, SKELETON, least)
        model = Oracle(dataclasses.replace(persons, visibility=np.full((number, 17), 2, np.uint8)), (64, 64), False)  # fmt: skip
        found = evaluate(persons, file, flip=False, model=model, keypoint_threshold=0.35)
        assert found.conditions["box_score_threshold"] == least
        assert found.conditions["keypoint_threshold"] == 0.35
        assert found.conditions["annotations"] == str(file)
        assert published.CONDITIONS.keys() <= found.conditions.keys()  # or no AP could be held
        assert found.conditions["persons"]["images"]["total"] == 2
        assert (
            f"scores   of keypoints above 0.35; of boxes with a score of at least {least}\n"
            in found.table()
        )
    truth = load_persons(file, images, SKELETON)
    found = evaluate(truth, file, flip=False, model=Oracle(truth, (64, 64), False))
    assert found.conditions["box_score_threshold"] is None
    assert "scores   of keypoints above 0.2\n" in found.table()
    assert "NOTE" not in found.table()
    noted = dataclasses.replace(truth, report=dataclasses.replace(truth.report, notes=("odd",)))
    found = evaluate(noted, file, flip=False, model=Oracle(noted, (64, 64), False))
    assert "\nNOTE     odd\n" in found.table()
    assert found.conditions["notes"] == ["odd"]


def test_heatmaps_that_are_not_finite_never_reach_the_score(tmp_path):
    file, images = tiny_coco.write(tmp_path, tiny_coco.content(3, 2))
    persons = load_persons(file, images, SKELETON)
    model = Oracle(persons, (64, 64), False)
    model.points[3] = torch.nan
    with pytest.raises(
        NumericsError, match=r"heatmaps of 1 person are nan or inf, on image ids \[101\]"
    ):
        evaluate(persons, file, flip=False, model=model)


def test_mode_is_restored_and_pictures_are_drawn(tmp_path):
    file, images = tiny_coco.write(tmp_path, tiny_coco.content(5, 2))
    persons = load_persons(file, images, SKELETON)
    model = Oracle(persons, (64, 64), False).train()
    evaluation = evaluate(persons, file, flip=False, model=model)
    assert model.training
    sheet = truth_beside_prediction(persons, evaluation.predictions, persons, SKELETON, 3)
    assert sheet.dtype == np.uint8
    assert sheet.shape[0] > 600  # 3 pairs, two pairs a row
    for color in (LEFT, RIGHT, MIDDLE):  # the legend
        assert (sheet[:34] == color).all(axis=2).sum() > 50
