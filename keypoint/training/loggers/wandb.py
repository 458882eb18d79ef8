"""Log a run to Weights & Biases, with its client and environment variables.

The client sends from a separate process, so a slow or missing network does not delay a step. It
waits at both ends: 90 s for the first answer (WANDB_INIT_TIMEOUT), and without limit for the last
upload, for which a limit is set here.
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
# Seconds to wait for the last upload, and between writes to disk (15 by default): a killed run
# loses what was not written.
SETTINGS = {"finish_timeout": 60.0, "x_transaction_log_flush_interval": 1.0}


def check_wandb() -> None:
    """Check that the client can start a run, without a prompt or a request.

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
        # At a terminal wandb.init would prompt; verifying would send a request.
        has_key = wandb.login(prompt=False, verify=False)
    except Exception as error:  # pydantic's and its own, of a variable with a wrong value
        raise ConfigError(
            f"train.logger=wandb: the client cannot start ({error}); correct the environment "
            "variables WANDB_..."
        ) from None
    if not has_key:
        raise ConfigError(
            "train.logger=wandb: no API key is configured; run wandb login or set WANDB_API_KEY, "
            "or set WANDB_MODE=offline, which keeps the run on disk for wandb sync"
        )


class WandbLog:
    """Logs with the key `step` as the axis of all curves.

    The client's own step is not used, because entries with an earlier step than the latest are
    dropped; after an interruption, that would be the evaluation of the last step.
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
        """Log the run's config; its keys can be compared and filtered there."""
        self._run.config.update(dict(values), allow_val_change=True)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Log a row of the run's history."""
        self._log(values, step)

    def picture(self, name: str, image: NDArray[np.uint8], step: int) -> None:
        """Log the picture of a step."""
        self._log({name: self._wandb.Image(image)}, step)

    def _log(self, values: Mapping[str, Any], step: int) -> None:
        tags = self._record.new(values, step)
        if tags:
            self._run.log({"step": step} | {tag: values[tag] for tag in tags})
            self._record.sent(tags, step)

    def close(self, done: bool) -> None:
        """Send the rest; an unfinished run is shown as failed until it is resumed."""
        self._run.finish(exit_code=0 if done else 1)


def _is_free(key: str) -> bool:
    """Return whether the user has not set it."""
    return f"WANDB_{key.upper()}" not in os.environ
