"""The HRNet repository's side of `run.py peers`; see `hrnet_code.py`."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import data
import evaluation
import hrnet_code
import numpy as np
import torch
from data_path import SEED
from peer_ours import (
    BOXES_AN_IMAGE,
    CPU,
    QUIET,
    SKELETON,
    case_of,
    data_path,
    evaluated_images,
    photos,
)
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
from start import BOX, Process
from timing import cpu_seconds, seconds
from torch.utils.data import default_collate
from torchvision import transforms

from keypoint.data.persons import Persons
from keypoint.evaluation.coco import METRICS
from keypoint.pose.codec import Codec

SPLIT = "peers"
TRANSFORM = transforms.Compose(  # of its tools/train.py
    [
        transforms.ToTensor(),
        transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
    ]
)


def works(setting: PeerSetting) -> dict[str, Callable[[], Way]]:
    """All works by name."""
    found: dict[str, Callable[[], Way]] = {}
    for size in setting.sizes:
        found[TRAINING.format(words(size))] = partial(training, setting, size)
        found[STEP.format(words(size))] = partial(step, setting, size)
    for number in BOXES_AN_IMAGE:
        found[EVALUATION.format(number)] = partial(evaluation_data, setting, number)
    found[PREDICT] = partial(prediction, setting)
    found[AFTER] = partial(after, setting)
    found[READ] = partial(reading, setting)
    demo = str(folder_of(setting) / "demo" / "demo.py")
    found[HELP] = lambda: Process([demo, "--help"], setting.folder)
    found[FIRST] = partial(first, setting)
    return found


def folder_of(setting: PeerSetting) -> Path:
    """Its clone."""
    assert setting.code is not None
    return setting.code


def code_for(setting: PeerSetting, size: Size) -> SimpleNamespace:
    """Its code, set to a size."""
    return hrnet_code.load(folder_of(setting), size, Codec(size).sigma)


def dataset_of(setting: PeerSetting, code: SimpleNamespace, file: Path, is_train: bool) -> Any:
    """Its COCODataset of an annotation file."""
    root = setting.folder / "hrnet"
    link = root / "annotations" / f"person_keypoints_{SPLIT}.json"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(file.resolve())
    coco = importlib.import_module("dataset.coco").COCODataset
    return coco(code.cfg.clone(), str(root), SPLIT, is_train, TRANSFORM)


def records(dataset: Any, persons: Persons) -> list[dict[str, Any]]:
    """Persons as it keeps them, so that both sides cut the same."""
    found = []
    for i in range(len(persons)):
        center, scale = dataset._box2cs(persons.bbox_xywh[i])
        joints, visible = np.zeros((2, persons.keypoints_image.shape[1], 3))
        joints[:, :2] = persons.keypoints_image[i]
        visible[:, :2] = persons.visibility[i][:, None] > 0
        path = str(persons.images.path(int(persons.image_index[i])))
        record = {"image": path, "center": center, "scale": scale, "filename": "", "imgnum": 0}
        found.append(record | {"joints_3d": joints, "joints_3d_vis": visible})
    return found


def training(setting: PeerSetting, size: Size) -> Way:
    """Seconds a crop of a training batch."""
    path = data_path(setting, size)
    dataset = dataset_of(setting, code_for(setting, size), setting.annotations, True)
    dataset.db = records(dataset, path.persons)

    def batch(number: int) -> Any:
        return default_collate([dataset[index] for index in path.choose(number)])

    return lambda number: cpu_seconds(lambda: batch(number)) / setting.batch


def evaluation_data(setting: PeerSetting, number: int) -> Way:
    """Seconds a crop of `number` boxes an image."""
    path = data_path(setting, setting.sizes[0])
    dataset = dataset_of(setting, code_for(setting, setting.sizes[0]), setting.annotations, False)
    images = evaluated_images(setting, path.persons, number)

    def timed(number_of_round: int) -> float:
        rng = np.random.default_rng((SEED, number, number_of_round))
        persons = data.boxes_on_images(path.persons, images, number, rng)
        dataset.db = records(dataset, persons)

        def batches() -> None:
            for begin in range(0, len(persons), setting.batch):
                rows = range(begin, min(begin + setting.batch, len(persons)))
                default_collate([dataset[row] for row in rows])

        return cpu_seconds(batches) / len(persons)

    return timed


def step(setting: PeerSetting, size: Size) -> Way:
    """Seconds a crop of its `train` function on one batch: loss, backward, Adam, its accuracy."""
    path, code = data_path(setting, size), code_for(setting, size)
    dataset = dataset_of(setting, code, setting.annotations, True)
    dataset.db = records(dataset, path.persons)
    chosen = np.resize(path.choose(0), setting.step_batch).tolist()
    batch = default_collate([dataset[index] for index in chosen])
    torch.set_num_threads(setting.threads)
    train = importlib.import_module("core.function").train
    criterion = importlib.import_module("core.loss").JointsMSELoss(use_target_weight=True)
    model = hrnet_code.network(code)
    optimizer = importlib.import_module("utils.utils").get_optimizer(code.cfg, model)
    log = {"writer": SimpleNamespace(add_scalar=lambda *_: None), "train_global_steps": 0}

    def once() -> None:
        train(code.cfg, [batch], model, criterion, optimizer, 0, "", "", log)

    return lambda _: seconds(once, CPU) / setting.step_batch


def prediction(setting: PeerSetting) -> Way:
    """Seconds a person by its demo's loop."""
    torch.set_num_threads(setting.threads)
    cv2.setNumThreads(0)
    persons, code = photos(setting), code_for(setting, setting.sizes[0])
    model = hrnet_code.network(code).eval()

    def all_files() -> None:
        for row in np.unique(persons.image_index):
            boxes = persons.bbox_xywh[persons.image_index == row]
            hrnet_code.predict_file(code, model, persons.images.path(int(row)), boxes)

    return lambda _: seconds(all_files, CPU) / len(persons)


def after(setting: PeerSetting) -> Way:
    """Seconds a box of what its `validate` does with heatmaps; must find our AP."""
    case, codec = case_of(setting), Codec(setting.sizes[0])
    code = code_for(setting, setting.sizes[0])
    images = [{"width": 640, "height": 480} | image for image in case.annotations["images"]]
    file = setting.folder / "hrnet_case.json"
    file.write_text(json.dumps(case.annotations | {"images": images}))
    dataset = dataset_of(setting, code, file, False)

    def once() -> dict[str, float]:
        return post_process(case, code, dataset, setting.folder / "hrnet_results")

    _, ours = evaluation.ours(
        case, codec, SKELETON, evaluation.Laps(evaluation.time.process_time), QUIET
    )
    theirs = once()
    if max(abs(ours[name] - theirs[name]) for name in METRICS) > 1e-3:
        raise AssertionError(f"the two sides disagree: {ours} and {theirs}")
    return lambda _: cpu_seconds(once) / setting.boxes


def post_process(
    case: evaluation.EvaluationCase, code: SimpleNamespace, dataset: Any, folder: Path
) -> dict[str, float]:
    """The steps of its `validate` after the network, all boxes; our names of the ten numbers."""
    flip_back = importlib.import_module("utils.transforms").flip_back
    get_final_preds = importlib.import_module("core.inference").get_final_preds
    boxes = len(case.bbox_xywh)
    predictions, places = np.zeros((boxes, dataset.num_joints, 3), np.float32), np.zeros((boxes, 6))
    for first in range(0, boxes, evaluation.BATCH):
        pool = case.heatmaps[first // evaluation.BATCH % evaluation.POOL_BATCHES]
        output, flipped = (maps[: boxes - first] for maps in pool)
        flipped = torch.from_numpy(flip_back(flipped.clone().numpy(), dataset.flip_pairs).copy())
        flipped[:, :, :, 1:] = flipped.clone()[:, :, :, 0:-1]
        output = (output + flipped) * 0.5
        rows = slice(first, first + len(output))
        both = [dataset._box2cs(box) for box in case.bbox_xywh[rows]]
        center, scale = (np.array(part) for part in zip(*both, strict=True))
        predictions[rows, :, :2], predictions[rows, :, 2:] = get_final_preds(
            code.cfg, output.numpy(), center, scale
        )
        places[rows, :2], places[rows, 2:4] = center, scale
        places[rows, 4], places[rows, 5] = np.prod(scale * 200, 1), case.bbox_scores[rows]
    files = [f"{image_id:012d}.jpg" for image_id in case.image_ids]
    values, _ = dataset.evaluate(code.cfg, predictions, str(folder), places, files)
    return dict(zip(METRICS, values.values(), strict=True))


def reading(setting: PeerSetting) -> Way:
    """Seconds of its COCODataset from a file to records."""
    code = code_for(setting, setting.sizes[0])
    return lambda _: cpu_seconds(lambda: dataset_of(setting, code, setting.file, True))


def first(setting: PeerSetting) -> Way:
    """Seconds of a process that predicts one box of one photo."""
    weights = setting.folder / "hrnet.pth"
    torch.save(hrnet_code.network(code_for(setting, (256, 192))).state_dict(), weights)
    given = [str(folder_of(setting)), str(weights), "photo.jpg", list(BOX)]
    text = (
        f"import sys; sys.path.insert(0, {os.fspath(Path(__file__).parent)!r}); import hrnet_code; "
    )
    return Process(["-c", f"{text}hrnet_code.first_result(*{given!r})"], setting.folder)
