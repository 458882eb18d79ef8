"""Our commands on hostile inputs, each in a process of its own with limits

A few cases of each group in every run of the tests, all of them with HOSTILE=all (`make hostile`),
which leaves output/hostile/commands.txt, a line a command, and summary.json. The generator stands in
../shared/hostile and is no part of the project; without it these tests are skipped.
"""

import json
import os
import sys
from pathlib import Path

import pytest

from tests.calling import words
from tests.hostile.cases import GENERATOR, generate, run_alone
from tests.hostile.chosen import CHOSEN, FIRST, row_faults
from tests.hostile.commands import Desk, run_jobs
from tests.hostile.judging import problems_of

pytestmark = pytest.mark.skipif(not GENERATOR.is_file(), reason=f"no generator at {GENERATOR}")

REPOSITORY = Path(__file__).parents[2]
ALL = os.environ.get("HOSTILE") == "all"
GROUPS = ("A", "B", "C", "D", "E", "I")
FEW = ["A00", "A30", "A59", "A62", "B14", "C06", "D16", "E09", "I16"]


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    made = generate(tmp_path_factory.mktemp("hostile"), GROUPS if ALL else FEW)
    desk = Desk(tmp_path_factory.mktemp("hostile_work"), made["A00"])
    desk.cases = made
    [done] = run_jobs([desk.training()])
    assert done["status"] == 0, done["text"]
    return desk


def report(name, summary, capsys, lines=()):
    """What `make hostile` leaves in output/hostile/, from where docs/explanation/reliability.md takes it."""
    folder = REPOSITORY / "output" / "hostile"
    folder.mkdir(parents=True, exist_ok=True)
    if lines:
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    file = folder / "summary.json"
    before = json.loads(file.read_text()) if file.is_file() else {}
    file.write_text(json.dumps(before | {name: summary}, indent=2) + "\n")
    with capsys.disabled():
        sys.stdout.write("\n".join(["", *lines, f"{name}: {json.dumps(summary)}", ""]))


def test_the_choices_are_documented():
    assert not list(row_faults())


def test_there_is_a_choice_for_every_case_that_leaves_one(desk):
    open_cases = {case.id for case in desk.cases.values() if case.expected["also_ok"]}
    assert open_cases <= CHOSEN.keys()
    if ALL:
        assert open_cases == CHOSEN.keys()


def test_every_command_on_every_case(desk, capsys):
    jobs = [job for case in desk.cases.values() for job in desk.jobs_of(case)]
    table, wrong = [], []
    summary = {"cases": len(desk.cases), "commands": len(jobs), "accept": 0, "skip": 0, "error": 0}
    summary |= {"silent": 0, "signal": 0, "nameless": 0, "wrong": 0}
    for job, done in zip(jobs, run_jobs(jobs), strict=True):
        problems, kind = problems_of(job, done)
        chosen, row = CHOSEN.get(job.case.id, (kind, ""))
        if job.name == FIRST.get(job.case.id[0]) and kind != chosen:
            problems.append(("wrong", f"{kind}, and we chose {chosen}: {row}"))
        summary[kind] = summary.get(kind, 0) + 1
        for key in {key for key, _ in problems}:
            summary[key] += key != kind
        last = (done["text"].strip().splitlines() or [""])[-1]
        table.append(
            f"{job.case.id} {job.name:8} {kind:6} {done['status']:4} {done['seconds']:6.1f} s {last[:200]}"
        )
        wrong += [
            f"{job.case.id} {job.name}: {key}: {text}\n    {done['text'][-700:]}"
            for key, text in problems
        ]
    errors = summary["error"]
    summary["errors_naming_file_and_id"] = (
        f"{100 * (1 - summary['nameless'] / max(errors, 1)):.1f} %"
    )
    if ALL:
        report("commands", summary, capsys, table)
    assert summary["error"] > 10
    assert summary["accept"] > 5
    assert not wrong, "\n".join([*wrong, json.dumps(summary)])


@pytest.mark.skipif(not ALL, reason="half a minute; HOSTILE=all")
def test_a_fresh_process_says_the_same(desk, tmp_path):
    """The fork server shares what is loaded; typed by a user, a command says the same."""
    chosen = {
        ("A30", "train"),
        ("B14", "train"),
        ("C06", "import"),
        ("D08", "test"),
        ("I23", "test"),
    }
    other, tried = Desk(tmp_path, desk.cases["A00"], desk.checkpoint), 0
    for key in sorted(key for key, _ in chosen):
        case = desk.cases[key]
        for job in other.jobs_of(case):
            if (case.id, job.name) in chosen:
                [forked] = run_jobs([job])
                fresh = run_alone(words(job.tool, *job.argv))
                assert fresh["status"] == forked["status"]
                assert last(fresh["text"]) == last(forked["text"])
                assert fresh["mib"] < case.expected["limits"].get("mib", 6000)
                tried += 1
    assert tried == len(chosen)


def last(text):
    return text.strip().splitlines()[-1]
