import os
import signal

import cv2
import numpy as np
import pytest
import torch

from keypoint.data import batches
from keypoint.data.augment import Augmentation, PersonCrop
from keypoint.data.batches import (
    EvaluationDataset,
    TrainDataset,
    TrainSampler,
    evaluation_loader,
    train_loader,
)
from keypoint.data.coco import load_persons
from keypoint.errors import ConfigError, DataError
from keypoint.pose.codec import Codec
from keypoint.pose.geometry import CropFrame
from keypoint.pose.skeleton import load_skeleton
from tests import tiny_coco

SKELETON = load_skeleton("coco17")
INPUT_SIZE = (64, 64)


@pytest.fixture(scope="module")
def persons(tmp_path_factory):
    file, images = tiny_coco.write(tmp_path_factory.mktemp("coco"), tiny_coco.content(8, 2))
    return load_persons(file, images, SKELETON)


def dataset(persons, seed=0):
    crop = PersonCrop(codec=Codec(INPUT_SIZE), flip_indices=SKELETON.flip_indices)
    return TrainDataset(persons, Augmentation(crop, [{"name": "GaussNoise", "p": 0.5}]), seed)


def epochs(persons, workers, number=2):
    sampler = TrainSampler(len(persons), 4, seed=0)
    loader = train_loader(dataset(persons), sampler, workers)
    crops = []
    for epoch in range(number):
        sampler.set_position(epoch)
        crops.append(torch.cat([batch.crops for batch in loader]))
    return crops


def test_16_of_16_augmentations_are_distinct_and_equal_for_any_number_of_workers(persons):
    alone = epochs(persons, 0)
    distinct = {crop.numpy().tobytes() for epoch in alone for crop in epoch}
    assert len(distinct) == 32  # 16 persons, 2 epochs, no crop twice
    for workers in (1, 3):
        for epoch, same in zip(alone, epochs(persons, workers), strict=True):
            assert torch.equal(epoch, same)


def test_workers_beyond_the_cpus_are_the_users_choice(persons, recwarn):
    epochs(persons, len(os.sched_getaffinity(0)) + 1)
    assert [str(warning.message) for warning in recwarn] == []


def test_loading_leaves_the_global_generator_alone(persons):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    epochs(persons, 0, 1)
    assert torch.equal(before, torch.get_rng_state())


def test_sampler_shares_out_each_epoch():
    samplers = [TrainSampler(26, 4, seed=1, rank=rank, world_size=3) for rank in range(3)]
    seen = []
    for epoch in range(2):
        keys = []
        for sampler in samplers:
            sampler.set_position(epoch)
            assert len(list(sampler)) == 2
            keys += [key for batch in sampler for key in batch]
        assert {e for e, _ in keys} == {epoch}
        indices = [i for _, i in keys]
        # no person twice; the last 2 wait for another epoch
        assert len(set(indices)) == len(indices) == 24
        seen.append(indices)
    assert seen[0] != seen[1]


def test_global_batch_is_the_same_on_1_and_2_processes():
    def of(rank, world_size, size):
        return list(TrainSampler(16, size, seed=1, rank=rank, world_size=world_size))

    one = of(0, 1, 8)
    two = [a + b for a, b in zip(of(0, 2, 4), of(1, 2, 4), strict=True)]
    assert one == two


def test_sampler_resumes_in_mid_epoch():
    sampler = TrainSampler(20, 4, seed=0)
    sampler.set_position(3)
    whole = list(sampler)
    sampler.set_position(3, first_batch=2)
    assert list(sampler) == whole[2:]
    assert len(sampler) == 3


def test_too_few_persons_for_a_batch():
    text = r"batch_size=8 on 2 process\(es\) needs 16 samples.*has 15.*lower"
    with pytest.raises(ConfigError, match=text):
        TrainSampler(15, 8, seed=0, world_size=2)


def collected(persons, workers=0, batch_size=5, **share):
    data = EvaluationDataset(persons, codec=Codec(INPUT_SIZE), batch_size=batch_size, **share)
    found = {}
    for batch in evaluation_loader(data, workers):
        assert len(batch.crops) <= batch_size
        frame = CropFrame.from_bboxes(persons.bbox_xywh[batch.index.numpy()], INPUT_SIZE)
        np.testing.assert_array_equal(batch.frame.matrices(), frame.matrices())
        for index, crop in zip(batch.index.tolist(), batch.crops, strict=True):
            assert index not in found
            found[index] = crop.numpy().copy()
    return found


def test_evaluation_sees_every_box_once_and_equal_whoever_does_it(persons):
    alone = collected(persons)
    assert sorted(alone) == list(range(16))
    shared = {}
    for rank in range(3):
        shared |= collected(persons, rank=rank, world_size=3)
    for other in (collected(persons, workers=3), collected(persons, batch_size=16), shared):
        assert sorted(other) == sorted(alone)
        assert all(np.array_equal(other[i], alone[i]) for i in alone)


def test_crops_are_opencvs_of_three_channels(persons):
    """They are warped with a fourth channel, because that is quicker."""
    matrices = CropFrame.from_bboxes(persons.bbox_xywh, INPUT_SIZE).matrices()
    for index, crop in collected(persons).items():
        image = cv2.imread(str(persons.images.path(int(persons.image_index[index]))))[..., ::-1]
        plain = cv2.warpAffine(
            np.ascontiguousarray(image), matrices[index], INPUT_SIZE[::-1], flags=cv2.INTER_LINEAR
        )
        np.testing.assert_array_equal(crop, plain)


def test_images_are_decoded_as_far_as_their_crops_reach(tmp_path, monkeypatch):
    content = tiny_coco.content(6, 2, size=(240, 160))  # the persons are in the upper half
    for entry in content["images"]:
        entry["file_name"] = entry["file_name"].replace("png", "jpg")
    persons = load_persons(*tiny_coco.write(tmp_path, content), SKELETON)
    keys = [(1, index) for index in range(12)]
    original, heights = batches.read_image, []

    def noted(path, size, rows):
        image = original(path, size, rows)
        heights.append(len(image))
        return image

    monkeypatch.setattr(batches, "read_image", noted)
    batch, alone = dataset(persons).__getitems__(keys), collected(persons)
    assert len(heights) == 12 + 6
    assert sum(height < 240 for height in heights) > 12
    monkeypatch.setattr(batches, "read_image", lambda path, size, rows: original(path, size))
    assert torch.equal(batch.crops, dataset(persons).__getitems__(keys).crops)
    assert all(np.array_equal(alone[i], crop) for i, crop in collected(persons).items())


def test_evaluation_reads_every_image_once(persons, monkeypatch):
    read = []
    original = batches.read_image

    def counted(path, *size_and_rows):
        read.append(path)
        return original(path, *size_and_rows)

    monkeypatch.setattr(batches, "read_image", counted)
    collected(persons)
    assert len(read) == len(set(read)) == 8


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_image_is_named_though_a_worker_reads_it(tmp_path, workers):
    file, images = tiny_coco.write(tmp_path, tiny_coco.content(4, 2))
    persons = load_persons(file, images, SKELETON)
    (images / f"{102:012d}.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match=rf"^{images}/{102:012d}\.png: not a JPEG, PNG") as error:
        collected(persons, workers=workers)
    assert "Traceback" not in str(error.value)


def test_a_killed_worker_is_reported_with_a_hint(persons, monkeypatch):
    monkeypatch.setattr(batches, "read_image", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    monkeypatch.setattr("torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL", 0.1)  # seconds, not 5
    text = "worker process that reads data ended.*lower data.workers"
    with pytest.raises(DataError, match=text):
        collected(persons, workers=1)


def test_the_batches_of_an_epoch_and_what_is_dropped_are_reported():
    sampler = TrainSampler(83, 16, seed=0)
    assert sampler.text() == (
        "batches per epoch: 5, of 16 samples each; the last batch is incomplete and dropped: 3 of "
        "83 samples, others in each epoch"
    )
    assert len(list(sampler)) == 5
    assert {len(batch) for batch in sampler} == {16}
    sampler = TrainSampler(64, 8, seed=0, rank=1, world_size=2)
    assert sampler.text() == "batches per epoch: 4, of 16 samples each"
