"""Read a run from its folder: numbers, their conditions, config and origin.

The numbers are those of `metrics.json`: of the last evaluation in training, or of `keypoint test`
if it was run there (it writes a `card.md`). Without that file they are those of the last evaluated
epoch in `history.json`. The best epoch is not used, because it was chosen by the number that is
compared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from keypoint.checkpoint.file import read_checkpoint
from keypoint.errors import CheckpointError, DataError
from keypoint.evaluation.analysis.errors import KINDS
from keypoint.evaluation.runs.files import CARD, CONFIG, HISTORY, METRICS, current_names
from keypoint.files import read_json
from keypoint.strict_yaml import read_yaml

TRAINED, TESTED = "training, last evaluation", "keypoint test"
UNKNOWN = "unknown"
GET_CONFIG = (
    "keypoint test writes it for the checkpoint of a training: run it again, or copy the "
    "training's file there"
)
FACTS = ("commit", "train_data", "truth", "crops", "finished")
# Names of numbers of an analysis, next to those of the metrics.
OF_KEYPOINT, OF_KIND = "AP of {}", "share of {}"


@dataclass(frozen=True)
class Run:
    """One training or test.

    Attributes:
        folder: Its folder.
        task: "keypoints" or "action".
        metrics: Numbers by name, as in its task; numbers that are not defined are left out.
        per_keypoint: AP of each keypoint alone, 0 to 1; empty without `keypoint test --analyse`.
        errors: Share of the paired persons' labelled keypoints of each kind of error; empty too.
        conditions: Of the numbers, as the file has them.
        config: Of the training, as its file has it; None if the folder has no config.yaml.
        facts: `numbers` (`TRAINED` or `TESTED`), the fingerprint `truth` of the annotations or
            labels scored against, and of the checkpoint `commit`, `train_data`, `crops` (a step, on
            all devices) and `finished`; "unknown" if there is none.
        has_origin: Whether the test stored these facts itself, as it does since 0.2.0.
    """

    folder: Path
    task: str
    metrics: dict[str, float]
    per_keypoint: dict[str, float]
    errors: dict[str, float]
    conditions: dict[str, Any]
    config: dict[str, Any] | None
    facts: dict[str, str]
    has_origin: bool = False

    @property
    def numbers(self) -> dict[str, float]:
        """All numbers by name: the metrics, "AP of nose" and so on, "share of jitter" and so on."""
        by_keypoint = {OF_KEYPOINT.format(name): ap for name, ap in self.per_keypoint.items()}
        by_kind = {OF_KIND.format(kind): share for kind, share in self.errors.items()}
        return self.metrics | by_keypoint | by_kind

    @property
    def seed(self) -> int | None:
        """Seed of the training, None if it is not known."""
        seed = (self.config or {}).get("seed")
        return seed if type(seed) is int else None

    @property
    def metric(self) -> str:
        """Name of the number that runs are compared by."""
        return "AP" if self.task == "keypoints" else "top1"


def read_run(folder: Path) -> Run:
    """Read a run's folder, or the folder of one of its tests.

    Args:
        folder: Has metrics.json or history.json; config.yaml and the checkpoint are in it or in
            its parent folder, as for a test of several kinds of boxes. A test in another folder
            than the training's has its facts in metrics.json.

    Raises:
        DataError: The folder does not exist, or has neither file, or one that is damaged or empty.
        CheckpointError: Its checkpoint is damaged.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give the output folder of a run")
    content, source = _numbers(folder)
    try:
        metrics = {
            str(name): float(value)
            for name, value in content["metrics"].items()
            if value is not None and value != -1
        }
        conditions = current_names(content["conditions"])
        per_keypoint, errors = _analysis(content.get("analysis") or {})
        stored = {key: str(content.get("origin", {}).get(key, UNKNOWN)) for key in FACTS}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{folder}/{source}: not written by this version's keypoint test ({error!r}); run it "
            "again"
        ) from None
    broken = [name for name, value in metrics.items() if not math.isfinite(value)]
    if broken or not metrics:
        raise DataError(
            f"{folder}/{source}: {'not finite: ' + ', '.join(broken) if broken else 'no number'}; "
            "test again, with annotations or labels"
        )
    task = "action" if "top1" in metrics else "keypoints"
    known = {key: fact for key, fact in stored.items() if fact != UNKNOWN}
    facts = {"numbers": TESTED if source == METRICS and (folder / CARD).is_file() else TRAINED}
    has_origin = "origin" in content
    run = Run(
        folder, task, metrics, per_keypoint, errors, conditions, None, facts | known, has_origin
    )
    if run.metric not in metrics:
        raise DataError(f"{folder}/{source}: has no {run.metric}; test again")
    home = next((each for each in (folder, folder.parent) if (each / CONFIG).is_file()), None)
    if home is None:
        return run
    document = read_yaml(home / CONFIG)
    config = document.content
    if document.problems or not isinstance(config, dict):
        raise DataError(f"{home / CONFIG}: not the config of a run; copy the run's file there")
    return replace(run, config=config, facts=facts | facts_in(home) | known)


def _numbers(folder: Path) -> tuple[dict[str, Any], str]:
    """The entry with the numbers, and the name of its file."""
    if (folder / METRICS).is_file():
        content = read_json(folder / METRICS, "metrics")
        if not isinstance(content, dict):
            raise DataError(f"{folder / METRICS}: not an object; run keypoint test again")
        return content, METRICS
    if not (folder / HISTORY).is_file():
        inside = sorted(
            path.parent.relative_to(folder)
            for name in (METRICS, HISTORY)
            for path in (*folder.glob(f"*/{name}"), *folder.glob(f"*/*/{name}"))
        )
        held = f"; it contains runs, give these: {folder / inside[0]} .." if inside else ""
        raise DataError(
            f"{folder}: has neither {METRICS} nor {HISTORY}; give the output folder of a finished "
            f"training run or of keypoint test{held}"
        )
    history = read_json(folder / HISTORY, "history")
    records = history if isinstance(history, list) else []
    judged = [each for each in records if isinstance(each, dict) and each.get("metrics")]
    if not judged:
        raise DataError(f"{folder / HISTORY}: no epoch was evaluated; run keypoint test")
    return judged[-1], HISTORY


def _analysis(analysis: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, float]]:
    """AP by keypoint and share of each kind of error, of the analysis in a metrics.json."""
    by_keypoint = {
        name: float(entry["AP"])
        for name, entry in analysis.get("keypoints", {}).items()
        if entry["AP"] is not None
    }
    counts = analysis.get("errors", {}).get("keypoints", {})
    total = sum(counts.values())
    return by_keypoint, {kind: counts[kind] / total for kind in KINDS if total}


def facts_in(folder: Path) -> dict[str, str]:
    """Return the facts of last.pt or best.pt in a folder, each "unknown" if there is none.

    Raises:
        CheckpointError: The file is damaged.
    """
    paths = [folder / name for name in ("last.pt", "best.pt") if (folder / name).is_file()]
    return checkpoint_facts(paths[0]) if paths else dict.fromkeys(FACTS, UNKNOWN)


def checkpoint_facts(path: Path) -> dict[str, str]:
    """Return the origin of a checkpoint: commit, data, crops; of last.pt also whether it ended.

    Raises:
        CheckpointError: The file is not a checkpoint, or damaged.
    """
    content = read_checkpoint(path)
    data = content["data"] or {}
    try:
        epochs = content["config"]["train"]["epochs"]
    except (KeyError, TypeError):
        raise CheckpointError(f"{path}: its config has no train.epochs; train again") from None
    train = content["config"]["train"]
    step = [train.get("batch_size"), train.get("accumulate"), content["world_size"]]
    ended = content["epoch"] >= epochs and not content["batch"]
    state = "yes" if ended else f"epoch {content['epoch']} of {epochs}"
    imported = (content["versions"] or {}).get("imported")
    return {
        "commit": str((content["card"] or {}).get("commit") or UNKNOWN),
        "train_data": str(data.get("train", UNKNOWN)),
        "truth": str(data.get("truth", data.get("test", UNKNOWN))),
        "crops": UNKNOWN if None in step else str(math.prod(step)),
        "finished": state if path.name == "last.pt" and not imported else UNKNOWN,
    }
