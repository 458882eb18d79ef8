"""The keys of a config: type, range, default, meaning, and which keys exclude each other.

The defaults are the recipe of the SRL paper (section 4.1: Adam, 210 epochs, 32 crops per device,
+-40 degrees, +-30 % scale), with HRNet's learning rate and drops, which the paper does not give.
Derived values have no key (heatmap size, class count, flip order), or ``none`` means "derive it"
(sigma, drops). A value that would have no effect is an error. A check of two keys belongs to the
later of the two, which finds the earlier ones in ``info.data``: no mistake hides another one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationInfo, field_validator, model_validator

from keypoint.config.fields import MAX_BAD, STRICT, Fraction, MaxBad, OfFile, RunConfig, Text, hint
from keypoint.config.train import TrainConfig
from keypoint.models.names import (
    ENCODERS,
    NETWORKS,
    OWN_NETWORK,
    SITES,
    STRIDES_OF_SITES,
    TINY,
    EncoderStride,
    check_dilation,
    is_timm,
)
from keypoint.models.weights.by_name import OWNER, find_by_name, near_name
from keypoint.pose.names import CodecName, Decoding
from keypoint.strict_yaml import check_plain

# Keys of `model` about the weights that training starts from; the others define the network.
STARTED_FROM = ("weights", "partial_weights", "new_head")


class DataConfig(BaseModel):
    """The files of images and annotations. Relative paths are relative to ``root``."""

    model_config = STRICT

    root: Text = Field(default="data/coco", description="folder of the data set")
    train_annotations: Text = Field(
        default="annotations/person_keypoints_train2017.json", description="COCO keypoints JSON"
    )
    train_images: Text | None = Field(default=None, description="folder; none: [images/]train2017")
    val_annotations: Text = Field(
        default="annotations/person_keypoints_val2017.json", description="COCO keypoints JSON"
    )
    val_images: Text | None = Field(default=None, description="folder; none: [images/]val2017")
    skeleton: Text = Field(default="coco17", description="a built-in name, or a YAML file")
    category: str | tuple[str, ...] | None = Field(
        default=None,
        description="category of the persons, several count as one; none: the only one",
        json_schema_extra={"allowed": "none | a name | [names] | all"},
    )
    workers: int = Field(default=4, ge=0, le=64, description="worker processes that load data")
    on_bad: Literal["error", "skip"] = Field(
        default="error", description="bad annotations, images, boxes: stop, or skip and list them"
    )
    max_bad: MaxBad = Field(default=MAX_BAD, description="largest share of each that skip allows")

    @field_validator("category", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        names = value if isinstance(value, list | tuple) else [value]
        if value is not None and not all(isinstance(name, str) and name for name in names):
            raise ValueError("category must be none, a category's name, a list of names, or all")
        if not names or len(set(names)) < len(names):
            raise ValueError(
                "a list of categories needs at least one name, and each name only once"
            )
        return tuple(value) if isinstance(value, list) else value


class AugmentConfig(BaseModel):
    """The random changes of a training crop."""

    model_config = STRICT

    scale: float = Field(
        default=0.3, ge=0, le=0.9, description="std and limit of the change in size"
    )
    rotation: float = Field(
        default=40.0, ge=0, le=90, description="std in degrees; the limit is twice that"
    )
    rotation_probability: Fraction = Field(default=0.6, description="share of crops rotated")
    flip_probability: Fraction = Field(default=0.5, description="share of crops mirrored")
    transforms: tuple[dict[str, Any], ...] = Field(
        default=(),
        description="albumentations pixel transforms, in order",
        json_schema_extra={"allowed": "[{name: ColorJitter, p: 0.5, ...}, ...]"},
    )
    half_body_probability: Fraction = Field(
        default=0.0, description="share of crops of the upper or lower body only"
    )

    @field_validator("rotation_probability")
    @classmethod
    def _rotates(cls, value: float, info: ValidationInfo) -> float:
        degrees = info.data.get("rotation")
        if degrees == 0 and value not in (0, cls.model_fields["rotation_probability"].default):
            raise ValueError("it has no effect with rotation 0; remove one of the two")
        if value == 0 and degrees not in (None, 0, cls.model_fields["rotation"].default):
            raise ValueError(
                f"rotation {degrees:g} has no effect with it; remove one of the two, "
                "or set both to 0"
            )
        return value

    @field_validator("transforms", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        check_plain(value)
        if not isinstance(value, list | tuple):
            raise ValueError("transforms must be a list of mappings, each with a name")
        for index, entry in enumerate(value):
            name = entry.get("name") if isinstance(entry, dict) else None
            if not isinstance(name, str) or not name:
                raise ValueError(
                    f"entry {index} has no name; write {{name: ColorJitter, p: 0.5, ...}}"
                )
        return tuple(value)


class ModelConfig(BaseModel):
    """The network, and blocks at its sites."""

    model_config = STRICT

    network: Text = Field(
        default="simple_baseline",
        description="the network; MODULE:FUNCTION builds your own",
        json_schema_extra={"allowed": f"{', '.join(NETWORKS)}, MODULE:FUNCTION"},
    )
    options: dict[str, Any] = Field(
        default={},
        description="keyword arguments of your own function",
        json_schema_extra={"allowed": "{keyword: value, ...}"},
    )
    encoder: Text = Field(
        default="resnet50",
        description="encoder of simple_baseline: a ResNet, or a backbone of timm",
        json_schema_extra={"allowed": f"{', '.join(ENCODERS).replace(', resnet', '/')}, timm/X"},
    )
    encoder_stride: EncoderStride = Field(
        default=32, description="stride of a ResNet's last map; with timm, 32 keeps the default"
    )
    dilated: bool = Field(
        default=False, description="dilate the ResNet's convolutions instead of the omitted strides"
    )
    input_size: tuple[int, int] = Field(
        default=(256, 192),
        description="size of the crop; sides of the heatmap are a quarter of it",
        json_schema_extra={"allowed": "[height, width], multiples of encoder_stride in 32..2048"},
    )
    blocks: str | dict[str, Any] | None = Field(
        default=None,
        description="a block after every deconv; or blocks by site or submodule",
        json_schema_extra={"allowed": "none | name | {deconv1: name, layer3: {type: name, ...}}"},
    )
    weights: Text | None = Field(
        default="imagenet",
        description="initial weights of training; imagenet is for the encoder only",
        json_schema_extra={"allowed": "none | imagenet | path | name of keypoint weights"},
    )
    heatmap_sigma: float | None = Field(
        default=None,
        ge=0.1,
        le=50,
        description="of targets, heatmap pixels; none: in proportion, 2 at width 192",
    )
    codec: CodecName = Field(
        default="heatmap", description="convention of crops, targets, flip and decoding"
    )
    partial_weights: bool = Field(
        default=False, description="the weights file may lack blocks; they start as the identity"
    )

    new_head: OfFile = Field(
        default=False,
        description="do not load the head, as the weights file has other keypoints",
    )

    @model_validator(mode="before")
    @classmethod
    def _own_weights(cls, values: Any) -> Any:
        """Return the default: none for a user's network and the tiny encoder, else ImageNet."""
        if isinstance(values, dict):
            own, encoder = (str(values.get(key, "")) for key in ("network", "encoder"))
            if ":" in own or encoder == TINY:
                return {"weights": None} | values
        return values

    @field_validator("network")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in NETWORKS and not OWN_NETWORK.fullmatch(value):
            raise ValueError(f"no such network{hint(value, NETWORKS)}; or package.module:function")
        return value

    @field_validator("options", mode="before")
    @classmethod
    def _of_own(cls, value: Any, info: ValidationInfo) -> Any:
        check_plain(value)
        if not isinstance(value, dict):
            raise ValueError("options must be {keyword: value, ...}")
        network = info.data.get("network", ":")
        if value and ":" not in network:
            raise ValueError(f"they have no effect with model.network={network}")
        return value

    @field_validator("encoder", "encoder_stride", "dilated")
    @classmethod
    def _of_simple_baseline(cls, value: Any, info: ValidationInfo) -> Any:
        network = info.data.get("network", "simple_baseline")
        name = info.field_name or ""
        default = cls.model_fields[name].default
        if value != default and network != "simple_baseline":
            raise ValueError(f"it has no effect with model.network={network}")
        encoder = info.data.get("encoder", "")
        if name == "encoder" and value not in ENCODERS and not is_timm(value):
            raise ValueError(f"no such encoder{hint(value, ENCODERS)}; or timm/NAME")
        if name == "dilated" and value and is_timm(encoder):
            raise ValueError(f"it has no effect with model.encoder={encoder}")
        if name == "dilated" and value and "encoder_stride" in info.data and encoder in ENCODERS:
            check_dilation(encoder, info.data["encoder_stride"])
        return value

    @field_validator("input_size", mode="before")
    @classmethod
    def _multiple_of_stride(cls, value: Any, info: ValidationInfo) -> Any:
        sizes = value if isinstance(value, list | tuple) else ()
        if len(sizes) != 2 or any(type(side) is not int for side in sizes):
            raise ValueError("input_size must be two integers, [height, width]")
        multiple = 1  # the network checks it
        if info.data.get("network") in NETWORKS and not is_timm(info.data.get("encoder", "")):
            multiple = info.data.get("encoder_stride", 8)
        if any(side % multiple or not 32 <= side <= 2048 for side in sizes):
            of = f"a multiple of {multiple} in " if multiple > 1 else "in "
            raise ValueError(f"height and width must each be {of}32..2048")
        return tuple(sizes)

    @field_validator("blocks", mode="before")
    @classmethod
    def _at_sites(cls, value: Any, info: ValidationInfo) -> Any:
        if value is None or (isinstance(value, str) and value):
            return value
        if not isinstance(value, dict) or not value:
            raise ValueError("blocks must be none, a block's name, or {site: name, ...}")
        check_plain(value)
        stride = info.data.get("encoder_stride", 32)
        sites = tuple(STRIDES_OF_SITES[stride])
        is_resnet = info.data.get("encoder") in ENCODERS
        is_resnet &= info.data.get("network") == "simple_baseline"
        for site, block in value.items():
            if is_resnet and site in SITES and site not in sites:
                raise ValueError(
                    f"there is no {site} with model.encoder_stride={stride}; sites are "
                    f"{', '.join(sites)}"
                )
            # In other networks, and inside a layer, the submodules are known only once it is built.
            if is_resnet and site not in SITES and "." not in str(site):
                raise ValueError(f"{str(site)[:40]!r} is not a site{hint(site, sites)}")
            name = block.get("type") if isinstance(block, dict) else block
            if not isinstance(name, str) or not name:
                raise ValueError(f"{site} needs a block's name, or {{type: name, option: value}}")
        return value

    @field_validator("weights")
    @classmethod
    def _imagenet_name_or_path(cls, value: str | None, info: ValidationInfo) -> str | None:
        network = info.data.get("network", "simple_baseline")
        if value == "imagenet" and ":" in network:
            raise ValueError(f"{network} loads its own weights; give none, or a file")
        if value == "imagenet" and info.data.get("encoder") == TINY:
            raise ValueError(f"model.encoder={TINY} has no ImageNet weights; give none, or a file")
        if value is None or value == "imagenet" or find_by_name(value):
            return value
        if value.startswith(OWNER) and not Path(value).exists():
            raise ValueError(f"not a name that keypoint weights lists{near_name(value)}")
        if set(value) & set("/\\."):
            return value
        near = near_name(value) or hint(value, ("none", "imagenet"))
        raise ValueError(f"not a path: write ./{value} for a file in this folder{near}")

    @field_validator("partial_weights")
    @classmethod
    def _adds_blocks(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("weights", "imagenet") in (None, "imagenet"):
            if "weights" in info.data:
                raise ValueError("it has no effect without a file; give model.weights=FILE too")
        elif value and info.data.get("blocks", "") is None:
            raise ValueError("it has no effect without blocks; give model.blocks too")
        return value

    def arguments(self, num_keypoints: int) -> dict[str, Any]:
        """Return the arguments of `create_model` without weights; they are named like the keys."""
        keys = self.model_dump(exclude=set(STARTED_FROM))
        return keys | {"num_keypoints": num_keypoints}


class TestConfig(BaseModel):
    """Settings of testing, from the network's heatmaps to AP."""

    model_config = STRICT

    boxes: Text | None = Field(default=None, description="detections JSON; none: ground truth")
    box_score_threshold: Fraction = Field(
        default=0.0, description="detections below it are left out"
    )
    flip: bool = Field(default=True, description="average with the mirrored crop")
    decoding: Decoding | None = Field(
        default="codec", description="refinement of peaks; codec: quarter for heatmap, dark for udp"
    )
    batch_size: int = Field(default=64, ge=1, le=4096, description="crops per device")
    oks_nms: Literal["hard", "soft"] | None = Field(
        default="hard", description="suppression of duplicate persons"
    )
    oks_nms_threshold: Fraction = Field(
        default=0.9, description="OKS above which two are duplicates"
    )
    keypoint_threshold: Fraction = Field(
        default=0.2, description="minimum score of keypoints in a person's score"
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


class Config(RunConfig):
    """Training and testing of a keypoint network."""

    task: Literal["keypoints"] = Field(
        default="keypoints", description="keypoints, or action: video classification"
    )
    data: DataConfig = DataConfig()
    augment: AugmentConfig = AugmentConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    test: TestConfig = TestConfig()

    def evaluation_arguments(self) -> dict[str, Any]:
        """Return the arguments of `evaluate_model` from this config, without the autocast dtype."""
        test = self.test
        return {
            "batch_size": test.batch_size,
            "workers": self.data.workers,
            "flip": test.flip,
            "decoding": test.decoding,
            "nms": test.oks_nms,
            "nms_threshold": test.oks_nms_threshold,
            "keypoint_threshold": test.keypoint_threshold,
        }
