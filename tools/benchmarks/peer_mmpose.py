"""mmpose 1.x's side of `run.py peers`, as it is installed, with its own configs of ResNet-50.

Needs no compiled code: mmcv-lite has no operators and these networks use none, so empty modules
replace them (and mmdet) while mmpose is imported; pycocotools replaces xtcocotools, its copy with
more keypoint sets, which has no wheel for NumPy 2.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import cv2
import data
import numpy as np
import torch
from data_path import SEED
from peer_ours import BOXES_AN_IMAGE, CPU, data_path, evaluated_images, photos
from peer_side import EVALUATION, PREDICT, READ, STEP, TRAINING, PeerSetting, Size, Way, words
from timing import cpu_seconds, seconds

CONFIGS = ".mim/configs/body_2d_keypoint/topdown_heatmap/coco"


def works(setting: PeerSetting) -> dict[str, Callable[[], Way]]:
    """All works by name, for the sizes for which it has configs."""
    load()
    found: dict[str, Callable[[], Way]] = {}
    for size in setting.sizes:
        if config_file(size).is_file():
            found[TRAINING.format(words(size))] = partial(training, setting, size)
            found[STEP.format(words(size))] = partial(step, setting, size)
    if config_file(setting.sizes[0]).is_file():
        for number in BOXES_AN_IMAGE:
            found[EVALUATION.format(number)] = partial(evaluation_data, setting, number)
        found[PREDICT] = partial(prediction, setting)
        found[READ] = partial(reading, setting)
    return found


def load() -> None:
    """Import it."""
    for part in ("", ".coco", ".cocoeval", ".mask"):
        sys.modules[f"xtcocotools{part}"] = importlib.import_module(f"pycocotools{part}")
    stubs = {name: MagicMock() for name in ("mmcv._ext", "mmdet", "mmdet.utils")}
    sys.modules.update(stubs)
    importlib.import_module("mmpose.apis")
    for name in stubs:
        del sys.modules[name]


def config_file(size: Size) -> Path:
    """Its config of a size of crops."""
    package = Path(importlib.import_module("mmpose").__file__ or "").parent
    return package / CONFIGS / f"td-hm_res50_8xb64-210e_coco-{words(size)}.py"


def config_of(size: Size) -> Any:
    """Its config, as an object."""
    importlib.import_module("mmengine.registry").init_default_scope("mmpose")
    return importlib.import_module("mmengine").Config.fromfile(str(config_file(size)))


def dataset_of(setting: PeerSetting, size: Size, file: Path) -> Any:
    """Its training set of an annotation file."""
    own = config_of(size).train_dataloader.dataset
    own.update(data_root="", ann_file=str(file), data_prefix={"img": f"{setting.images}/"})
    return importlib.import_module("mmpose.registry").DATASETS.build(own)


def batches_of(setting: PeerSetting, size: Size) -> Callable[[int, int], Any]:
    """Training batches by round and number of crops, with the same persons as ours."""
    path = data_path(setting, size)
    dataset = dataset_of(setting, size, setting.annotations)
    place = {dataset.get_data_info(index)["id"]: index for index in range(len(dataset))}
    collate = importlib.import_module("mmengine.dataset").pseudo_collate

    def batch(number: int, crops: int) -> Any:
        chosen = path.persons.ids[np.resize(path.choose(number), crops)]
        return collate([dataset[place[int(key)]] for key in chosen])

    return batch


def training(setting: PeerSetting, size: Size) -> Way:
    """Seconds a crop of a training batch: uint8 crops and heatmaps."""
    batch = batches_of(setting, size)
    return lambda number: cpu_seconds(lambda: batch(number, setting.batch)) / setting.batch


def evaluation_data(setting: PeerSetting, number: int) -> Way:
    """Seconds a crop of `number` boxes an image."""
    path, config = data_path(setting, setting.sizes[0]), config_of(setting.sizes[0])
    images = evaluated_images(setting, path.persons, number)
    pipeline = importlib.import_module("mmengine.dataset").Compose(
        config.val_dataloader.dataset.pipeline
    )
    collate = importlib.import_module("mmengine.dataset").pseudo_collate

    def timed(number_of_round: int) -> float:
        rng = np.random.default_rng((SEED, number, number_of_round))
        persons = data.boxes_on_images(path.persons, images, number, rng)
        corners = persons.bbox_xywh[:, None].astype(np.float32)
        corners[..., 2:] += corners[..., :2]
        samples = [
            {"img_path": str(persons.images.path(int(row))), "bbox": box, "bbox_score": np.ones(1)}
            for row, box in zip(persons.image_index, corners, strict=True)
        ]

        def batches() -> None:
            for begin in range(0, len(samples), setting.batch):
                collate([pipeline(sample) for sample in samples[begin : begin + setting.batch]])

        return cpu_seconds(batches) / len(samples)

    return timed


def network(size: Size) -> Any:
    """Its ResNet-50 with random weights, without flip test."""
    options = {"model.test_cfg.flip_test": False, "model.backbone.init_cfg": None}
    init_model = importlib.import_module("mmpose.apis").init_model
    return init_model(str(config_file(size)), device="cpu", cfg_options=options)


def step(setting: PeerSetting, size: Size) -> Way:
    """Seconds a crop of its `train_step` on one batch."""
    batch = batches_of(setting, size)(0, setting.step_batch)
    torch.set_num_threads(setting.threads)
    model = network(size).train()
    wrapper = importlib.import_module("mmengine.optim").OptimWrapper
    optimizer = wrapper(torch.optim.Adam(model.parameters(), lr=5e-4))

    def once() -> None:
        model.train_step(batch, optimizer)["loss"].item()

    return lambda _: seconds(once, CPU) / setting.step_batch


def prediction(setting: PeerSetting) -> Way:
    """Seconds a person by `inference_topdown`, the persons of an image at once."""
    torch.set_num_threads(setting.threads)
    cv2.setNumThreads(0)
    persons, model = photos(setting), network(setting.sizes[0])
    inference = importlib.import_module("mmpose.apis").inference_topdown

    def all_files() -> None:
        for row in np.unique(persons.image_index):
            boxes = persons.bbox_xywh[persons.image_index == row]
            inference(model, str(persons.images.path(int(row))), boxes, "xywh")

    return lambda _: seconds(all_files, CPU) / len(persons)


def reading(setting: PeerSetting) -> Way:
    """Seconds of its CocoDataset from a file to records."""
    size = setting.sizes[0]
    return lambda _: cpu_seconds(lambda: dataset_of(setting, size, setting.file))
