"""A run of Weights & Biases, by the service's own client and its environment variables.

The client sends from a process of its own, so a slow or absent network does not hold up a step. It
waits at the ends: 90 s for the first answer (WANDB_INIT_TIMEOUT) and without end for the last
upload, which is limited here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keypoint.errors import ConfigError
from keypoint.training.loggers.record import Record

INSTALL = "pip install keypoint[wandb]"
# Seconds to wait for the last upload, and between writes to disk: what was not written is lost
# with a run that is killed (15 s by default).
SETTINGS = {"finish_timeout": 60.0, "x_transaction_log_flush_interval": 1.0}


def check_wandb() -> None:
    """Find out whether the client can begin a run, without a question to user or network.

    Raises:
        ConfigError: It is not installed or too old, its settings are wrong, or it has no API key.
    """
    try:
        import wandb
    except ImportError as error:
        raise ConfigError(
            f"train.logger=wandb needs the package wandb ({error}); {INSTALL}"
        ) from None
    if "finish_timeout" not in wandb.Settings.model_fields:
        raise ConfigError(f"train.logger=wandb: wandb {wandb.__version__} is too old; {INSTALL}")
    try:
        if wandb.setup().settings.mode in ("offline", "dryrun", "disabled"):
            return
        # At a terminal wandb.init would wait for an answer; verifying would ask the server.
        has_key = wandb.login(prompt=False, verify=False)
    except Exception as error:  # pydantic's and its own, of a variable with a wrong value
        raise ConfigError(
            f"train.logger=wandb: the client refuses to begin ({error}); correct the environment "
            "variables WANDB_..."
        ) from None
    if not has_key:
        raise ConfigError(
            "train.logger=wandb: no API key is configured; run wandb login or set WANDB_API_KEY, "
            "or set WANDB_MODE=offline, which keeps the run on disk for wandb sync"
        )


class WandbLog:
    """The key `step` is the axis of all curves.

    The client's own step is not used: what comes with an earlier one than the latest is dropped,
    and after an interruption that would be the evaluation of the last step.
    """

    def __init__(self, folder: Path) -> None:
        import wandb

        self._wandb = wandb
        self._record = Record(folder, "wandb")
        settings = wandb.Settings(finish_timeout_raises=True)
        for key, value in SETTINGS.items():
            if key in wandb.Settings.model_fields and _is_free(key):
                setattr(settings, key, value)
        given: dict[str, Any] = {"dir": folder, "name": str(folder)}
        given = {key: value for key, value in given.items() if _is_free(key)}
        if self._record.run is not None:
            given |= {"id": self._record.run, "resume": "allow"}
        self._run: Any = wandb.init(settings=settings, **given)
        self._record.begin(self._run.id)
        self._run.define_metric("step", hidden=True)
        self._run.define_metric("*", step_metric="step")

    def config(self, values: Mapping[str, Any]) -> None:
        """The run's config; its keys can be compared and filtered there."""
        self._run.config.update(dict(values), allow_val_change=True)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """A row of the run's history."""
        self._log(values, step)

    def picture(self, name: str, image: NDArray[np.uint8], step: int) -> None:
        """The picture of a step."""
        self._log({name: self._wandb.Image(image)}, step)

    def _log(self, values: Mapping[str, Any], step: int) -> None:
        tags = self._record.new(values, step)
        if tags:
            self._run.log({"step": step} | {tag: values[tag] for tag in tags})
            self._record.sent(tags, step)

    def close(self, done: bool) -> None:
        """Send the rest; a run that is not done is shown as failed until it is resumed."""
        self._run.finish(exit_code=0 if done else 1)


def _is_free(key: str) -> bool:
    """Whether the user has not set it."""
    return f"WANDB_{key.upper()}" not in os.environ
