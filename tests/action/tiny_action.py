"""A network for clips that is small enough for any test, its data, and training it by the command.

As a script it is `keypoint train` with this network.
"""

import sys
from pathlib import Path

import torch
from torch import nn

from keypoint.action.networks.network import ActionNetwork
from keypoint.commands import cli

sys.path.insert(0, str(Path(__file__).parents[2]))  # some installed packages bring a `tests`, too
from tests.action.data.made_up_videos import write_video  # noqa: E402

CLASSES = ("down", "up")
CONFIG = """
task: action
data: {root: ROOT, train_list: train, val_list: val, workers: 0}
clips: {frames: 4, stride: 2}
augment: {crop: tsn}
model: {network: c2d_resnet18, input_size: [32, 32], weights: none, dropout: 0.3}
train: {epochs: 2, batch_size: 2, evaluate_every: 1, save_every: none, log_every: 1}
test: {clips: 2, short_side: 36, batch_size: 4}
"""


class Tiny(ActionNetwork):
    """2-D and 3-D convolutions, a norm each, dropout."""

    def __init__(self, num_classes=2, frames=4, input_size=(32, 32), dropout=0.3, **_):
        super().__init__("tiny", num_classes=num_classes, frames=frames, input_size=input_size)
        self.conv = nn.Conv2d(3, 6, 3, stride=4)
        self.norm = nn.BatchNorm2d(6)
        self.mix = nn.Conv3d(6, 8, (2, 1, 1))
        self.norm_3d = nn.BatchNorm3d(8)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(8, num_classes)
        self.blocks = nn.ModuleDict()

    def forward(self, clips):
        folded = clips.transpose(1, 2).flatten(0, 1)  # BT 3 H W
        maps = self.norm(self.conv(folded)).relu()
        maps = maps.unflatten(0, (clips.shape[0], clips.shape[2])).transpose(1, 2)  # B C T H W
        maps = self.norm_3d(self.mix(maps)).relu()
        return self.fc(self.dropout(maps.mean(dim=(2, 3, 4))))


def write_set(root):
    """Eight videos of two classes: a folder of each split with a folder of each class."""
    for part, number in (("train", 4), ("val", 2)):
        for label, name in enumerate(CLASSES):
            for i in range(number if part == "train" else number - label):
                write_video(root / part / name / f"v{i}.avi", number=10 + i, first=40 * label + i)
    return root


def write_config(folder):
    """The config of that set in a folder, which gets both."""
    write_set(folder / "data")
    path = folder / "tiny.yaml"
    path.write_text(CONFIG.replace("ROOT", str(folder / "data")))
    return path


def main(argv):
    from keypoint.commands.action import train

    train.create_model = lambda weights=None, **options: Tiny(**options)
    train.main(argv)


if __name__ == "__main__":
    torch.set_num_threads(1)
    raise SystemExit(cli.run(main, sys.argv[1:]))
