"""Our side of `run.py peers`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import cv2
import data
import evaluation
import numpy as np
import onnxruntime
import torch
from data_path import SEED, DataPath
from peer_side import (
    AFTER,
    EVALUATION,
    FIRST,
    HELP,
    PREDICT,
    READ,
    STEP,
    TRAINING,
    PeerSetting,
    Size,
    Way,
    words,
)
from predict import PredictSetting, image_by_image
from start import PREDICT as COMMANDS
from start import Process
from timing import cpu_seconds, seconds

from keypoint.config.load import config_from_dict
from keypoint.data.batches import TrainDataset
from keypoint.data.coco import load_persons
from keypoint.data.persons import Persons
from keypoint.export.onnx_predictor import OnnxPredictor, open_onnx
from keypoint.models import SimpleBaseline, create_model
from keypoint.pose.codec import Codec
from keypoint.pose.skeleton import load_skeleton
from keypoint.prediction.predictor import Predictor
from keypoint.training.keypoints import keypoint_loss
from keypoint.training.losses import heatmap_loss
from keypoint.training.optimizer import build_optimizer
from keypoint.training.step import TrainingStep

SKELETON, CPU = load_skeleton("coco17"), torch.device("cpu")
BOXES_AN_IMAGE = (1, 3, 20)
PERSONS_A_BOX, IMAGES_A_BOX = 6352 / 104_125, 5000 / 104_125  # val2017 with its detections


def works(setting: PeerSetting) -> dict[str, Callable[[], Way]]:
    """All works by name."""
    found: dict[str, Callable[[], Way]] = {}
    for size in setting.sizes:
        found[TRAINING.format(words(size))] = partial(training, setting, size, data.UINT8)
    for number in BOXES_AN_IMAGE:
        found[EVALUATION.format(number)] = partial(evaluation_data, setting, number, data.UINT8)
    for size in setting.sizes:
        found[STEP.format(words(size))] = partial(step, setting, size)
    found[f"{PREDICT} (Predictor)"] = partial(prediction, setting, by_torch)
    found[f"{PREDICT} (OnnxPredictor)"] = partial(prediction, setting, by_onnx)
    found[AFTER] = lambda: after(setting, evaluation.ours)
    found[READ] = lambda: (
        lambda _: cpu_seconds(lambda: load_persons(setting.file, setting.images, SKELETON))
    )
    found[HELP] = lambda: Process(["-m", "keypoint", "predict", "--help"], setting.folder)
    for command in COMMANDS:
        given = [*command.split(), "--output", "out", "--overwrite", "photo.jpg"]
        name = f"{FIRST} ({command.split()[1]})"
        found[name] = partial(Process, ["-m", "keypoint", *given], setting.folder)
    return found


def data_path(setting: PeerSetting, size: Size) -> DataPath:
    """Persons and crops; sets one thread."""
    persons = load_persons(setting.annotations, setting.images, SKELETON)
    return DataPath(persons, SKELETON, size, setting.batch)


def training(setting: PeerSetting, size: Size, way: str) -> Way:
    """Seconds a crop of a training batch, by one of the ways of `run.py data`."""
    taken = data.training_ways(data_path(setting, size))[way]
    return lambda number: taken(number) / setting.batch


def evaluation_data(setting: PeerSetting, number: int, way: str) -> Way:
    """Seconds a crop of `number` boxes an image, by one of the ways of `run.py data`."""
    path = data_path(setting, setting.sizes[0])
    images = evaluated_images(setting, path.persons, number)
    taken = data.evaluation_ways(path, number, images)[way]
    return lambda number_of_round: taken(number_of_round) / (images * number)


def evaluated_images(setting: PeerSetting, persons: Persons, number: int) -> int:
    """Return the number of images in a round of evaluation."""
    return max(1, min(round(setting.crops / number), len(np.unique(persons.image_index))))


def step(setting: PeerSetting, size: Size) -> Way:
    """Seconds a crop of a training step: uint8 crops to new weights, as `keypoint train` does."""
    path = data_path(setting, size)
    chosen = [(0, index) for index in np.resize(path.choose(0), setting.step_batch).tolist()]
    batch = TrainDataset(path.persons, path.augmentation(), SEED).__getitems__(chosen)
    torch.set_num_threads(setting.threads)
    model = network(size).train()
    training_step = TrainingStep(
        model,
        optimizer=build_optimizer(model),
        loss=partial(keypoint_loss, model=model, heatmap_loss=heatmap_loss),
        channels_last=config_from_dict({}, "benchmark").train.channels_last,
    )

    def once() -> None:
        loss, _, _ = training_step.gradients(iter([batch]), 1)
        training_step.update(1e-3)
        loss.item()

    return lambda _: seconds(once, CPU) / setting.step_batch


def network(size: Size) -> SimpleBaseline:
    """ResNet-50 with random weights."""
    return create_model("resnet50", input_size=size, weights=None)


def photos(setting: PeerSetting) -> Persons:
    """The persons of the images to predict."""
    persons = load_persons(setting.annotations, setting.images, SKELETON)
    rows = np.unique(persons.image_index)[: setting.photos]
    return part(persons, np.flatnonzero(np.isin(persons.image_index, rows)))


def part(persons: Persons, chosen: Any) -> Persons:
    """Some of the persons."""
    names = ("ids", "image_index", "bbox_xywh", "bbox_scores", "keypoints_image", "visibility")
    return data.replace(persons, **{name: getattr(persons, name)[chosen] for name in names})


def prediction(setting: PeerSetting, build: Callable[[PeerSetting], Any]) -> Way:
    """Seconds a person, image by image as in the README, from files to keypoints."""
    torch.set_num_threads(setting.threads)
    cv2.setNumThreads(0)
    persons, predictor = photos(setting), build(setting)
    shared = PredictSetting(persons, SKELETON, network(setting.sizes[0]), 1, 1, False)
    return lambda _: seconds(lambda: image_by_image(shared, predictor), CPU) / len(persons)


def by_torch(setting: PeerSetting) -> Predictor:
    """Predictor of the checkpoint."""
    return Predictor.from_checkpoint(setting.folder / "best.pt", "cpu")


def by_onnx(setting: PeerSetting) -> OnnxPredictor:
    """OnnxPredictor of the exported file, with this number of threads."""
    path: Path = setting.folder / "model.onnx"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = setting.threads
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    return OnnxPredictor(session, open_onnx(path, "cpu")[1])


def case_of(setting: PeerSetting) -> evaluation.EvaluationCase:
    """Heatmaps, boxes and truth for the work after the network, the same on both sides."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    return evaluation.make_case(
        Codec(setting.sizes[0]),
        SKELETON,
        images=round(setting.boxes * IMAGES_A_BOX) + 1,
        persons=round(setting.boxes * PERSONS_A_BOX) + 1,
        boxes=setting.boxes,
    )


def after(setting: PeerSetting, way: Callable[..., tuple[evaluation.Laps, Any]]) -> Way:
    """Seconds a box, by one of the ways of `run.py eval`."""
    case, codec = case_of(setting), Codec(setting.sizes[0])

    def timed(_: int) -> float:
        laps, _ = way(case, codec, SKELETON, evaluation.Laps(evaluation.time.process_time), QUIET)
        return sum(laps.seconds.values()) / setting.boxes

    return timed


QUIET = MagicMock()  # a bar that shows nothing
