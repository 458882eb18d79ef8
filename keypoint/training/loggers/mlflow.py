"""Log a run to MLflow, with its client and environment variables.

The client waits for the server in every call: by default for four minutes if there is no answer,
and longer on a bad network. So all calls are made in another thread.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keypoint.errors import ConfigError
from keypoint.training.loggers.background import Background
from keypoint.training.loggers.record import Record

INSTALL = "pip install keypoint[mlflow]"
FINISH_S = 60.0


def check_mlflow() -> None:
    """Check that the client can use the store of MLFLOW_TRACKING_URI, without a request.

    Raises:
        ConfigError: It is not installed, or cannot use that store.
    """
    try:
        import mlflow
    except ImportError as error:
        raise ConfigError(
            f"train.logger=mlflow needs the package mlflow-skinny ({error}); {INSTALL}"
        ) from None
    try:
        mlflow.MlflowClient()
    except Exception as error:  # mlflow's own, sqlalchemy's, an import of a store
        raise ConfigError(
            f"train.logger=mlflow: MLFLOW_TRACKING_URI={mlflow.get_tracking_uri()} cannot be used "
            f"({error}); give another one"
        ) from None


class MlflowLog:
    """Logs the config as parameters with dotted keys, and as config.json."""

    def __init__(self, folder: Path) -> None:
        self._record = Record(folder, "mlflow")
        self._background = Background("mlflow")
        self._background.put(partial(self._begin, str(folder)))

    def _begin(self, name: str) -> None:
        import mlflow

        self._mlflow, self._client = mlflow, mlflow.MlflowClient()
        self._is_new = self._record.run is None
        run = mlflow.start_run(self._record.run, run_name=name if self._is_new else None)
        self._id = run.info.run_id
        self._record.begin(self._id)

    def config(self, values: Mapping[str, Any]) -> None:
        """Log the run's parameters; a resumed run keeps its first ones, which are final."""
        self._background.put(partial(self._config, values))

    def _config(self, values: Mapping[str, Any]) -> None:
        self._client.log_dict(self._id, dict(values), "config.json")
        if self._is_new:
            params = [self._mlflow.entities.Param(k, str(v)) for k, v in _dotted(values)]
            self._client.log_batch(self._id, params=params, synchronous=True)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Log a point of each metric's curve."""
        now = int(time.time() * 1000)  # ms, as the client counts
        self._background.put(partial(self._scalars, values, step, now))

    def _scalars(self, values: Mapping[str, float], step: int, now: int) -> None:
        tags = self._record.new(values, step)
        metrics = [self._mlflow.entities.Metric(tag, values[tag], now, step) for tag in tags]
        self._client.log_batch(self._id, metrics=metrics, synchronous=True)
        self._record.sent(tags, step)

    def picture(self, name: str, image: NDArray[np.uint8], step: int) -> None:
        """Log the picture of a step."""
        self._background.put(partial(self._picture, name, image, step))

    def _picture(self, name: str, image: NDArray[np.uint8], step: int) -> None:
        if self._record.new([name], step):
            self._client.log_image(self._id, image, key=name, step=step, synchronous=True)
            self._record.sent([name], step)

    def close(self, done: bool) -> None:
        """Send the rest; an unfinished run is shown as failed until it is resumed."""
        self._background.put(partial(self._close, "FINISHED" if done else "FAILED"))
        self._background.finish(FINISH_S)

    def _close(self, status: str) -> None:
        self._mlflow.end_run(status)


def _dotted(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
