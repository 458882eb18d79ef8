"""The other side of `run.py peers` without other code: the straightforward versions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import data
import evaluation
import straightforward
import torch
from numpy.random import default_rng
from peer_ours import (
    BOXES_AN_IMAGE,
    CPU,
    SKELETON,
    after,
    data_path,
    evaluation_data,
    network,
    photos,
    training,
)
from peer_side import (
    AFTER,
    EVALUATION,
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
from predict import PredictSetting, straightforward_predict
from pycocotools.coco import COCO
from start import Process
from timing import cpu_seconds, seconds
from torch import Tensor, nn

from keypoint.pose.codec import Codec

IMPORTS = "import torch, torchvision, cv2, pycocotools.coco"  # before any option can be read


def works(setting: PeerSetting) -> dict[str, Callable[[], Way]]:
    """All works by name."""
    found: dict[str, Callable[[], Way]] = {}
    for size in setting.sizes:
        found[TRAINING.format(words(size))] = partial(training, setting, size, data.SLOW)
        found[STEP.format(words(size))] = partial(step, setting, size)
    for number in BOXES_AN_IMAGE:
        found[EVALUATION.format(number)] = partial(evaluation_data, setting, number, data.SLOW)
    found[PREDICT] = partial(prediction, setting)
    found[AFTER] = lambda: after(setting, evaluation.theirs)
    found[READ] = lambda: lambda _: cpu_seconds(lambda: COCO(str(setting.file)))
    found[HELP] = lambda: Process(["-c", IMPORTS], setting.folder)
    return found


def step(setting: PeerSetting, size: Size) -> Way:
    """Seconds a crop of a training step: float images to new weights."""
    path = data_path(setting, size)
    images, target, weight = straightforward.train_batch(
        path.persons,
        [path.choose(0)[i % path.batch_size] for i in range(setting.step_batch)],
        default_rng(0),
        flip_indices=SKELETON.flip_indices,
        input_size=size,
        heatmap_sigma=Codec(size).sigma,
    )
    torch.set_num_threads(setting.threads)
    model = network(size).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def once() -> None:
        loss = loss_by_keypoint(model(images), target, weight)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        loss.item()

    return lambda _: seconds(once, CPU) / setting.step_batch


def loss_by_keypoint(predicted: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Half the mean squared error, one keypoint after the other."""
    loss, number = torch.zeros(()), predicted.shape[1]
    for k in range(number):
        each = weight[:, k, None, None]
        loss = loss + 0.5 * nn.functional.mse_loss(predicted[:, k] * each, target[:, k] * each)
    return loss / number


def prediction(setting: PeerSetting) -> Way:
    """Seconds a person, one person after the other."""
    torch.set_num_threads(setting.threads)
    persons = photos(setting)
    shared = PredictSetting(persons, SKELETON, network(setting.sizes[0]).eval(), 1, 1, False)
    return lambda _: seconds(lambda: straightforward_predict(shared), CPU) / len(persons)
