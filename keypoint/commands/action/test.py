"""Report the accuracy on videos: keypoint test --checkpoint output/mine/best.pt [key=value ...]."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from keypoint import distributed
from keypoint.action.checkpoint import RestoredAction, load_action, read_action_card
from keypoint.action.config import ActionConfig
from keypoint.action.data.videos import Videos, load_videos
from keypoint.action.evaluation.protocol import protocol_of
from keypoint.action.evaluation.report import accuracy_of, save_test, to_text
from keypoint.action.evaluation.run import conditions_of, evaluate_videos
from keypoint.action.evaluation.scores import VideoScores
from keypoint.checkpoint.card import Card, selected_on, to_markdown
from keypoint.checkpoint.card import scores as card_scores
from keypoint.checkpoint.provenance import code_commit, device_name, package_versions
from keypoint.commands import cli
from keypoint.commands.options.action.test import parse
from keypoint.commands.tested import write_origin
from keypoint.config.effect import check_overrides, check_same_network
from keypoint.config.load import override_as
from keypoint.data.notes import in_number
from keypoint.data.report import write_reports
from keypoint.data.video import silence_decoder
from keypoint.errors import ConfigError
from keypoint.training.resume import shared
from keypoint.training.step import AMP_DTYPES

UNREAD = {
    "seed": "clips are seeded by the video's name",
    "augment": "nothing is augmented",
    "train": "nothing is trained; of train.* only amp counts",
    "data.train_list": "nothing is trained",
    "data.classes": "the checkpoint's own are used",
}


def main(argv: Sequence[str]) -> None:
    """Parse, build, call."""
    args = parse(argv)
    silence_decoder()
    device = distributed.initialise(args.device, args.process_timeout)
    is_main = distributed.is_main()
    cli.log_to(quiet=not is_main)
    args.checkpoint = cli.chosen_checkpoint(args)
    restored = load_action(args.checkpoint)
    config = override_as(restored.config, args.overrides)
    check_test(args.overrides, restored.config, config)
    protocol = protocol_of(config)
    output = cli.results_folder(args, config.output)
    cli.log_to(output if is_main else None, quiet=not is_main)
    videos = load_test_videos(config, restored.classes)
    if distributed.world_size() > 1:
        distributed.require_same(
            shared(config)
            | {"the weights": distributed.name_of(restored.model, buffers=True)}
            | {"the videos": videos.fingerprint()}
        )
    cli.keep_log()
    scores = evaluate_videos(
        restored.model.to(device),
        videos,
        protocol,
        batch_size=config.test.batch_size,
        workers=config.data.workers,
        amp_dtype=AMP_DTYPES[config.train.amp],
        conditions=conditions_of(config),
    )
    if is_main:
        output.mkdir(parents=True, exist_ok=True)
        card = read_action_card(args.checkpoint)
        selection = selected_on(card, videos.fingerprint())
        note = f"NOTE        chosen as {selection}\n" if selection else ""
        print(f"checkpoint  {args.checkpoint}\n{note}{summary(scores)}")
        origin = write_origin(args, config, output, videos.fingerprint())
        write(args, restored, scores, videos, card, origin, output)
    distributed.finish()  # not after an error: it waits for the others, who wait for this one


def check_test(typed: Sequence[str], trained: ActionConfig, given: ActionConfig) -> None:
    """Refuse overrides that have no effect, or that the network does not allow.

    Raises:
        ConfigError: An override is refused.
    """
    check_same_network(trained, given, "")
    frames = trained.clips.frames
    if given.clips.frames != frames:
        raise ConfigError(
            f"clips.frames={given.clips.frames}: the checkpoint's network takes {frames} frames; "
            "leave it out (clips.stride chooses how far apart they are)"
        )
    check_overrides(typed, trained, given, UNREAD)


def load_test_videos(config: ActionConfig, classes: Sequence[str]) -> Videos:
    """Read the videos to test on, with the checkpoint's classes.

    Raises:
        DataError: The list is unreadable or faulty, or a video is missing.
    """
    given = config.data
    videos = load_videos(
        Path(given.val_list),
        Path(given.root),
        part="val",
        classes=classes,
        on_bad=given.on_bad,
        max_bad=given.max_bad,
    )
    cli.logger.info("test %s", videos.report)
    for note in videos.report.notes:
        cli.logger.warning("%s: %s", videos.report.source, note)
    return videos


def summary(scores: VideoScores) -> str:
    """Return the accuracies with their conditions, or the counts if there are no labels."""
    if (scores.labels >= 0).any():
        return to_text(scores)
    return f"{in_number(len(scores), 'videos')} without labels, so no accuracy; see results.json"


def write(
    args: argparse.Namespace,
    restored: RestoredAction,
    scores: VideoScores,
    videos: Videos,
    card: Card,
    origin: dict[str, str],
    folder: Path,
) -> None:
    """Write all files of the test, and the checkpoint's card with it.

    `origin` is what `write_origin` returns.
    """
    save_test(folder, scores, origin=origin)
    write_reports(folder, test=videos.report)
    cli.logger.info("written: %s/metrics.json, per_class.csv, results.json, scores.npz", folder)
    if not (scores.labels >= 0).any():
        return
    card.pop("best_epoch", None)
    selection = selected_on(card, videos.fingerprint())
    card["measured"] = {
        **card_scores(accuracy_of(scores).metrics()),
        **({"selection": selection} if selection else {}),
        "conditions": {**scores.conditions, "list": Path(videos.report.source).name},
        "device": device_name(distributed.choose_device(args.device)),
        "commit": code_commit(),
        "versions": package_versions(),
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
    }
    (folder / "card.md").write_text(f"{to_markdown(card)}\n", encoding="utf-8")
