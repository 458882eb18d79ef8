"""Every command that meets a case: what is typed

`Desk.jobs_of` makes the jobs of a case. To add a group, give it a method there.
What comes of them is judged in judging.py.
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.calling import words
from tests.hostile.cases import run_forked

AT_ONCE = 2
SCORE = "tests.hostile.score"  # is no command of the toolkit
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


@dataclass
class Job:
    """One command on one case."""

    case: object
    name: str
    tool: str
    argv: list
    folder: Path
    words: dict = field(default_factory=dict)  # called otherwise here: {"model.pth": "last.pt"}

    def run(self):
        """What came of it, within the limits of the case."""
        limits = self.case.expected["limits"]
        typed = words(self.tool, *self.argv)
        if self.tool == SCORE:
            typed = [sys.executable, "-m", SCORE, *self.argv]
        return run_forked(typed, self.folder, limits["seconds"], limits.get("mib", 6000))


def run_jobs(jobs):
    """What came of each."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(Job.run, jobs))


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
        return Job(self.clean, "train", "train", ["--cfg", self.config], self.folder)

    def job(self, case, name, tool, *argv, other=None):
        folder = self.folder / case.id / name
        folder.mkdir(parents=True)
        typed = [folder / "out" if part == "OUT" else part for part in argv]
        typed = [f"output={folder / 'out'}" if part == "output=" else part for part in typed]
        return Job(case, name, tool, typed, folder, other or {})

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
                case,
                "export",
                "export_weights",
                "--checkpoint",
                file,
                "--format",
                "mmpose",
                "--output",
                "OUT",
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
                other={name: "last.pt"},
            )
            (resume.folder / "out").mkdir()
            os.link(file, resume.folder / "out" / "last.pt")
            jobs.append(resume)
        return jobs

    def results(self, case):
        return [self.job(case, "score", SCORE, case.path("annotations"), case.path("results"))]
