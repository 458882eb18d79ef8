"""keypoint train, with the memory of all its processes written down after each epoch.

python -m tests.soak.measured_training MEMORY.jsonl [arguments of keypoint train]

Written down after the epoch's evaluation, when its workers have ended and those of training wait.
All is the command's own but the inside of the network, cut down to a twentieth of the arithmetic of
a ResNet-18: what is multiplied keeps nothing, and 100,000 crops would take six minutes an epoch.
"""

import gc
import os
import sys

from torch import nn

from keypoint.commands import cli
from tests.calling import command
from tests.soak.process_memory import write_down


def cut_down(model):
    """The same shapes from input to heatmaps, through 8 channels."""
    model.layer1 = nn.Identity()
    model.layer2 = nn.Conv2d(64, 8, 1, stride=2)
    model.layer3 = nn.Conv2d(8, 8, 1, stride=2)
    model.layer4 = nn.Conv2d(8, 8, 1, stride=2)
    model.deconv_layers = nn.Sequential(nn.Upsample(scale_factor=8), nn.Conv2d(8, 256, 1))
    return model


def main(memory, *arguments):
    train = command("train")
    create_model, evaluate_model = train.create_model, train.evaluate_model

    def measured(*args, **kwargs):
        evaluation = evaluate_model(*args, **kwargs)
        gc.collect()  # what nobody holds is no leak
        write_down(memory, os.getpid())
        return evaluation

    train.create_model = lambda *args, **kwargs: cut_down(create_model(*args, **kwargs))
    train.evaluate_model = measured
    return cli.run(train.main, arguments)


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
