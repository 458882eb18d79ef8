"""Every command that meets a case: what is typed, and what must come of it

`jobs_of` makes the fork server's jobs; `problems_of` judges one. To add a group, give it jobs.
"""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.hostile.cases import Outcome, changed_inputs, judge

TINY = """
output: {output}
data: {{root: "{root}", train_annotations: {train}, train_images: images, val_annotations: {val}, val_images: images,
  workers: 0}}
model: {{encoder: resnet18, input_size: [64, 64], weights: none}}
train: {{epochs: 1, batch_size: 3, optimizer: sgd, momentum: 0.0}}
test: {{batch_size: 4}}
"""
KEYPOINTS = "annotations/person_keypoints.json"
# COCOeval needs the area, and training does not.
USED_IN_TRAINING = ("A62", "A63")
# Where training names the first of the broken images, as it goes through them; check_data counts.
FIRST_ONLY = ("I56",)


@dataclass
class Job:
    """One command on one case."""

    case: object
    name: str
    tool: str
    argv: list
    folder: Path
    words: dict = field(
        default_factory=dict
    )  # what is called otherwise here: {"model.pth": "last.pt"}

    def to_dict(self):
        limits = self.case.expected["limits"]
        return {
            "tool": self.tool,
            "argv": [str(part) for part in self.argv],
            "folder": str(self.folder),
            "seconds": limits["seconds"],
            "mib": limits.get("mib", 6000),
        }


def run_jobs(jobs):
    """What came of each, from a fork server of their own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.hostile.fork_server"],
        input=json.dumps([job.to_dict() for job in jobs]).encode(),
        stdout=subprocess.PIPE,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    return json.loads(done.stdout)


class Desk:
    """Where jobs are made: a folder for what they write, and a run that is in order.

    Args:
        folder: Work folder.
        clean: The case that nothing is wrong with.
        checkpoint: Of another desk's run; None: `training` makes one.
    """

    def __init__(self, folder, clean, checkpoint=None):
        self.folder, self.clean = folder, clean
        self.config = folder / "tiny.yaml"
        self.config.write_text(self.tiny(clean, folder / "run"))
        self.run = folder / "run"
        self.checkpoint = checkpoint or self.run / "last.pt"

    def tiny(self, case, output, train=KEYPOINTS):
        return TINY.format(output=output, root=case.folder, train=train, val=KEYPOINTS)

    def training(self):
        """The job that makes the run."""
        return Job(self.clean, "train", "tools/train.py", ["--cfg", self.config], self.folder)

    def job(self, case, name, tool, *argv, words=None):
        folder = self.folder / case.id / name
        folder.mkdir(parents=True)
        typed = [folder / "out" if part == "OUT" else part for part in argv]
        typed = [f"output={folder / 'out'}" if part == "output=" else part for part in typed]
        return Job(case, name, f"tools/{tool}.py", typed, folder, words or {})

    def jobs_of(self, case):
        """The commands of a case, by its group."""
        make = {"A": self.data, "I": self.data, "D": self.boxes, "B": self.configs}
        make |= {"C": self.checkpoints, "E": self.results}
        return make[case.id[0]](case)

    def data(self, case):
        config = self.folder / f"{case.id}.yaml"
        train = case.expected["entry"].get("train_annotations", KEYPOINTS)
        config.write_text(self.tiny(case, self.folder / "none", train))
        files = ["--annotations", case.path("annotations"), "--images", case.path("images")]
        if "train_annotations" in case.expected["entry"]:
            files = ["--cfg", config]
        jobs = [
            self.job(
                case, "check", "check_data", *files, "--pictures", "0", "output=", "data.workers=0"
            )
        ]
        stages = (
            {"train", "test"} if "load" in case.expected["stage"] else set(case.expected["stage"])
        )
        if case.id in USED_IN_TRAINING:
            stages -= {"train"}
        if "train" in stages:
            jobs.append(self.job(case, "train", "train", "--cfg", config, "output="))
            jobs.append(self.job(case, "browse", "browse_data", "--cfg", config, "output="))
        jobs.append(
            self.job(
                case, "test", "test", "--checkpoint", self.checkpoint, "output=",
                f"data.root={case.folder}", "--pictures", "2", "--analyse", "--worst", "2",
            )
        )  # fmt: skip
        if case.has("results"):
            jobs += self.results(case)
        return jobs

    def boxes(self, case):
        file = case.path("detections")
        more = ["test.box_score_threshold=0.01"] if case.id == "D15" else []
        files = ["--annotations", case.path("annotations"), "--images", case.path("images")]
        return [
            self.job(case, "check", "check_data", *files, "--boxes", file, "--pictures", "0", "output=", *more),
            self.job(
                case, "test", "test", "--checkpoint", self.checkpoint, "--boxes", file, "output=",
                f"data.root={case.folder}", *more,
            ),
            self.job(case, "train", "train", "--cfg", self.config, f"test.boxes={file}", "output=", *more),
        ]  # fmt: skip

    def configs(self, case):
        file = case.path("config")
        return [
            self.job(case, "train", "train", "--cfg", file),
            self.job(case, "test", "test", "--cfg", file, "--checkpoint", self.checkpoint),
            self.job(case, "check", "check_data", "--cfg", file),
            self.job(case, "browse", "browse_data", "--cfg", file),
            self.job(case, "count", "complexity", "--cfg", file),
            self.job(
                case, "import", "import_weights", self.checkpoint, "--cfg", file, "--output", "OUT"
            ),
        ]

    def checkpoints(self, case):
        file = case.path("checkpoint")
        jobs = [
            self.job(case, "test", "test", "--checkpoint", file, "output="),
            self.job(
                case, "testcfg", "test", "--cfg", self.config, "--checkpoint", file, "output="
            ),
            self.job(
                case,
                "import",
                "import_weights",
                file,
                "--input-size",
                "64",
                "64",
                "--output",
                "OUT",
            ),
            self.job(
                case, "export", "export_weights", file, "--format", "mmpose", "--output", "OUT"
            ),
            self.job(
                case, "begin", "train", "--cfg", self.config, f"model.weights={file}", "output="
            ),
        ]
        if file.is_file():
            name = file.name
            resume = self.job(
                case,
                "resume",
                "train",
                "--cfg",
                self.config,
                "--resume",
                "output=",
                words={name: "last.pt"},
            )
            (resume.folder / "out").mkdir()
            os.link(file, resume.folder / "out" / "last.pt")
            jobs.append(resume)
        return jobs

    def results(self, case):
        job = self.job(case, "score", "score", case.path("annotations"), case.path("results"))
        job.tool = "tests/hostile/score.py"
        return [job]


def counts_in(job, text):
    """What a job counted, {"train persons": (total, used, skipped by reason), ..}.

    From its data_report.json; of browse_data, which writes none, from what it said.
    """
    file = job.folder / "out" / "data_report.json"
    if not file.is_file():
        said = re.search(r"(\d+) persons = (\d+) used \+ \d+ skipped \((.*?)\)", text)
        if job.name != "browse" or said is None:
            return {}
        reasons = re.findall(r"(\d+) ([^,]+)", said[3])
        skipped = {reason: int(count) for count, reason in reasons}
        return {"train persons": (int(said[1]), int(said[2]), skipped)}
    report = json.loads(file.read_text())
    parts = report.get("check", report)
    counts = {}
    for name, part in parts.items():
        if "total" not in part:
            continue
        of_boxes = part["source"].endswith("detections.json")
        what = "boxes" if of_boxes else "persons"
        counts[f"{name} {what}"] = part["total"], part["used"], part["skipped"]
        if "images" in part and not of_boxes:
            images = part["images"]
            counts[f"{name} images"] = images["total"], images["used"], images["skipped"]
    return counts


def crashes_of(done):
    """(kind, text) of what no input may do to a command."""
    status, text = done["status"], done["text"]
    if text.startswith("usage:"):  # of a command line that this file has wrong
        yield "wrong", text
    if status < 0:
        yield "signal", f"ended by signal {-status} after {done['seconds']:.0f} s"
    if "Traceback (most recent call last)" in text or status not in (0, 2, 3, 4, 5):
        yield "nameless", "no error of the toolkit's own"


def problems_of(job, done):
    """(kind, text) of everything wrong with what came of a job, and its outcome in a word.

    Kinds: signal, silent, nameless, wrong.
    """
    case, expected = job.case, job.case.expected
    status, text = done["status"], done["text"]
    told = text
    report = job.folder / "out" / "data_report.json"
    if report.is_file():
        told += report.read_text()
    for theirs, ours in job.words.items():
        told = told.replace(ours, theirs)
    for folder in (job.folder, case.folder):  # whose names tell what the fault is
        told = told.replace(str(folder), "")
    outcome = Outcome(status, told, seconds=done["seconds"])
    found = list(crashes_of(done))
    if status < 0:
        return found, "signal"
    for what, counted in counts_in(job, text).items():
        # Of the train part of an overlap nothing is said in the case.
        if what.startswith("train") and case.has("train_annotations"):
            continue
        outcome.counts = {what.split()[1]: counted}
        if outcome.kind != "error" or job.name == "check":
            found += [
                ("silent", line)
                for line in judge(case, outcome)
                if line.startswith(("persons", "images"))
            ]
    outcome.counts = {}
    lines = judge(case, outcome)
    if outcome.kind == "error" and expected["expect"] == "error":
        lines += words_in_names(case, told)
    skipped = any(sum(skipped.values()) for _, _, skipped in counts_in(job, text).values())
    if job.name not in ("check", "score") and outcome.kind == "accept":
        # Odd things that are used are told by counts; check_data is what names them.
        lines = [line for line in lines if not line.startswith("no word")]
        must_act = expected["expect"] == "error" and "accept" not in expected["also_ok"]
        if must_act and not skipped:
            found.append(("silent", "used as if nothing were wrong"))
        elif must_act:
            lines = [line for line in lines if not line.startswith("accept, allowed")]
    if case.id in FIRST_ONLY and job.name in ("train", "test", "browse"):
        lines = [line for line in lines if not line.startswith("no word")]
    for line in lines:
        kind = "nameless" if line.startswith("no word") else "wrong"
        if line.startswith("accept, allowed"):
            kind = "silent"
        found.append((kind, line))
    found += [("wrong", line) for line in oracle_problems(job, done)]
    if done["mib"] > expected["limits"].get("mib", 6000):
        found.append(("wrong", f"took {done['mib']:.0f} MiB"))
    changed = changed_inputs(case)
    found += [("wrong", f"inputs changed: {changed}")] if changed else []
    found += [
        ("wrong", f"canary {canary['path']}")
        for canary in expected.get("canary", [])
        if canary["path"] == "PWNED" and (case.folder / "PWNED").exists()
    ]
    kind = "skip" if outcome.kind == "accept" and skipped else outcome.kind
    return found, kind


FILE_NAMES = (
    "person_keypoints.json",
    "results.json",
    "detections.json",
    "config.yaml",
    "model.pth",
)


def words_in_names(case, told):
    """Words that were found in the name of the file alone, which says nothing of its fault."""
    for name in FILE_NAMES:
        told = told.replace(name, "")
    for group in case.expected["must_mention"]:
        of_a_file = any(word in FILE_NAMES or "." in word for word in group)
        if not of_a_file and not any(word.lower() in told.lower() for word in group):
            yield f"no word of {group} but in a file's name"


def oracle_problems(job, done):
    """What the case says of numbers, where a command gives them."""
    oracle = job.case.expected.get("oracle", {})
    if job.name == "score" and done["status"] == 0:
        metrics = json.loads(done["text"].rpartition("metrics ")[2])
        wanted = {name: oracle[name] for name in ("AP", "AR") if name in oracle}
        if "AP_of_results" in oracle:
            wanted["AP"] = oracle["AP_of_results"]
        for name, value in wanted.items():
            if abs(metrics[name] - value) > oracle.get("tol", 1e-9):
                yield f"{name} {metrics[name]}, and {value} is right"
    if job.name == "test" and "results_at_most" in oracle:
        results = json.loads((job.folder / "out" / "results.json").read_text())
        if len(results) > oracle["results_at_most"]:
            yield f"{len(results)} results"
    report = job.folder / "out" / "data_report.json"
    if job.name == "check" and "AP_below" in oracle:
        test = json.loads(report.read_text())["check"]["boxes"]["self_test"]
        if test["metrics"]["AP"] >= oracle["AP_below"]:
            yield f"best possible AP {test['metrics']['AP']}"
