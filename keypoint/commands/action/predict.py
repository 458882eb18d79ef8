"""Predict the class of videos: keypoint predict --checkpoint best.pt --output DIR VIDEO..."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np

from keypoint.action.checkpoint import ONLY_GENERATED
from keypoint.action.evaluation.scores import FILE, VideoScores, save_scores
from keypoint.action.prediction.predictor import ActionPredictor, ActionResult
from keypoint.action.prediction.sheet import video_sheet
from keypoint.commands import cli
from keypoint.commands.options.action.predict import parse
from keypoint.data.report import DataReport, Fault, in_words, write_reports
from keypoint.data.synthetic.mark import are_generated
from keypoint.data.video import silence_decoder
from keypoint.errors import ConfigError, DataError, printable
from keypoint.prediction.drawing import PICTURES, picture_name, remove_pictures, writing
from keypoint.prediction.inputs.find import VIDEO_SUFFIXES, Input, Inputs, find_inputs
from keypoint.prediction.names import RECORDS
from keypoint.progress import progress

NOT_A_VIDEO = "not a video"
SHOWN = 3  # faults repeated in the last message; all were logged when they occurred


def main(argv: Sequence[str]) -> None:
    """Parse, build, call."""
    args = parse(argv)
    silence_decoder()
    output: Path = args.output
    inputs = find_videos(args.inputs, output)
    require_free(output, args.overwrite)
    cli.log_to(output)
    predictor = ActionPredictor.from_checkpoint(
        cli.chosen_checkpoint(args), args.device, batch_size=args.batch_size
    )
    cli.keep_log()
    if predictor.only_generated and not are_generated(one.path for one in inputs.found):
        cli.logger.warning("warning: %s", ONLY_GENERATED)
    for fault in inputs.faults:
        cli.logger.warning("%s", fault.text)
    faults = list(inputs.faults)
    with writing(output / RECORDS):
        if args.overwrite:
            remove_results(output)
        records = (output / RECORDS).open("x", encoding="utf-8")
    with records:
        results = predict(inputs.found, predictor, records, faults, output, args.pictures)
    if results:
        save_scores(output / FILE, scores_of(results, predictor.classes))
    else:
        (output / RECORDS).unlink()
    report = report_of(inputs, results, faults)
    write_reports(output, predict=report)
    cli.print_result(in_words("files", report.total, report.used, report.skipped))
    require_no_faults(faults, report, output)


def find_videos(arguments: Sequence[str], output: Path) -> Inputs:
    """Find the videos; images in folders are counted, other files that were given are faults.

    Raises:
        ConfigError: An input is a camera, a URL, or the output folder.
        DataError: A file does not exist, or there is no video.
    """
    inputs = find_inputs(arguments, output, (PICTURES,))
    if any(one.camera is not None for one in inputs.found):
        raise ConfigError(f"{arguments[0]}: a camera cannot be classified; give video files")
    videos = [one for one in inputs.found if one.is_video]
    others = [one for one in inputs.found if not one.is_video]
    inputs.found = videos
    if not videos and not inputs.faults:
        raise DataError(
            f"{', '.join(map(printable, arguments))}: no video among them; give videos "
            f"({', '.join(VIDEO_SUFFIXES)})"
        )
    for one in others:
        if one.in_folder:
            inputs.left_out[NOT_A_VIDEO] += 1
        else:
            path = printable(one.path)
            text = f"{path}: not a video by its suffix; give videos, such as .mp4 or .avi"
            inputs.faults.append(Fault(path, text, NOT_A_VIDEO, file=str(one.path)))
    return inputs


def require_free(folder: Path, overwrite: bool) -> None:
    """Check that no earlier results would be replaced.

    Raises:
        ConfigError: The folder contains results.
    """
    there = [name for name in (RECORDS, FILE) if (folder / name).exists()]
    if there and not overwrite:
        raise ConfigError(
            f"--output {folder} already contains {' and '.join(there)}; give another folder, or "
            "--overwrite to replace them"
        )


def remove_results(folder: Path) -> None:
    """Remove the results of an earlier run and their pictures, and nothing else."""
    remove_pictures(folder / RECORDS)
    for name in (RECORDS, FILE):
        (folder / name).unlink(missing_ok=True)


def predict(
    videos: Sequence[Input],
    predictor: ActionPredictor,
    records: IO[str],
    faults: list[Fault],
    output: Path,
    pictures: bool,
) -> dict[str, ActionResult]:
    """Predict, print and write each video; return results by path, and add to `faults`.

    Raises:
        ConfigError: A file cannot be written.
        NumericsError: A score is not finite.
    """
    results: dict[str, ActionResult] = {}
    with progress(len(videos), "predict", "video", len(videos) > 1) as bar:
        for number, video in enumerate(videos, 1):
            try:
                result = predictor(video.path)
                sheet = video_sheet(video.path, result) if pictures else None
            except DataError as error:
                cli.logger.warning("%s", error)
                path = printable(video.path)
                faults.append(Fault(path, str(error), "unreadable video", file=str(video.path)))
                bar.update(1)
                continue
            picture = None
            if sheet is not None:
                picture = write_picture(output, picture_name(video.path, number), sheet)
            results[str(video.path)] = result
            with writing(output / RECORDS):
                records.write(json.dumps(record_of(video, result, picture)) + "\n")
                records.flush()
            print(table_of(video, result), flush=True)
            bar.update(1)
    return results


def write_picture(output: Path, stem: str, sheet: Any) -> str:
    """Write a sheet below the output folder and return its name there."""
    name = f"{PICTURES}/{stem}.jpg"
    with writing(output / name):
        (output / PICTURES).mkdir(exist_ok=True)
        (output / name).write_bytes(cv2.imencode(".jpg", sheet[..., ::-1])[1].tobytes())
    return name


def record_of(video: Input, result: ActionResult, picture: str | None) -> dict[str, Any]:
    """Return one line of records.jsonl."""
    return {
        "file": str(video.path),
        "clips": len(result.numbers),
        "frames": [
            int(result.numbers.min()),
            int(result.numbers.max()),
        ],  # first and last frame used
        "best": [{"class": name, "score": round(score, 6)} for name, score in result.top()],
        "picture": picture,
    }


def table_of(video: Input, result: ActionResult) -> str:
    """Return the best classes of a video, one line each."""
    lines = [f"  {score:.3f}  {printable(name)}" for name, score in result.top()]
    return "\n".join([printable(video.path), *lines])


def scores_of(results: dict[str, ActionResult], classes: tuple[str, ...]) -> VideoScores:
    """Return all scores, without labels."""
    scores = np.stack([result.scores for result in results.values()])
    labels = np.full(len(results), -1)
    return VideoScores(tuple(results), classes, labels, scores, {})


def report_of(
    inputs: Inputs, results: Mapping[str, ActionResult], faults: Sequence[Fault]
) -> DataReport:
    """Return the counts of all files, and the notes on videos."""
    skipped = Counter(inputs.left_out)
    skipped.update(fault.reason for fault in faults)
    listed = [fault.to_dict() for fault in faults]
    notes = [printable(note) for result in results.values() for note in result.notes]
    used = len(results)
    return DataReport("videos", used + skipped.total(), used, dict(skipped), None, listed, notes)


def require_no_faults(faults: Sequence[Fault], report: DataReport, output: Path) -> None:
    """Report the files that could not be used.

    Raises:
        DataError: Names the first of them.
    """
    if not faults:
        return
    shown = "; ".join(fault.text for fault in faults[:SHOWN])
    more = f"; and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
    done = f"the results of the others are in {output}" if report.used else "there are no results"
    raise DataError(
        f"{len(faults)} of {report.total} files could not be used: {shown}{more}\n  {done}; "
        "data_report.json lists all"
    )
