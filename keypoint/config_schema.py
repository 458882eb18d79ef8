"""What a config may say: every key with its type, range, default, meaning, and what excludes what.

The defaults are the recipe of the SRL paper (section 4.1: Adam, 210 epochs, 32 crops per device,
+-40 degrees, +-30 % scale), with HRNet's learning rate and drops where the paper is silent. What
can be derived has no key (heatmap size, class count, flip order), or ``none`` for "derive it"
(sigma, drops). A value that would have no effect is an error. A check that needs two keys belongs
to the later of the two, which sees the earlier ones in ``info.data``: so one bad key never hides
another's mistake.
"""

from __future__ import annotations

import difflib
import itertools
import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from keypoint.strict_yaml import check_plain

SITES = ("layer1", "layer2", "layer3", "layer4", "deconv1", "deconv2", "deconv3")

# Not a number and infinity fail every range, and every number has one.
STRICT = ConfigDict(frozen=True, extra="forbid", strict=True)
Text = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]+$")]  # a path, a name: not empty, one line
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Fraction = Annotated[float, Field(ge=0, le=1)]


def nearest(given: object, options: Sequence[str]) -> str | None:
    """The option that ``given`` probably was meant to be, whatever its case."""
    near = difflib.get_close_matches(str(given).lower(), options, n=1)
    return near[0] if near else None


def hint(given: object, options: Sequence[str]) -> str:
    """``; did you mean x?``, or else what there is."""
    near = nearest(given, options)
    return f"; did you mean {near}?" if near else f"; there are {', '.join(options)}"


class DataConfig(BaseModel):
    """Where images and annotations lie. Relative paths count from ``root``."""

    model_config = STRICT

    root: Text = Field(default="data/coco", description="folder of the data set, as COCO unpacks")
    train_annotations: Text = Field(
        default="annotations/person_keypoints_train2017.json", description="COCO keypoints JSON"
    )
    train_images: Text | None = Field(default=None, description="folder; none: [images/]train2017")
    val_annotations: Text = Field(
        default="annotations/person_keypoints_val2017.json", description="COCO keypoints JSON"
    )
    val_images: Text | None = Field(default=None, description="folder; none: [images/]val2017")
    skeleton: Text = Field(default="coco17", description="a built-in name, or a YAML file")
    workers: int = Field(default=4, ge=0, le=64, description="processes that load data; 0: none")
    on_bad: Literal["error", "skip"] = Field(
        default="error", description="bad annotations, images, boxes: stop, or leave out and list"
    )
    max_bad: Fraction = Field(default=0.001, description="largest share of each that skip leaves")

    @field_validator("max_bad")
    @classmethod
    def _skips(cls, value: float, info: ValidationInfo) -> float:
        default = cls.model_fields["max_bad"].default
        if value != default and info.data.get("on_bad") == "error":
            raise ValueError("it has no effect with data.on_bad=error; give data.on_bad=skip too")
        return value


class AugmentConfig(BaseModel):
    """What is done to a training crop."""

    model_config = STRICT

    scale: float = Field(default=0.3, ge=0, le=0.9, description="std of the size factor, and limit")
    rotation: float = Field(default=40.0, ge=0, le=90, description="std in degrees; limit is twice")
    rotation_probability: Fraction = Field(default=0.6, description="share of crops rotated")
    flip_probability: Fraction = Field(default=0.5, description="share of crops mirrored")
    transforms: tuple[dict[str, Any], ...] = Field(
        default=(),
        description="albumentations pixel transforms, in order",
        json_schema_extra={"allowed": "[{name: ColorJitter, p: 0.5, ...}, ...]"},
    )
    half_body_probability: Fraction = Field(
        default=0.0, description="share of crops of the upper or lower body alone, HRNet's"
    )

    @field_validator("rotation_probability")
    @classmethod
    def _rotates(cls, value: float, info: ValidationInfo) -> float:
        degrees = info.data.get("rotation")
        if degrees == 0 and value not in (0, cls.model_fields["rotation_probability"].default):
            raise ValueError("it has no effect with rotation 0; leave one of the two out")
        if value == 0 and degrees not in (None, 0, cls.model_fields["rotation"].default):
            raise ValueError(
                f"rotation {degrees:g} has no effect with it; leave one of the two out, "
                "or set both to 0"
            )
        return value

    @field_validator("transforms", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        check_plain(value)
        if not isinstance(value, list | tuple):
            raise ValueError("transforms is a list of mappings, each with a name")
        for index, entry in enumerate(value):
            name = entry.get("name") if isinstance(entry, dict) else None
            if not isinstance(name, str) or not name:
                raise ValueError(
                    f"entry {index} has no name; write {{name: ColorJitter, p: 0.5, ...}}"
                )
        return tuple(value)


class ModelConfig(BaseModel):
    """The network: encoder, deconvolutions, head, and blocks at their sites."""

    model_config = STRICT

    encoder: Literal["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"] = Field(
        default="resnet50", description="torchvision's ResNet"
    )
    encoder_stride: Literal[32, 16, 8] = Field(
        default=32, description="of its last map; 3, 2 or 1 deconvolutions follow"
    )
    dilated: bool = Field(
        default=False, description="dilation in place of the encoder's strides that are left out"
    )
    input_size: tuple[int, int] = Field(
        default=(256, 192),
        description="the crop's; the heatmaps' is a quarter",
        json_schema_extra={"allowed": "[height, width], multiples of encoder_stride in 32..2048"},
    )
    blocks: str | dict[str, Any] | None = Field(
        default=None,
        description="a name: after every deconv; or by site, with options",
        json_schema_extra={"allowed": "none | name | {deconv1: name, layer3: {type: name, ...}}"},
    )
    weights: Text | None = Field(
        default="imagenet",
        description="what training starts from: imagenet is for the encoder alone",
        json_schema_extra={"allowed": "none | imagenet | path"},
    )
    heatmap_sigma: float | None = Field(
        default=None, ge=0.1, le=50, description="heatmap px; none: 2 at width 192, in proportion"
    )
    codec: Literal["heatmap", "udp"] = Field(
        default="heatmap", description="convention of crops, targets, flip and decoding"
    )
    partial_weights: bool = Field(
        default=False, description="the weights file may lack blocks, which start as the identity"
    )

    @field_validator("dilated")
    @classmethod
    def _in_place_of_a_stride(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("encoder_stride") == 32:
            raise ValueError(
                "it has no effect with model.encoder_stride=32, where no stride is left out"
            )
        if value and info.data.get("encoder") in ("resnet18", "resnet34"):
            raise ValueError("only bottlenecks dilate; use model.encoder=resnet50 or deeper")
        return value

    @field_validator("input_size", mode="before")
    @classmethod
    def _multiple_of_stride(cls, value: Any, info: ValidationInfo) -> Any:
        sizes = value if isinstance(value, list | tuple) else ()
        if len(sizes) != 2 or any(type(side) is not int for side in sizes):
            raise ValueError("input_size is two integers, [height, width]")
        stride = info.data.get("encoder_stride", 8)
        if any(side % stride or not 32 <= side <= 2048 for side in sizes):
            raise ValueError(f"height and width are each a multiple of {stride} in 32..2048")
        return tuple(sizes)

    @field_validator("blocks", mode="before")
    @classmethod
    def _at_sites(cls, value: Any, info: ValidationInfo) -> Any:
        if value is None or (isinstance(value, str) and value):
            return value
        if not isinstance(value, dict) or not value:
            raise ValueError("blocks is none, a block's name, or {site: name, ...}")
        check_plain(value)
        stride = info.data.get("encoder_stride", 32)
        sites = SITES[: {32: 7, 16: 6, 8: 5}[stride]]
        for site, block in value.items():
            if site in SITES and site not in sites:
                raise ValueError(
                    f"there is no {site} with model.encoder_stride={stride}; sites are "
                    f"{', '.join(sites)}"
                )
            if site not in SITES:
                raise ValueError(f"{str(site)[:40]!r} is no site{hint(site, sites)}")
            name = block.get("type") if isinstance(block, dict) else block
            if not isinstance(name, str) or not name:
                raise ValueError(f"{site} needs a block's name, or {{type: name, option: value}}")
        return value

    @field_validator("weights")
    @classmethod
    def _imagenet_or_path(cls, value: str | None) -> str | None:
        if value is None or value == "imagenet" or set(value) & set("/\\."):
            return value
        near = hint(value, ("none", "imagenet"))
        raise ValueError(f"no path: write ./{value} for a file of that name here{near}")

    @field_validator("partial_weights")
    @classmethod
    def _adds_blocks(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("weights", "imagenet") in (None, "imagenet"):
            if "weights" in info.data:
                raise ValueError("it has no effect without a file; give model.weights=FILE too")
        elif value and info.data.get("blocks", "") is None:
            raise ValueError("it has no effect without blocks; give model.blocks too")
        return value


class TrainConfig(BaseModel):
    """The recipe."""

    model_config = STRICT

    optimizer: Literal["adam", "adamw", "sgd"] = Field(default="adam", description="torch.optim's")
    lr: float = Field(default=1e-3, gt=0, le=1000, description="learning rate until the first drop")
    weight_decay: float = Field(default=0.0, ge=0, le=1, description="adamw and sgd only")
    momentum: float | None = Field(default=None, ge=0, lt=1, description="sgd only; none: 0.9")
    epochs: int = Field(default=210, ge=1, le=100_000, description="passes over the training set")
    lr_drops: tuple[int, ...] | None = Field(
        default=None,
        description="epochs after which lr falls; none: 170/210 and 200/210 of epochs",
        json_schema_extra={"allowed": "none | [rising integers in 1..epochs-1]"},
    )
    lr_factor: float = Field(default=0.1, gt=0, lt=1, description="of lr at each drop")
    warmup_steps: int = Field(default=0, ge=0, le=1_000_000, description="steps of linear rise")
    batch_size: int = Field(default=32, ge=1, le=4096, description="crops per device and step")
    accumulate: int = Field(default=1, ge=1, le=1024, description="batches per optimiser step")
    amp: Literal["bf16", "fp16"] | None = Field(default=None, description="mixed precision")
    channels_last: bool = Field(default=True, description="memory format")
    compile: bool = Field(default=False, description="torch.compile")
    ema: float | None = Field(default=None, gt=0, lt=1, description="decay of averaged weights")
    evaluate_every: Count = Field(default=10, description="epochs; the last one always")
    save_every: Count | None = Field(
        default=500, description="steps between saves in an epoch; none: at its end only"
    )
    log_every: Count = Field(default=50, description="steps")
    ohkm: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        default=None, description="only so many hardest keypoints of a crop make its loss"
    )
    keypoint_weights: dict[str, float] | None = Field(
        default=None,
        description="of the keypoints' errors before they are squared; the others have 1",
        json_schema_extra={"allowed": "none | {left_ankle: 1.5, ...}, 0 < number <= 100"},
    )
    recipe: Literal["paper", "sb", "hrnet", "mmpose"] = Field(
        default="paper", description="file of keypoint/recipes/ whose values stand in for defaults"
    )

    @field_validator("weight_decay")
    @classmethod
    def _not_inside_adam(cls, value: float, info: ValidationInfo) -> float:
        if value and info.data.get("optimizer") == "adam":
            raise ValueError(
                "SimpleBaseline with weight decay inside Adam has given AP 12; "
                "use train.optimizer=adamw"
            )
        return value

    @field_validator("momentum")
    @classmethod
    def _sgd_only(cls, value: float | None, info: ValidationInfo) -> float | None:
        optimizer = info.data.get("optimizer", "sgd")
        if value is not None and optimizer != "sgd":
            raise ValueError(f"it has no effect with train.optimizer={optimizer}; only sgd has it")
        return value

    @field_validator("lr_drops", mode="before")
    @classmethod
    def _rising(cls, value: Any, info: ValidationInfo) -> Any:
        if value is None:
            return None
        if not isinstance(value, list | tuple) or any(type(drop) is not int for drop in value):
            raise ValueError("lr_drops is none or a list of epochs")
        epochs = info.data.get("epochs", math.inf)
        if any(a >= b for a, b in itertools.pairwise([0, *value, epochs])):
            known = f"={epochs}" if "epochs" in info.data else ""
            raise ValueError(
                f"drops rise and lie in 1..epochs-1, with train.epochs{known}; "
                "leave lr_drops out to have them in proportion"
            )
        return tuple(value)

    @field_validator("keypoint_weights", mode="before")
    @classmethod
    def _weights(cls, value: Any) -> Any:
        if value is None:
            return None
        if not isinstance(value, dict) or not value:
            raise ValueError("keypoint_weights is none or {name: number, ...}")
        check_plain(value)
        for name, weight in value.items():
            if type(weight) not in (int, float) or not 0 < weight <= 100:
                raise ValueError(f"{name[:40]} needs a number above 0 and up to 100")
        if set(value.values()) == {1}:
            raise ValueError("weights of 1 have no effect; leave keypoint_weights out")
        return {name: float(weight) for name, weight in value.items()}

    @field_validator("lr_factor")
    @classmethod
    def _drops(cls, value: float, info: ValidationInfo) -> float:
        if info.data.get("lr_drops") == () and value != cls.model_fields["lr_factor"].default:
            raise ValueError("it has no effect with train.lr_drops=[]")
        return value

    @property
    def drops(self) -> tuple[int, ...]:
        """``lr_drops``, or (170, 200) of 210 epochs in proportion: (10, 11) of 12, none of 1."""
        if self.lr_drops is not None:
            return self.lr_drops
        drops = {round(self.epochs * drop / 210) for drop in (170, 200)}
        return tuple(sorted(drop for drop in drops if 0 < drop < self.epochs))

    @property
    def sgd_momentum(self) -> float | None:
        """``momentum``, 0.9 where it is none; None for the optimisers without it."""
        if self.optimizer != "sgd":
            return None
        return 0.9 if self.momentum is None else self.momentum


class TestConfig(BaseModel):
    """How results are made and scored."""

    model_config = STRICT

    boxes: Text | None = Field(default=None, description="detections JSON; none: ground truth")
    box_score_threshold: Fraction = Field(default=0.0, description="detections below are left out")
    flip: bool = Field(default=True, description="average with the mirrored crop")
    decoding: Literal["codec", "quarter", "dark"] | None = Field(
        default="codec", description="of peaks; codec: quarter for heatmap, dark for udp"
    )
    batch_size: int = Field(default=64, ge=1, le=4096, description="crops per device")
    oks_nms: Literal["hard", "soft"] | None = Field(default="hard", description="of double persons")
    oks_nms_threshold: Fraction = Field(default=0.9, description="OKS above which two are one")
    keypoint_threshold: Fraction = Field(
        default=0.2, description="keypoints above it make the person's score"
    )

    @field_validator("box_score_threshold")
    @classmethod
    def _detections_only(cls, value: float, info: ValidationInfo) -> float:
        if value and info.data.get("boxes", "") is None:
            raise ValueError("it has no effect on ground-truth boxes; give test.boxes=FILE too")
        return value

    @field_validator("oks_nms_threshold")
    @classmethod
    def _with_nms(cls, value: float, info: ValidationInfo) -> float:
        default = cls.model_fields["oks_nms_threshold"].default
        if value != default and info.data.get("oks_nms", "hard") is None:
            raise ValueError("it has no effect with test.oks_nms=none")
        return value


class Config(BaseModel):
    """Everything a run depends on besides the data."""

    model_config = STRICT

    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="of all random numbers")
    output: Text | None = Field(default=None, description="the run's folder; none: output/<config>")
    data: DataConfig = DataConfig()
    augment: AugmentConfig = AugmentConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    test: TestConfig = TestConfig()

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, strings, numbers and None: what a checkpoint holds."""
        return self.model_dump(mode="json")
