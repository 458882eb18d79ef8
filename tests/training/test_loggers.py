"""`train.logger`: the services' own clients, without a network."""

import json
import struct
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from keypoint.errors import ConfigError
from keypoint.evaluation.runs.group import FREE
from keypoint.training.log import RunLog, check_logger
from keypoint.training.loggers.background import Background
from keypoint.training.loggers.record import FILE
from keypoint.training.resume import FREE_KEYS
from keypoint.training.run_folder import RunFolder
from tests.calling import tool
from tests.test_imports import loaded_by
from tests.training.test_trainer import judged, trainer

SERVICES = ("wandb", "mlflow")
PICTURE = np.full((4, 6, 3), 7, np.uint8)


class Wandb:
    """The client offline; its rows are read from its own files."""

    def __init__(self, folder, monkeypatch):
        self.module = pytest.importorskip("wandb")
        for name in ("CONFIG_DIR", "CACHE_DIR", "DATA_DIR", "ARTIFACT_DIR"):
            monkeypatch.setenv(f"WANDB_{name}", str(folder / name))
        monkeypatch.setenv("NETRC", str(folder / "netrc"))
        monkeypatch.setenv("WANDB_MODE", "offline")
        monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
        monkeypatch.setenv("WANDB_SILENT", "true")
        monkeypatch.setenv("WANDB_CONSOLE", "off")
        self.module.teardown()  # the variables are read once a process

    def records(self, folder):
        """Of all files of a run folder: the format is LevelDB's log, in blocks of 32 KiB."""
        from wandb.proto.wandb_internal_pb2 import Record

        self.module.teardown()  # ends the process that writes them, as the end of a training does
        for path in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
            raw, at, whole = path.read_bytes(), 7, b""
            while at + 7 <= len(raw):
                left = 2**15 - at % 2**15
                if left < 7:
                    at += left
                    continue
                _, length, kind = struct.unpack_from("<IHB", raw, at)
                if kind == 0:  # padding
                    at += left
                    continue
                whole += raw[at + 7 : at + 7 + length]
                at += 7 + length
                if kind in (1, 4):  # whole, or the last part
                    yield Record.FromString(whole)
                    whole = b""

    def runs(self, folder):
        return {r.run.run_id for r in self.records(folder) if r.HasField("run")}

    def steps(self, folder):
        found = {}
        for record in self.records(folder):
            if not record.HasField("history"):
                continue
            items = record.history.item
            row = {i.key or i.nested_key[0]: json.loads(i.value_json) for i in items}
            for tag in row.keys() - {"step", "_step", "_runtime", "_timestamp"}:
                found.setdefault(tag, []).append(row["step"])
        return found

    def config(self, folder):
        found = {}
        for record in self.records(folder):
            parts = [record.config.update, record.run.config.update]
            found |= {i.key: json.loads(i.value_json) for part in parts for i in part if i.key}
        return found

    def states(self, folder):
        codes = [r.exit.exit_code for r in self.records(folder) if r.HasField("exit")]
        return ["failed" if code else "done" for code in codes]


class Mlflow:
    """The client with a local database; to make its tables takes seconds."""

    def __init__(self, folder, monkeypatch):
        self.module = pytest.importorskip("mlflow")
        pytest.importorskip("sqlalchemy")
        monkeypatch.chdir(folder)  # gets the artifacts
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
        monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)

    def found(self, folder):
        client = self.module.MlflowClient()
        return client, [r for r in client.search_runs(["0"]) if r.info.run_name == str(folder)]

    def runs(self, folder):
        return {run.info.run_id for run in self.found(folder)[1]}

    def steps(self, folder):
        client, runs = self.found(folder)
        steps = {
            tag: [m.step for run in runs for m in client.get_metric_history(run.info.run_id, tag)]
            for tag in {tag for run in runs for tag in run.data.metrics}
        }
        for run in runs:
            for file in client.list_artifacts(run.info.run_id, "images"):
                name, _, step = Path(file.path).name.split("+")[:3]
                if file.path.endswith(".png"):
                    steps.setdefault(name.replace("~", "/"), []).append(int(step))
        return {tag: sorted(numbers) for tag, numbers in steps.items()}

    def config(self, folder):
        return {k: v for run in self.found(folder)[1] for k, v in run.data.params.items()}

    def states(self, folder):
        names = {"FINISHED": "done", "FAILED": "failed"}
        return [names[run.info.status] for run in self.found(folder)[1]]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("services")


@pytest.fixture(params=SERVICES)
def service(request, home, monkeypatch):
    made = {"wandb": Wandb, "mlflow": Mlflow}[request.param](home, monkeypatch)
    made.name = request.param
    yield made
    if request.param == "wandb":
        if made.module.run is not None:  # of a test whose client failed
            made.module.run.finish()
        made.module.teardown()


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    return folder


def test_a_service_gets_what_tensorboard_gets(service, run, tmp_path):
    (tmp_path / "board").mkdir()
    trainer(tmp_path / "board", validation=judged(0.4)).fit()
    trainer(run, validation=judged(0.4), logger=service.name).fit()
    tags = EventAccumulator(str(tmp_path / "board")).Reload().Tags()
    steps = service.steps(run)
    assert steps.keys() == {*tags["scalars"], *tags["images"]}
    assert steps["train/loss"] == list(range(1, 9))
    assert steps["train/crops"] == steps["val/AP"] == [4, 8]
    assert service.states(run) == ["done"]
    assert not list(run.glob("events.*"))


def test_the_config_has_its_keys(service, run):
    log = RunLog(run, True, name=service.name)
    log.config({"seed": 3, "train": {"lr": 0.5}})
    log.close()
    expected = {"seed": "3", "train.lr": "0.5"}
    if service.name == "wandb":
        expected = {"seed": 3, "train": {"lr": 0.5}}
    found = service.config(run)
    assert {key: found[key] for key in expected} == expected


def test_a_resumed_run_continues_and_no_step_is_there_twice(service, run):
    first = RunLog(run, True, name=service.name)
    first.config({"train": {"logger": "tensorboard"}})
    for step in range(1, 7):
        first.scalars({"train/loss": 1 / step}, step)
    first.picture("train/crops", PICTURE, 6)  # then it ended, before the evaluation of step 6
    first.close(done=False)
    assert service.states(run) == ["failed"]
    second = RunLog(run, True, first_step=4, name=service.name)
    second.config({"train": {"logger": service.name}})
    for step in range(5, 9):
        second.scalars({"train/loss": 1 / step}, step)
        if step in (6, 8):
            second.picture("train/crops", PICTURE, step)
            second.scalars({"val/AP": 0.5}, step)
    second.close()
    assert len(service.runs(run)) == 1
    steps = service.steps(run)
    assert steps == {"train/loss": list(range(1, 9)), "train/crops": [6, 8], "val/AP": [6, 8]}
    assert service.states(run)[-1] == "done"


def test_a_new_run_in_the_folder_is_another(service, run):
    """After --overwrite, or a run that ended before its first checkpoint."""
    for _ in range(2):
        log = RunLog(run, True, name=service.name)
        log.scalars({"a": 1.0}, 1)
        log.close()
    assert len(service.runs(run)) == 2
    assert service.steps(run) == {"a": [1, 1]}


def test_a_run_that_uses_another_logger_forgets_the_ids_of_a_dead_one(run):
    (run / FILE).write_text("{}")
    RunLog(run, True).close()
    assert not (run / FILE).exists()


def test_overwrite_removes_the_ids(run):
    (run / FILE).write_text("{}")
    folder = RunFolder(run)
    folder.clear()
    folder.close()
    assert not (run / FILE).exists()


def test_a_client_that_fails_is_reported_once_and_training_ends_well(
    service, run, monkeypatch, warnings
):
    def fail(*arguments, **options):
        raise RuntimeError("the server\nis gone")

    whole = trainer(run, logger=service.name)
    if service.name == "wandb":
        monkeypatch.setattr(service.module.Run, "log", fail)
    else:
        monkeypatch.setattr(service.module.MlflowClient, "log_batch", fail)
    whole.fit()
    assert len(whole.history) == 2
    assert warnings.text.count(f"logs to {service.name} cannot be written (") == 1
    assert "RuntimeError: the server is gone); continuing without them" in warnings.text


def test_a_server_that_does_not_answer_holds_up_no_step(run, monkeypatch, warnings):
    pytest.importorskip("mlflow")
    from keypoint.training.loggers import mlflow

    monkeypatch.setattr(mlflow, "FINISH_S", 0.5)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # nobody listens
    begin = time.perf_counter()
    log = RunLog(run, True, name="mlflow")
    for step in range(1, 100):
        log.scalars({"a": 1.0}, step)
    log.close()
    assert time.perf_counter() - begin < 20  # four minutes, if the calls waited
    assert warnings.text.count("logs to mlflow cannot be written (") == 1


def test_work_in_the_background_has_an_end():
    background = Background("slow")
    background.put(lambda: time.sleep(5))
    with pytest.raises(TimeoutError, match=r"no answer within 0\.1 s"):
        background.finish(0.1)


def test_other_ranks_are_silent(run):
    for name in ("tensorboard", *SERVICES):
        log = RunLog(run, enabled=False, name=name)
        log.config({"seed": 1})
        log.scalars({"a": 1.0}, 1)
        log.picture("b", PICTURE, 1)
        log.close()
    assert list(run.iterdir()) == []


@pytest.mark.parametrize("name", SERVICES)
def test_a_client_that_is_not_installed_is_reported_before_anything_is_read(
    name, tmp_path, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, name, None)
    output = tmp_path / "run"
    words = [f"output={output}", f"train.logger={name}", "data.root=/nowhere"]
    assert tool("train", "--cfg", "res50_256x192.yaml", *words) == 2
    said = capsys.readouterr().err
    assert f"train.logger={name} needs the package {name}" in said
    assert f"pip install keypoint[{name}]" in said
    assert not output.exists()


def test_without_an_api_key_nothing_is_asked_for(tmp_path, monkeypatch):
    client = Wandb(tmp_path, monkeypatch).module
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("wandb asks"))
    client.teardown()
    with pytest.raises(ConfigError, match=r"no API key .* wandb login .* WANDB_MODE=offline"):
        check_logger("wandb")
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    client.teardown()
    check_logger("wandb")
    client.teardown()


@pytest.mark.parametrize(
    ("name", "variable", "value"),
    [("wandb", "WANDB_MODE", "sometimes"), ("mlflow", "MLFLOW_TRACKING_URI", "ftp://x")],
)
def test_variables_that_a_client_refuses(name, variable, value, tmp_path, monkeypatch):
    made = {"wandb": Wandb, "mlflow": Mlflow}[name](tmp_path, monkeypatch)
    monkeypatch.setenv(variable, value)
    if name == "wandb":
        made.module.teardown()
    with pytest.raises(ConfigError, match=value):
        check_logger(name)


def test_the_key_changes_no_number():
    assert "train.logger" in FREE_KEYS & FREE


def test_no_client_is_loaded_unless_it_was_chosen():
    assert not {*SERVICES, "tensorboard"} & loaded_by("import keypoint.training.trainer")
