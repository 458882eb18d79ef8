"""Our own config and checkpoint with one thing wrong: every key, and the bytes that can rot

The generator makes about ten mutants a key and eleven of a checkpoint. In every run of the tests
the loaders meet a sixth of those of the config and all of a small checkpoint; with HOSTILE=all
(`make hostile`) keypoint train meets all of a config with every key, the loader those of every
config under configs/, and all commands those of a checkpoint that keypoint train wrote.
"""

import pytest
import torch

from keypoint.checkpoint.content import check_training
from keypoint.checkpoint.file import load_model, read_checkpoint
from keypoint.config.load import dump_config, load_config, task_of
from keypoint.models.weights.formats import read_weights
from tests.fuzz.test_fuzz_checkpoints import CONTENT
from tests.hostile.cases import GENERATOR, Outcome, generate, judge, mutants, run
from tests.hostile.commands import Desk, run_jobs
from tests.hostile.judging import crashes_of, problems_of
from tests.hostile.test_hostile_commands import ALL, REPOSITORY, report

pytestmark = pytest.mark.skipif(not GENERATOR.is_file(), reason=f"no generator at {GENERATOR}")

# What the generator takes for a fault and the schema allows: an empty list is "none of them".
ALLOWED = {"transforms_list": ("augment", "transforms"), "lr_drops_list": ("train", "lr_drops")}
# Told by the command that opens the file, and not by the loader of the config.
FILES = ("root_missing", "weights_missing")


def is_allowed(case):
    name = next((name for name in ALLOWED if case.expected["name"].endswith(name)), None)
    if name is None:
        return False
    section, key = ALLOWED[name]
    return getattr(getattr(load_config(case.path("config")), section), key) == ()


def config_door(case):
    config = load_config(case.path("config"))
    again = case.folder.parent / f"{case.id}_again.yaml"
    again.write_text(dump_config(config))
    assert load_config(again) == config
    return Outcome(0, "")


def problems_of_configs(cases):
    wrong = []
    for case in cases:
        if case.expected["name"].endswith(FILES) or is_allowed(case):
            continue
        outcome = run(config_door, case)
        lines = judge(case, outcome)
        lines += ["code was run"] if (case.folder / "PWNED").exists() else []
        wrong += [
            f"{case.id} {case.expected['name']}: {line}\n    {outcome.text[:300]}" for line in lines
        ]
    return wrong


def is_loaded(case):
    """Whether the loader has nothing against a config."""
    return run(config_door, case).kind == "accept"


def problems_behind_the_loader(case, done):
    """Text where text is allowed: what it should name is not there, and is named."""
    problems = list(crashes_of(done))
    values = {"_str": "no_such_value", "_missing": "/nonexistent/nowhere", "_code": "PWNED"}
    given = next((text for end, text in values.items() if case.expected["name"].endswith(end)), "")
    if done["status"] and given not in done["text"]:
        problems.append(("nameless", f"does not name {given}"))
    if not done["status"] and case.expected["name"].endswith(FILES):
        problems.append(("silent", "a file that is not there"))
    if (case.folder / "PWNED").exists():
        problems.append(("wrong", "code was run"))
    return problems


def whole_config(folder):
    """A config file with every key."""
    file = folder / "whole.yaml"
    file.write_text(dump_config(load_config(REPOSITORY / "configs" / "demo.yaml")))
    return file


def test_configs(tmp_path):
    cases = mutants(tmp_path / "cases", config=whole_config(tmp_path))
    assert len(cases) > 450
    tried = [case for number, case in enumerate(cases.values()) if ALL or number % 6 == 0]
    wrong = problems_of_configs(tried)
    assert not wrong, "\n".join(wrong)


@pytest.mark.skipif(not ALL, reason="a minute; HOSTILE=all")
def test_every_config_of_ours(tmp_path, capsys):
    count, wrong = 0, []
    files = sorted((REPOSITORY / "configs").rglob("*.yaml"))
    for number, file in enumerate(file for file in files if task_of(file) == "keypoints"):
        cases = mutants(tmp_path / str(number), config=file)
        count += len(cases)
        wrong += problems_of_configs(cases.values())
    report("mutants_of_configs", {"mutants": count, "wrong": len(wrong)}, capsys)
    assert not wrong, "\n".join(wrong)


def resume_door(case):
    content = read_checkpoint(case.path("checkpoint"))
    check_training(case.path("checkpoint"), content)
    return Outcome(0, "")


def test_checkpoints(tmp_path):
    """All are told, by testing, by importing and by going on with the training."""
    weights = {"conv1.weight": torch.randn(64, 3, 7, 7), "bn1.weight": torch.ones(64)}
    torch.save(CONTENT | {"model": weights}, tmp_path / "a.pt")
    cases = mutants(tmp_path / "cases", checkpoint=tmp_path / "a.pt")
    assert len(cases) == 11
    doors = {
        "test": lambda case: load_model(case.path("checkpoint")),
        "import": lambda case: read_weights(case.path("checkpoint")),
        "resume": resume_door,
    }
    wrong = []
    for case in cases.values():
        for name, door in doors.items():
            if (name, case.expected["name"]) == ("import", "nan_crc_ok"):
                continue  # what is read is looked at when it is filled in
            outcome = run(door, case)
            lines = judge(case, outcome)
            wrong += [
                f"{case.id} {case.expected['name']} {name}: {line}\n    {outcome.text[:300]}"
                for line in lines
            ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.skipif(not ALL, reason="five minutes; HOSTILE=all")
def test_commands(tmp_path, capsys):
    made = generate(tmp_path / "clean", ["A00"])
    (tmp_path / "work").mkdir()
    desk = Desk(tmp_path / "work", made["A00"])
    [done] = run_jobs([desk.training()])
    assert done["status"] == 0, done["text"]
    whole = tmp_path / "whole.yaml"
    whole.write_text(dump_config(load_config(desk.config, ["output=out"])))
    configs = mutants(tmp_path / "configs", config=whole).values()
    jobs = [
        desk.job(case, "train", "train", "--cfg", case.path("config"))
        for case in configs
        if not is_allowed(case)
    ]
    assert len(jobs) > 450
    for case in mutants(tmp_path / "checkpoints", checkpoint=desk.checkpoint).values():
        jobs += desk.checkpoints(case)
    wrong = []
    summary = {"commands": len(jobs), "silent": 0, "signal": 0, "nameless": 0, "wrong": 0}
    for job, done in zip(jobs, run_jobs(jobs), strict=True):
        if job.case.has("config") and is_loaded(job.case):
            problems = problems_behind_the_loader(job.case, done)
        else:
            problems, _ = problems_of(job, done)
        for kind, text in problems:
            summary[kind] += 1
            wrong.append(
                f"{job.case.id} {job.case.expected['name']} {job.name}: {kind}: {text}\n    {done['text'][-500:]}"
            )
    report("mutants_through_commands", summary, capsys)
    assert not wrong, "\n".join(wrong)
