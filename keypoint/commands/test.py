"""Report COCO AP: keypoint test --checkpoint output/demo/best.pt [key=value ...]."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2

from keypoint import distributed
from keypoint.checkpoint.card import Card, read_card, scores, selected_on, to_markdown
from keypoint.checkpoint.file import load_model
from keypoint.checkpoint.network_card import network_section
from keypoint.checkpoint.provenance import code_commit, device_name, package_versions
from keypoint.commands import cli
from keypoint.commands.options.test import parse
from keypoint.commands.published import row_of
from keypoint.commands.tested import write_origin
from keypoint.config.effect import TRUTH, check_overrides, check_same_network, with_boxes
from keypoint.config.load import Config, find_config, load_config, override_config
from keypoint.data.annotations import read_annotations
from keypoint.data.audit.skeletons import check_skeleton
from keypoint.data.boxes import read_boxes
from keypoint.data.coco import find_split, select_persons, usable_persons
from keypoint.data.images.files import require_image_files
from keypoint.data.persons import Annotations, Persons
from keypoint.data.plausible.file import settle
from keypoint.data.plausible.labels import area_doubts
from keypoint.data.report import write_reports
from keypoint.errors import ConfigError
from keypoint.evaluation.analysis.analyse import analyse, compare_evaluation
from keypoint.evaluation.analysis.report import to_dict, to_text
from keypoint.evaluation.pictures import truth_beside_prediction, worst_persons
from keypoint.evaluation.published import compare, measured_under
from keypoint.evaluation.run import Evaluation, evaluate_model
from keypoint.models import PoseNetwork, create_model
from keypoint.models.weights.load import load_weights_file
from keypoint.pose.skeleton import Skeleton, load_skeleton
from keypoint.training.resume import shared
from keypoint.training.step import AMP_DTYPES


def main(argv: Sequence[str]) -> None:
    """Parse, build, call."""
    args = parse(argv)
    if args.cfg and args.weights:
        raise ConfigError(
            f"--cfg {args.cfg} has no effect with --weights {args.weights}, which already contains "
            "network and codec; leave it out"
        )

    names = folder_names(args.boxes or [])  # refused now, not after the first evaluation
    overrides = with_boxes(args.overrides, args.boxes or [])
    device = distributed.initialise(args.device, args.process_timeout)
    cli.log_to(quiet=not distributed.is_main())
    args.checkpoint = cli.chosen_checkpoint(args)
    model, config, skeleton = open_network(args.checkpoint, args.cfg, overrides)
    model.codec.decoding(config.test.decoding)  # refused now, not after the data
    output = cli.results_folder(args, config.output)
    cli.log_to(output if distributed.is_main() else None, quiet=not distributed.is_main())
    check_skeleton(skeleton, mirrored=config.test.flip)
    chosen = args.boxes or [config.test.boxes or TRUTH]
    files = find_split(
        Path(config.data.root), config.data.val_annotations, config.data.val_images, "val2017"
    )
    given = config.data
    policy: Any = {"category": given.category, "on_bad": given.on_bad, "max_bad": given.max_bad}
    annotations = read_annotations(*files, skeleton, scored=True, **policy)
    sets = [load_set(boxes, annotations, config) for boxes in chosen]
    folders = [output] if len(sets) == 1 else [output / name for name in names]

    if distributed.world_size() > 1:
        distributed.require_same(
            shared(config)
            | {"the weights": distributed.name_of(model, buffers=True)}
            | {f"boxes {number}": each.fingerprint() for number, each in enumerate(sets, 1)}
        )
    cli.keep_log()
    evaluations = []
    for persons, folder in zip(sets, folders, strict=True):
        evaluation = evaluate_model(
            model.to(device),
            persons=persons,
            annotations=annotations,
            skeleton=skeleton,
            amp_dtype=AMP_DTYPES[config.train.amp],
            **config.evaluation_arguments(),
        )
        evaluations.append(evaluation)
        if distributed.is_main():
            folder.mkdir(parents=True, exist_ok=True)
            card = read_card(args.checkpoint)
            selection = selected_on(card, persons.fingerprint())
            note = f"NOTE     chosen as {selection}\n" if selection and evaluation.metrics else ""
            print(f"checkpoint {args.checkpoint}\n{note}{evaluation.table()}\n")
            origin = write_origin(args, config, output, annotations.fingerprint())
            write(
                args,
                config,
                evaluation,
                persons,
                annotations,
                model,
                skeleton,
                card,
                origin,
                folder,
            )
    if distributed.is_main() and len(evaluations) > 1:
        print(side_by_side(evaluations))
    distributed.finish()  # not after an error: it waits for the others, who wait for this one


def load_set(boxes: str, annotations: Annotations, config: Config) -> Persons:
    """Return the persons to test on.

    Raises:
        DataError: The file of boxes is unreadable or faulty, there is no person to test on, or an
            image file is missing.
    """
    if boxes == TRUTH:
        persons = select_persons(annotations)
    else:
        threshold = config.test.box_score_threshold
        persons = read_boxes(
            Path(boxes),
            annotations,
            threshold,
            on_bad=config.data.on_bad,
            max_bad=config.data.max_bad,
        )
        settle(annotations.source, area_doubts(annotations))
    require_image_files(persons)
    cli.logger.info("test %s", persons.report)
    return persons


def folder_names(boxes: Sequence[str]) -> list[str]:
    """Return a folder name for the results of each kind of boxes.

    Raises:
        ConfigError: Two would have the same folder.
    """
    if len(set(boxes)) < len(boxes):
        raise ConfigError(f"--boxes {' '.join(boxes)}: one is given twice; give each once")
    names = ["truth_boxes" if name == TRUTH else Path(name).stem for name in boxes]
    same = [given for given, name in zip(boxes, names, strict=True) if names.count(name) > 1]
    if same:
        raise ConfigError(
            f"--boxes {' '.join(same)}: results are written to a folder named after the file "
            "(truth_boxes for truth), so these would overwrite each other; rename a file, or test "
            "them separately, each with its own output="
        )
    return names


def write(
    args: argparse.Namespace,
    config: Config,
    evaluation: Evaluation,
    persons: Persons,
    annotations: Annotations,
    model: PoseNetwork,
    skeleton: Skeleton,
    card: Card,
    origin: dict[str, str],
    folder: Path,
) -> None:
    """Write all files of an evaluation; `origin` is what `write_origin` returns."""
    evaluation.save(folder, origin=origin)
    write_reports(folder, test=persons.report)
    cli.logger.info("written: %s/results.json and metrics.json", folder)
    if args.pictures:
        picture = folder / "predictions.jpg"
        truth = usable_persons(annotations) if annotations.annotated else persons
        sheet = truth_beside_prediction(
            persons, evaluation.predictions, truth, skeleton, args.pictures
        )
        cv2.imwrite(str(picture), sheet[..., ::-1])
        cli.logger.info("pictures: %s", picture)
    if not annotations.annotated:
        if args.analyse or args.worst:
            cli.logger.warning(
                "%s: there are no annotations, so nothing is analysed", annotations.source
            )
        return
    selection = selected_on(card, persons.fingerprint())
    write_card(args, config, evaluation, model, skeleton, card, selection, folder)
    if args.analyse or args.worst:
        write_analysis(args, config, evaluation, persons, annotations, skeleton, origin, folder)


def write_card(
    args: argparse.Namespace,
    config: Config,
    evaluation: Evaluation,
    model: PoseNetwork,
    skeleton: Skeleton,
    card: Card,
    selection: str | None,
    folder: Path,
) -> None:
    """Write the card of the tested network, with this evaluation."""
    card.pop("best_epoch", None)
    shipped = card.get("network", {}).get("decoding")  # none in weights of another toolkit
    card["network"] = network_section(config, skeleton, model.colors())
    tested = card["network"]["decoding"]
    if shipped not in (None, tested):
        card["network"]["decoding"] = (
            f"{shipped} in the checkpoint; measured with {tested}, which predict and export use "
            f"with --decoding {config.test.decoding or 'none'}"
        )
    card["measured"] = {
        **scores(evaluation.metrics),
        **({"selection": selection} if selection else {}),
        **compare(evaluation.metrics, evaluation.conditions, row_of(config.to_dict()["model"])),
        "conditions": measured_under(evaluation.conditions, config.train.amp),
        "device": device_name(distributed.choose_device(args.device)),
        "commit": code_commit(),
        "versions": package_versions(),
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
    }
    (folder / "card.md").write_text(f"{to_markdown(card)}\n", encoding="utf-8")


def side_by_side(evaluations: Sequence[Evaluation]) -> str:
    """Return a table with the AP of each kind of boxes."""
    lines = ["AP     AR     boxes"]
    for evaluation in evaluations:
        had, metrics = evaluation.conditions, evaluation.metrics
        numbers = [f"{metrics[name]:.3f}" if metrics else "-" for name in ("AP", "AR")]
        lines.append(f"{numbers[0]:6} {numbers[1]:6} {had['boxes']} ({had['boxes_file']})")
    return "\n".join(lines)


def write_analysis(
    args: argparse.Namespace,
    config: Config,
    evaluation: Evaluation,
    persons: Persons,
    annotations: Annotations,
    skeleton: Skeleton,
    origin: dict[str, str],
    output: Path,
) -> None:
    """Print and write the results of --analyse and --worst."""
    compared = compare_evaluation(
        evaluation, persons=persons, annotations=annotations, skeleton=skeleton
    )
    if args.analyse:
        analysis = analyse(compared, skeleton, config.test.keypoint_threshold)
        print(f"\n{to_text(analysis)}")
        evaluation.save_metrics(output, origin=origin, analysis=to_dict(analysis))
    if args.worst:
        sheet = worst_persons(compared, persons.images, skeleton, args.worst)
        cv2.imwrite(str(output / "worst.jpg"), sheet[..., ::-1])
        cli.logger.info("worst persons: %s", output / "worst.jpg")


def open_network(
    checkpoint: Path, cfg: str | None, overrides: Sequence[str]
) -> tuple[PoseNetwork, Config, Skeleton]:
    """Return the network and skeleton, and the config of the test."""
    if cfg is None:
        restored = load_model(checkpoint)
        config = override_config(restored.config, overrides)
        check_same_network(restored.config, config)
        check_overrides(overrides, restored.config, config)
        restored.model.set_input_size(config.model.input_size)
        return restored.model, config, restored.skeleton
    config = load_config(find_config(cfg), overrides)
    check_overrides(overrides, None, config)
    skeleton = load_skeleton(config.data.skeleton, Path(config.data.root))
    model = create_model(**config.model.arguments(skeleton.num_keypoints))
    load_weights_file(model, checkpoint, whole=True, keypoints=skeleton.keypoints)
    return model, config, skeleton
