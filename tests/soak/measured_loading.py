"""The worker processes of training alone, with their memory written down after each epoch.

python -m tests.soak.measured_loading MEMORY.jsonl FOLDER PERSONS EPOCHS
"""

import gc
import os
import sys
from pathlib import Path

from keypoint.data.augment import Augmentation, PersonCrop
from keypoint.data.batches import TrainDataset, TrainSampler, train_loader
from keypoint.data.coco import load_persons
from keypoint.pose.codec import Codec
from keypoint.pose.skeleton import load_skeleton
from keypoint.processes import keep_freed_memory
from tests import tiny_coco
from tests.soak.process_memory import write_down

IMAGES = 20


def main(memory, folder, persons, epochs):
    keep_freed_memory()
    data = tiny_coco.content(IMAGES, int(persons) // IMAGES, (96, 96))
    skeleton = load_skeleton("coco17")
    records = load_persons(*tiny_coco.write(Path(folder), data), skeleton)
    crop = PersonCrop(codec=Codec((32, 32)), flip_indices=skeleton.flip_indices)
    dataset = TrainDataset(records, Augmentation(crop), seed=0)
    sampler = TrainSampler(len(records), 100, seed=0)
    loader = train_loader(dataset, sampler, workers=4)
    for epoch in range(int(epochs)):
        sampler.set_position(epoch)
        assert sum(len(batch.crops) for batch in loader) == len(records)
        gc.collect()
        write_down(memory, os.getpid())
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
