"""The keys of a config of action recognition; keypoint/config has the parts of all configs.

The defaults are those of the C2D network of the non-local paper's code, which both papers follow
(8 frames, every 8th; SGD 0.01 with momentum, weight decay 1e-4, 100 epochs with drops at 40 and
80), and the SRL paper's test (25 random clips). docs/reference/action-networks.md says which values
are printed in the papers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, Field, ValidationInfo, field_validator

from keypoint.action.networks.names import FORMS, NETWORKS, PLACES, has_imagenet, is_c2d
from keypoint.config.fields import MAX_BAD, STRICT, Fraction, MaxBad, OfFile, RunConfig, Text, hint
from keypoint.config.load import load_as
from keypoint.config.train import LoopConfig
from keypoint.strict_yaml import check_plain

# Keys of `model` about the initial weights; the others define the network.
STARTED_FROM = ("weights", "partial_weights", "new_head")


class DataConfig(BaseModel):
    """The videos and their lists. Relative paths of a list start at ``root``."""

    model_config = STRICT

    root: Text = Field(default="data/kinetics400", description="folder of the videos")
    train_list: Text = Field(
        default="train.csv",
        description="a list, or a folder per class; see docs/reference/action-data.md",
    )
    val_list: Text = Field(default="val.csv", description="as train_list")
    classes: tuple[str, ...] | str | None = Field(
        default=None,
        description="names in their order; none: from a file next to the list, or the folders",
        json_schema_extra={"allowed": "none | [names] | a file, one name per line"},
    )
    workers: int = Field(
        default=4, ge=0, le=64, description="processes that decode videos; 0: the main process"
    )
    on_bad: Literal["error", "skip"] = Field(
        default="error", description="missing or broken videos: stop, or leave them out"
    )
    max_bad: MaxBad = Field(
        default=MAX_BAD, description="with skip: largest share of videos that may be left out"
    )

    @field_validator("classes", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        if value is None or (isinstance(value, str) and value):
            return value
        if not isinstance(value, list | tuple) or len(value) < 2:
            raise ValueError("classes is none, a file, or a list of at least two names")
        if not all(isinstance(name, str) and name for name in value):
            raise ValueError("each class is a string; write names such as 'yes' or '007' in quotes")
        if len(set(value)) < len(value):
            twice = next(name for name in value if value.count(name) > 1)
            raise ValueError(f"the class {twice!r} is given twice")
        return tuple(value)


class ClipsConfig(BaseModel):
    """The frames of a clip."""

    model_config = STRICT

    frames: int = Field(
        default=8, ge=1, le=256, description="frames of a clip, the input of the network"
    )
    sampling: Literal["dense", "segments"] = Field(
        default="dense",
        description="every stride-th frame, or one frame of each equal part of the video",
    )
    stride: int = Field(default=8, ge=1, le=64, description="with dense: step between frames")
    fps: float | None = Field(
        default=None,
        gt=0,
        le=240,
        description="with dense: frame rate for stride; none: the video's",
    )
    short: Literal["loop", "repeat"] = Field(
        default="loop",
        description="if a video is shorter than a clip: start over, or repeat the last frame",
    )

    @field_validator("stride", "fps")
    @classmethod
    def _of_dense(cls, value: Any, info: ValidationInfo) -> Any:
        default = cls.model_fields[info.field_name or ""].default
        if value != default and info.data.get("sampling") == "segments":
            raise ValueError("it has no effect with clips.sampling=segments")
        return value


class AugmentConfig(BaseModel):
    """The random changes of a training clip, the same for all of its frames."""

    model_config = STRICT

    crop: Literal["tsn", "random"] = Field(
        default="random",
        description="tsn: corners and center, random sizes; random: anywhere, random short_side",
    )
    short_side: tuple[int, int] = Field(
        default=(256, 320),
        description="with random: range of the frames' shorter side before the crop",
        json_schema_extra={"allowed": "[least, most], pixels"},
    )
    flip_probability: Fraction | None = Field(
        default=None,
        description="share of mirrored clips; none: 0.5, or 0 if a class names left or right",
    )

    @field_validator("short_side", mode="before")
    @classmethod
    def _range(cls, value: Any, info: ValidationInfo) -> Any:
        if (
            not isinstance(value, list | tuple)
            or len(value) != 2
            or any(type(side) is not int for side in value)
            or not 16 <= value[0] <= value[1] <= 4096
        ):
            raise ValueError("short_side is [least, most], whole numbers in 16..4096")
        is_default = tuple(value) == cls.model_fields["short_side"].default
        if not is_default and info.data.get("crop") == "tsn":
            raise ValueError("it has no effect with augment.crop=tsn")
        return tuple(value)


class ModelConfig(BaseModel):
    """The network, and blocks at its sites."""

    model_config = STRICT

    network: Text = Field(
        default="c2d_resnet50",
        description="C2D, a ResNet on every frame, or MFNet-3D",
        json_schema_extra={"allowed": ", ".join(NETWORKS)},
    )
    form: Literal["8x8", "32x2"] = Field(
        default="8x8", description="with C2D: 32x2 also has temporal strides in conv1 and pool1"
    )
    input_size: tuple[int, int] = Field(
        default=(224, 224),
        description="size of the frames",
        json_schema_extra={"allowed": "[height, width]"},
    )
    blocks: str | dict[str, Any] | None = Field(
        default=None,
        description="a name, or {type: name, ...}, at `places`; or a block for each site",
        json_schema_extra={"allowed": "none | name | {type: name, ...} | {layer2.0: name, ...}"},
    )
    places: Text | None = Field(
        default=None,
        description="sites of the block; none: the usual ones of the network",
        json_schema_extra={"allowed": f"none | {', '.join(PLACES)}"},
    )
    dropout: float = Field(default=0.5, ge=0, lt=1, description="before the classifier")
    weights: Text | None = Field(
        default="imagenet",
        description="initial weights; imagenet is for C2D's encoder only",
        json_schema_extra={"allowed": "none | imagenet | path"},
    )
    partial_weights: OfFile = Field(
        default=False,
        description="blocks may be missing in the weights file; they start as the identity",
    )
    new_head: OfFile = Field(
        default=False,
        description="do not load the head of the weights file, which is for other classes",
    )

    @field_validator("network")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in NETWORKS:
            raise ValueError(f"no such network{hint(value, NETWORKS)}")
        return value

    @field_validator("form")
    @classmethod
    def _of_c2d(cls, value: str, info: ValidationInfo) -> str:
        network = info.data.get("network", NETWORKS[0])
        if value != FORMS[0] and not is_c2d(network):
            raise ValueError(f"it has no effect with model.network={network}")
        return value

    @field_validator("input_size", mode="before")
    @classmethod
    def _size(cls, value: Any) -> Any:
        if (
            not isinstance(value, list | tuple)
            or len(value) != 2
            or any(type(side) is not int or not 16 <= side <= 2048 for side in value)
        ):
            raise ValueError("input_size is [height, width], whole numbers in 16..2048")
        return tuple(value)

    @field_validator("blocks", mode="before")
    @classmethod
    def _at_sites(cls, value: Any) -> Any:
        if value is None or (isinstance(value, str) and value):
            return value
        if not isinstance(value, dict) or not value:
            raise ValueError("blocks is none, a name, {type: name, ...}, or {site: name, ...}")
        check_plain(value)
        return value

    @field_validator("places")
    @classmethod
    def _of_one_block(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            return value
        if value not in PLACES:
            raise ValueError(f"no such places{hint(value, tuple(PLACES))}")
        blocks = info.data.get("blocks", "?")
        if blocks is None:
            raise ValueError("it has no effect without blocks; also give model.blocks")
        if isinstance(blocks, dict) and "type" not in blocks:
            raise ValueError("it has no effect if model.blocks names the sites")
        return value

    @field_validator("weights")
    @classmethod
    def _imagenet_or_path(cls, value: str | None, info: ValidationInfo) -> str | None:
        network = info.data.get("network", NETWORKS[0])
        if value == "imagenet" and not has_imagenet(network):
            raise ValueError(f"there are no imagenet weights for {network}; give none, or a file")
        if value in (None, "imagenet") or set(value or "") & set("/\\."):
            return value
        raise ValueError(f"not a path; write ./{value} for a file of that name")

    def arguments(self, num_classes: int, frames: int) -> dict[str, Any]:
        """Return the arguments of `create_model` without weights; keys and keywords are equal."""
        keys = self.model_dump(exclude=set(STARTED_FROM))
        return keys | {"num_classes": num_classes, "frames": frames}

    def start(self) -> dict[str, Any]:
        """Return the arguments of `create_model` about the initial weights."""
        return {key: getattr(self, key) for key in STARTED_FROM}


class TrainConfig(LoopConfig):
    """Optimizer, schedule and precision of a training; batches are of clips."""

    model_config = STRICT
    USUAL_DROPS: ClassVar[tuple[float, ...]] = (0.4, 0.8)

    optimizer: Literal["adam", "adamw", "sgd"] = Field(default="sgd", description="torch.optim's")
    lr: float = Field(default=0.01, gt=0, le=1000, description="learning rate until the first drop")
    weight_decay: float = Field(default=1e-4, ge=0, le=1, description="adamw and sgd only")
    nesterov: bool | None = Field(
        default=None, description="sgd only: Nesterov momentum; none: true"
    )
    epochs: int = Field(default=100, ge=1, le=100_000, description="passes over the training set")
    batch_size: int = Field(default=8, ge=1, le=4096, description="clips per device and step")
    evaluate_every: int = Field(
        default=5,
        ge=1,
        le=1_000_000,
        description="epochs between evaluations; the last epoch is always evaluated",
    )
    lr_drops: tuple[int, ...] | None = Field(
        default=None,
        description="epochs after which lr falls; none: 40/100 and 80/100 of epochs",
        json_schema_extra={"allowed": "none | [rising integers in 1..epochs-1]"},
    )

    @field_validator("nesterov")
    @classmethod
    def _of_momentum(cls, value: bool | None, info: ValidationInfo) -> bool | None:
        optimizer = info.data.get("optimizer", "sgd")
        if value is not None and optimizer != "sgd":
            raise ValueError(f"it has no effect with train.optimizer={optimizer}; only sgd has it")
        if value and info.data.get("momentum") == 0:
            raise ValueError("it has no effect with train.momentum=0; leave one of them out")
        return value

    @property
    def sgd_nesterov(self) -> bool:
        """``nesterov``, or true if it is none and there is momentum."""
        return bool(self.sgd_momentum) and self.nesterov is not False


class TestConfig(BaseModel):
    """The clips and crops whose scores are averaged for a video."""

    model_config = STRICT

    clips: int = Field(
        default=25, ge=1, le=1000, description="clips per video; their scores are averaged"
    )
    sampling: Literal["random", "uniform"] = Field(
        default="random",
        description="starts of clips: random by the video's name, or evenly spaced",
    )
    crops: Literal[1, 3] = Field(
        default=1, description="crops of a clip: the center, or three along the longer side"
    )
    short_side: int = Field(
        default=256, ge=16, le=4096, description="the frames' shorter side in pixels"
    )
    batch_size: int = Field(default=16, ge=1, le=4096, description="clips per device")


class ActionConfig(RunConfig):
    """A training and test of action recognition."""

    task: Literal["action"] = Field(default="action", description="video classification")
    data: DataConfig = DataConfig()
    clips: ClipsConfig = ClipsConfig()
    augment: AugmentConfig = AugmentConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    test: TestConfig = TestConfig()


def load_action_config(path: str | Path, overrides: Any = ()) -> ActionConfig:
    """Load a config of action recognition; see `keypoint.config.load.load_as`."""
    return load_as(ActionConfig, path, overrides)
