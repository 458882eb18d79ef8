"""A checkpoint's decoding goes wherever the network is used, and gives the keypoints of its AP."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from keypoint.checkpoint.card import read_card
from keypoint.commands import app, predict
from keypoint.commands.options import predict as options
from keypoint.data.annotations import read_annotations
from keypoint.data.coco import select_persons
from keypoint.data.images.read import read_image, warp
from keypoint.errors import ConfigError
from keypoint.evaluation.run import evaluate_model
from keypoint.export.card import card_from_texts
from keypoint.export.network import ExportedNetwork
from keypoint.pose.names import DECODING_WORDS, DECODINGS
from keypoint.prediction.predictor import Predictor
from tests import tiny_coco, tiny_network
from tests.calling import tool
from tests.export.test_export import card_of

BOTH = [(codec, decoding) for codec, names in DECODINGS.items() for decoding in names]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    files = tiny_coco.write(tmp_path_factory.mktemp("data"), tiny_coco.content(2))
    return read_annotations(*files, tiny_network.SKELETON, scored=True)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny_network.checkpoint(tmp_path_factory.mktemp("run") / "best.pt", decoding="dark")


@pytest.mark.parametrize(("codec", "decoding"), BOTH)
def test_what_ships_gives_the_keypoints_of_the_evaluation(data, codec, decoding):
    model, persons = tiny_network.model(codec=codec), select_persons(data)
    evaluation = evaluate_model(
        model, persons=persons, annotations=data, skeleton=tiny_network.SKELETON, batch_size=4,
        workers=0, decoding=decoding,
    )  # fmt: skip
    assert evaluation.conditions["decoding"] == DECODING_WORDS[decoding]
    expected = evaluation.predictions.keypoints_image
    predictor = Predictor(model, tiny_network.SKELETON, flip=True, decoding=decoding)
    graph = ExportedNetwork(model, card_of(model, flip=True, decoding=decoding))
    images = persons.images
    for row, name in enumerate(images.file_names):
        image, mine = read_image(images.root / name), persons.image_index == row
        found = predictor(image, persons.bbox_xywh[mine])
        np.testing.assert_allclose(found.keypoints, expected[mine], rtol=0, atol=0.01)

        frame = predictor.crop_frame(persons.bbox_xywh[mine])
        crops = np.stack([warp(image, matrix, frame.input_size) for matrix in frame.matrices()])
        with torch.inference_mode():
            points, _, heatmaps = graph(torch.from_numpy(crops))
        in_image = frame.to_image(points.numpy(), frame.input_size)
        np.testing.assert_allclose(in_image, expected[mine], rtol=0, atol=0.01)
        *with_heatmaps, _ = predictor.predict_with_heatmaps(crops)
        torch.testing.assert_close(with_heatmaps[0], points, rtol=0, atol=0.01)


def test_another_decoding_is_another_answer_and_can_be_chosen(checkpoint):
    assert read_card(checkpoint)["network"]["decoding"] == "dark"
    crops = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    found = [
        Predictor.from_checkpoint(checkpoint, "cpu", **options).predict_crops(crops)[0]
        for options in ({}, {"decoding": "codec"}, {"decoding": None})
    ]
    assert not torch.equal(found[0], found[1])
    assert torch.equal(found[1] % 1, torch.zeros_like(found[1]))  # a quarter of 4 pixels
    assert torch.equal(found[2] % 4, torch.zeros_like(found[2]))  # whole pixels of the heatmap
    pretrained = Predictor.from_pretrained(checkpoint.parent, "cpu")
    assert torch.equal(pretrained.predict_crops(crops)[0], found[0])
    assert Predictor.from_pretrained(checkpoint.parent, "cpu", decoding=None).decoding is None
    udp = tiny_network.model(codec="udp")
    with pytest.raises(ConfigError, match="'quarter' does not belong to the codec 'udp'"):
        Predictor(udp, tiny_network.SKELETON, decoding="quarter")


@pytest.mark.parametrize(("typed", "decoding"), [([], "dark"), (["--decoding", "none"], None), (["--decoding", "codec"], "quarter")])  # fmt: skip
def test_the_commands(checkpoint, tmp_path, typed, decoding, monkeypatch):
    common = ["--checkpoint", str(checkpoint), *typed]
    args = options.parse([*common, "--output", "x", "a.png"])
    assert predict.make_predictor(args).decoding == decoding

    given = []
    monkeypatch.setattr("keypoint.commands.export.export_network", lambda _, card, *rest: given.append(card) or 1 / 0)  # fmt: skip
    tool("export", *common, "--output", tmp_path / "model.pt2")
    assert given[0].decoding == decoding

    monkeypatch.setattr(app, "require_gradio", lambda: None)
    monkeypatch.setattr(app, "serve", lambda finder, *rest: given.append(finder) or 1 / 0)
    tool("app", *common)
    assert given[1].predictor.decoding == decoding


def test_an_exported_file_says_its_decoding():
    model = tiny_network.model()
    texts = card_of(model, decoding="dark").to_texts()
    assert json.loads(texts["decoding"]) == "dark"
    assert card_from_texts(texts, "f").decoding == "dark"
    none = card_from_texts(texts | {"decoding": "null"}, "f")
    assert none == replace(card_of(model), decoding=None)
    older = {name: text for name, text in texts.items() if name != "decoding"}
    assert card_from_texts(older, "f").decoding == "quarter"
    assert card_from_texts(older | {"codec": '"udp"'}, "f").decoding == "dark"


def test_the_card_of_another_decoding_says_what_ships(data, tmp_path):
    path = tiny_network.checkpoint(tmp_path / "best.pt")
    folder = data.images.root.parent
    typed = [f"data.root={folder}", f"output={tmp_path}", "data.workers=0", "test.flip=false"]
    assert tool("test", "--checkpoint", path, "--device", "cpu", "test.decoding=none", *typed) == 0
    card = " ".join((tmp_path / "card.md").read_text().split())
    assert (
        "* decoding: quarter offset in the checkpoint; measured with none, which predict and "
        "export use with --decoding none * skeleton" in card
    )
