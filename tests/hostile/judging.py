"""What must come of a command on a hostile input: no signal, nothing silent, nothing nameless"""

import json
import re

from tests.hostile.cases import Outcome, changed_inputs, judge

# Where training names the first of the broken images, as it goes through them; check_data counts.
FIRST_ONLY = ("I56",)


def counts_in(job, text):
    """What a job counted, {"train persons": (total, used, skipped by reason), ..}.

    From its data_report.json; of browse_data, which writes none, from what it said.
    """
    file = job.folder / "out" / "data_report.json"
    if not file.is_file():
        said = re.search(r"(\d+) persons? = (\d+) used \+ \d+ skipped \((.*?)\)", text)
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
    noted = any(line.startswith("NOTE ") for line in text.splitlines())  # in the table of test
    if job.name not in ("check", "score") and outcome.kind == "accept":
        # Odd things that are used are told by counts; check_data is what names them.
        lines = [line for line in lines if not line.startswith("no word")]
        must_act = expected["expect"] == "error" and "accept" not in expected["also_ok"]
        if must_act and not skipped and not noted:
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
