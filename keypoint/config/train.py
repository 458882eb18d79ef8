"""The section `train` of a config; schema.py has the other sections and the common rules."""

from __future__ import annotations

import itertools
import math
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, Field, ValidationInfo, field_validator

from keypoint.config.fields import STRICT, Count
from keypoint.strict_yaml import check_plain


class LoopConfig(BaseModel):
    """Optimizer, schedule and precision of training, for any task."""

    model_config = STRICT
    USUAL_DROPS: ClassVar[tuple[float, ...]] = (170 / 210, 200 / 210)  # as fractions of the epochs

    optimizer: Literal["adam", "adamw", "sgd"] = Field(default="adam", description="of torch.optim")
    lr: float = Field(default=1e-3, gt=0, le=1000, description="learning rate until the first drop")
    weight_decay: float = Field(default=0.0, ge=0, le=1, description="adamw and sgd only")
    momentum: float | None = Field(default=None, ge=0, lt=1, description="sgd only; none: 0.9")
    epochs: int = Field(default=210, ge=1, le=100_000, description="passes over the training set")
    lr_drops: tuple[int, ...] | None = Field(
        default=None,
        description="epochs after which lr drops; none: 170/210 and 200/210 of epochs",
        json_schema_extra={"allowed": "none | [ascending integers in 1..epochs-1]"},
    )
    lr_factor: float = Field(default=0.1, gt=0, lt=1, description="factor of lr at each drop")
    warmup_steps: int = Field(default=0, ge=0, le=1_000_000, description="steps of linear warmup")
    batch_size: int = Field(default=32, ge=1, le=4096, description="samples per device and step")
    accumulate: int = Field(default=1, ge=1, le=1024, description="batches per optimizer step")
    amp: Literal["bf16", "fp16"] | None = Field(default=None, description="mixed precision")
    channels_last: bool = Field(default=True, description="memory format of the network")
    compile: bool = Field(default=False, description="torch.compile")
    ema: float | None = Field(default=None, gt=0, lt=1, description="decay of averaged weights")
    evaluate_every: Count = Field(
        default=10, description="epochs between evaluations; also after the last epoch"
    )
    save_every: Count | None = Field(
        default=500, description="steps between checkpoints; none: only after each epoch"
    )
    log_every: Count = Field(default=50, description="steps between log entries")
    logger: Literal["tensorboard", "wandb", "mlflow"] = Field(
        default="tensorboard", description="logger for metrics and images"
    )

    @field_validator("weight_decay")
    @classmethod
    def _not_inside_adam(cls, value: float, info: ValidationInfo) -> float:
        if value and info.data.get("optimizer") == "adam":
            raise ValueError(
                "adam has no effective weight decay (SimpleBaseline reached AP 12 with it); "
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
            raise ValueError("lr_drops must be none or a list of epochs")
        epochs = info.data.get("epochs", math.inf)
        if any(a >= b for a, b in itertools.pairwise([0, *value, epochs])):
            known = f"={epochs}" if "epochs" in info.data else ""
            raise ValueError(
                f"drops must be ascending and in 1..epochs-1, with train.epochs{known}; "
                "remove lr_drops to place them in proportion"
            )
        return tuple(value)

    @field_validator("lr_factor")
    @classmethod
    def _drops(cls, value: float, info: ValidationInfo) -> float:
        if info.data.get("lr_drops") == () and value != cls.model_fields["lr_factor"].default:
            raise ValueError("it has no effect with train.lr_drops=[]")
        return value

    @property
    def drops(self) -> tuple[int, ...]:
        """Return ``lr_drops``, or the usual ones, scaled: (10, 11) of 12 epochs, none of 1."""
        if self.lr_drops is not None:
            return self.lr_drops
        drops = {round(self.epochs * share) for share in self.USUAL_DROPS}
        return tuple(sorted(drop for drop in drops if 0 < drop < self.epochs))

    @property
    def sgd_momentum(self) -> float | None:
        """Return ``momentum``, 0.9 if it is none, or None for optimizers without it."""
        if self.optimizer != "sgd":
            return None
        return 0.9 if self.momentum is None else self.momentum


class TrainConfig(LoopConfig):
    """Training of a keypoint network."""

    model_config = STRICT

    ohkm: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        default=None, description="number of hardest keypoints of a crop in the loss; none: all"
    )
    keypoint_weights: dict[str, float] | None = Field(
        default=None,
        description="factors of keypoints' errors before squaring; others have 1",
        json_schema_extra={"allowed": "none | {left_ankle: 1.5, ...}, 0 < number <= 100"},
    )
    recipe: Literal["paper", "sb", "hrnet", "mmpose"] = Field(
        default="paper", description="reference whose values replace the defaults"
    )

    @field_validator("keypoint_weights", mode="before")
    @classmethod
    def _weights(cls, value: Any) -> Any:
        if value is None:
            return None
        if not isinstance(value, dict) or not value:
            raise ValueError("keypoint_weights must be none or {name: number, ...}")
        check_plain(value)
        for name, weight in value.items():
            if type(weight) not in (int, float) or not 0 < weight <= 100:
                raise ValueError(f"{name[:40]} needs a number above 0 and up to 100")
        if set(value.values()) == {1}:
            raise ValueError("weights of 1 have no effect; remove keypoint_weights")
        return {name: float(weight) for name, weight in value.items()}
