"""Hostile inputs made by a generator outside the project, and the judging of what came of one.

Every case has an expected.json: the outcomes that are right, words that must be told, counts,
numbers, and hashes of its files. A door is a way into the toolkit: it takes a case and gives an
`Outcome`. To run another group, write its door in test_hostile.py and add the group to GROUPS.
"""

import contextlib
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from keypoint.errors import KeypointError
from tests import forked

GENERATOR = Path(__file__).parents[2].parent / "shared" / "hostile" / "hostile.py"
# A process begins with the peak memory of the one that started it, so a small one must start it.
LAUNCHER = """
import json, resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
mib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
json.dump([done.returncode, done.stdout.decode(errors="replace"), mib], sys.stdout)
"""
STATUS = {0: "accept", 2: "error", 3: "error", 4: "error", 5: "error"}


@dataclass
class Case:
    folder: Path
    expected: dict

    @property
    def id(self):
        return self.expected["id"]

    def path(self, entry):
        """A file of the case by its name in `entry`."""
        return self.folder / self.expected["entry"][entry]

    def has(self, entry):
        return entry in self.expected["entry"]


@dataclass
class Outcome:
    """What a door gave: exit status, all text (terminal and report), counts by what was counted."""

    status: int
    text: str
    counts: dict = field(default_factory=dict)  # "persons", "images": (total, used, skipped)
    seconds: float = 0.0

    @property
    def kind(self):
        return STATUS.get(self.status, f"crash ({self.status})")


def generate(folder, groups):
    """The cases of some groups, by id."""
    command = [sys.executable, str(GENERATOR), str(folder), "--only", ",".join(groups), "--big"]
    subprocess.run(command, check=True, capture_output=True)
    found = {}
    for file in sorted(Path(folder).glob("*/expected.json")):
        case = Case(file.parent, json.loads(file.read_text()))
        found[case.id] = case
    return found


def mutants(folder, **bases):
    """Cases made of our own config (`config=FILE`) or checkpoint (`checkpoint=FILE`), by id."""
    options = [part for name, file in bases.items() for part in (f"--base-{name}", str(file))]
    command = [sys.executable, str(GENERATOR), str(folder), "--only", "none", *options]
    subprocess.run(command, check=True, capture_output=True)
    cases = [
        Case(file.parent, json.loads(file.read_text()))
        for file in sorted(Path(folder).glob("*/expected.json"))
    ]
    return {case.id: case for case in cases}


def run(door, case):
    """Go through a door; the toolkit's own errors are outcomes, anything else is a crash."""
    begin = time.perf_counter()
    try:
        outcome = door(case)
    except KeypointError as error:
        text = str(error)
        assert len(text.splitlines()) <= 3, f"{case.id}: more than three lines: {text}"
        outcome = Outcome(error.exit_status, text)
    except Exception as error:  # a crash is a result to be shown in the table
        outcome = Outcome(1, f"{type(error).__name__}: {error}")
    outcome.seconds = time.perf_counter() - begin
    return outcome


def run_alone(command):
    """A command in a fresh process of its own: status, text, peak memory in MiB, as `run_forked`."""
    launch = [sys.executable, "-S", "-c", LAUNCHER, *command]
    done = json.loads(subprocess.run(launch, check=True, capture_output=True).stdout)
    return dict(zip(("status", "text", "mib"), done, strict=True))


def run_forked(command, folder=None, seconds=300, mib=None):
    """A command as a forked process with limits: its status, text, peak memory in MiB and seconds.

    Args:
        command: Its words, of this Python.
        folder: Work folder.
        seconds: It is killed after these, and its status then is that of SIGKILL.
        mib: Memory it may take beyond what is loaded; None for no limit.
    """
    begin = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = forked.start(command, cwd=folder, stdout=output, stderr=output, mib=mib)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        process.kill_all()
        output.seek(0)
        text = output.read().decode(errors="backslashreplace")
    taken = time.monotonic() - begin
    return {"status": process.returncode, "text": text, "mib": process.mib, "seconds": taken}


def judge(case, outcome):
    """What is wrong with an outcome; nothing if it is as expected."""
    expected, problems = case.expected, []
    allowed = [expected["expect"], *expected["also_ok"]]
    kind = outcome.kind
    if kind == "accept" and "skip-and-report" in allowed and "accept" not in allowed:
        kind = "skip-and-report"
    if kind not in allowed:
        problems.append(f"{kind}, allowed {allowed}")
    kept = expected.get("kept", {})
    lost = kind != "error" and any(
        used < kept.get(what, used) for what, (_, used, _) in outcome.counts.items()
    )
    if lost and "skip-and-report" in expected["also_ok"]:
        kind, kept = "skip-and-report", {}
    told = kind if kind == "error" else expected["expect"]
    wanted = expected.get("must_when", [expected["expect"], "skip-and-report"])
    if kind == "accept" and expected["expect"] == "error":
        wanted = []  # accepted, as is also right: nothing need be told
    if told in wanted or kind in wanted:
        for group in expected["must_mention"]:
            if not any(word.lower() in outcome.text.lower() for word in group):
                problems.append(f"no word of {group}")
    problems += [f"says {word!r}" for word in expected["never"] if word in outcome.text]
    if kind == "error":
        first = outcome.text.strip().splitlines()
        problems += [] if first else ["an error without a word"]
    for what, (total, used, skipped) in outcome.counts.items():
        if total != used + sum(skipped.values()):
            problems.append(f"{what}: {total} is not {used} + {skipped}")
        if kind == "error":
            continue
        if what in expected.get("total", {}) and not case.id.startswith("D"):
            of_others = skipped.get("of another category", 0)
            if total - of_others != expected["total"][what]:
                problems.append(f"{what}: total {total}, expected {expected['total'][what]}")
        if kept.get(what, used) != used:
            problems.append(f"{what}: used {used}, expected {kept[what]}")
    if outcome.seconds > expected["limits"]["seconds"]:
        problems.append(f"took {outcome.seconds:.0f} s")
    return problems


def changed_inputs(case):
    """Files of a case that are not as the generator left them, or new."""
    there = {}
    for file in case.folder.rglob("*"):
        if file.is_file() and not file.is_symlink() and file.name != "expected.json":
            name = str(file.relative_to(case.folder))
            there[name] = hashlib.sha256(file.read_bytes()).hexdigest()
    return sorted(dict(there.items() ^ case.expected["sha256"].items()))
