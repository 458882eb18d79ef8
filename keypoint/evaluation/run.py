"""Evaluate a network on person records: predict, rescore, OKS-NMS, COCO's numbers."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from keypoint import distributed
from keypoint.data.batches import EvaluationBatch, EvaluationDataset, evaluation_loader
from keypoint.data.notes import in_number
from keypoint.data.persons import Annotations, Persons
from keypoint.errors import NumericsError
from keypoint.evaluation.coco import evaluate_coco, summary_table
from keypoint.evaluation.results import CocoResults, ResultCounts, make_results
from keypoint.evaluation.runs.files import UNIFORM_SIGMAS
from keypoint.files import write_json
from keypoint.models import PoseNetwork
from keypoint.models.inference import predict_keypoints
from keypoint.pose.names import DECODING_WORDS
from keypoint.pose.skeleton import Skeleton
from keypoint.progress import progress

logger = logging.getLogger(__name__)


@dataclass
class Predictions:
    """Keypoints of person records.

    Attributes:
        index: (P,) int64, rows of the persons.
        keypoints_image: (P, K, 2) float64, image frame.
        scores: (P, K) float64, peak of the averaged heatmap, about 0 to 1.
        crop_area: (P,) float64, square pixels of the image; the scale of OKS-NMS.
    """

    index: NDArray[np.int64]
    keypoints_image: NDArray[np.float64]
    scores: NDArray[np.float64]
    crop_area: NDArray[np.float64]


@torch.inference_mode()
def predict_persons(
    model: PoseNetwork,
    batches: Iterable[EvaluationBatch],
    persons: Persons,
    *,
    flip_indices: tuple[int, ...] | None,
    amp_dtype: torch.dtype | None = None,
    decoding: str | None = "codec",
) -> Predictions:
    """Run the network over all batches; its mode is set to eval, and restored.

    Args:
        model: The network, on its device.
        batches: Batches of an `EvaluationDataset` over `persons`.
        persons: The records.
        flip_indices: Those of the skeleton, for the flip average; None without it.
        amp_dtype: Autocast the network to this dtype.
        decoding: "quarter", "dark", None, or "codec" for the codec's own.

    Returns:
        Predictions in the order of the batches.

    Raises:
        NumericsError: A heatmap peak is not finite; the text names the image ids. argmax would
            return (0, 0) for it.
    """
    device = model.pixel_mean.device
    flip = None if flip_indices is None else torch.tensor(flip_indices, device=device)
    was_training = model.training
    model.eval()
    index, keypoints, scores, areas = [], [], [], []
    for batch in batches:
        crops = batch.crops.to(device, non_blocking=True)
        keypoints_heatmap, peak = predict_keypoints(model, crops, flip, amp_dtype, decoding)
        index.append(batch.index.numpy())
        points = keypoints_heatmap.cpu().numpy()
        keypoints.append(batch.frame.to_image(points, model.codec.heatmap_size))
        scores.append(peak.cpu().numpy())
        areas.append(batch.frame.area)
    model.train(was_training)
    num_keypoints = persons.visibility.shape[1]
    rows = np.concatenate([*index, np.zeros(0, np.int64)])
    peaks = np.concatenate([*scores, np.zeros((0, num_keypoints))]).astype(np.float64)
    bad = ~np.isfinite(peaks).all(axis=1)
    if bad.any():
        ids = np.unique(persons.image_ids[rows[bad]])
        more = " .." if len(ids) > 5 else ""
        raise NumericsError(
            f"heatmaps of {in_number(int(bad.sum()), 'persons')} are nan or inf, on image ids "
            f"{ids[:5].tolist()}"
            f"{more}; the weights are broken: train again with a lower train.lr or without fp16"
        )
    return Predictions(
        rows,
        np.concatenate([*keypoints, np.zeros((0, num_keypoints, 2))]),
        peaks,
        np.concatenate([*areas, np.zeros(0)]),
    )


@dataclass
class Evaluation:
    """An AP, and the conditions that decide whether it can be compared.

    Attributes:
        metrics: The ten COCO numbers; empty if there are no annotations, as for test-dev.
        results: After OKS-NMS; `rows` are those of the predictions.
        predictions: Of every box, before OKS-NMS.
        conditions: Boxes, flip, decoding, NMS, thresholds and counts, as plain types.
    """

    metrics: dict[str, float]
    results: CocoResults
    predictions: Predictions
    conditions: dict[str, Any]

    def save(self, folder: Path, **more: Any) -> None:
        """Write `results.json` in COCO's form, and `metrics.json` as `save_metrics` does."""
        write_json(folder / "results.json", self.results.to_coco())
        self.save_metrics(folder, **more)

    def save_metrics(self, folder: Path, **more: Any) -> None:
        """Write `metrics.json`: the numbers, their conditions and `more`, such as an analysis."""
        content = {"metrics": self.metrics, "conditions": self.conditions, **more}
        write_json(folder / "metrics.json", content)

    def table(self) -> str:
        """Format the ten numbers with their conditions as text."""
        had, counts = self.conditions, self.conditions["results"]
        shift = ", shifted one heatmap pixel" if had["flip_shift"] else ""
        flip = f"averaged{shift}" if had["flip"] else "off"
        sigmas = had["oks_sigmas"]
        least = had["box_score_threshold"]
        boxes = "" if least is None else f"; of boxes with a score of at least {least}"
        lines = [
            f"boxes    {had['boxes']}: {had['persons']['used']} on {had['images']} images",
            f"         of {had['boxes_file']}",
            f"input    {had['input_size'][0]}x{had['input_size'][1]} (height x width)",
            f"flip     {flip}",
            f"codec    {had['codec']}, decoding {had['decoding']}; OKS-NMS {had['oks_nms']}",
            *([f"sigmas   {sigmas}"] if sigmas.startswith("uniform") else []),
            f"scores   of keypoints above {had['keypoint_threshold']}{boxes}",
            f"results  {counts['given']}: {counts['kept']} kept, {counts['suppressed']} suppressed",
        ]
        lines += [f"NOTE     {note}" for note in had.get("notes", ())]
        if had["images_skipped"]:
            lines.append(
                f"LEFT OUT {in_number(had['images_skipped'], 'faulty images')}, with all persons"
            )
        if not self.metrics:
            return "\n".join([*lines, "no annotations, so no AP: submit results.json"])
        return summary_table(self.metrics, lines)


def evaluate_model(
    model: PoseNetwork,
    *,
    persons: Persons,
    annotations: Annotations,
    skeleton: Skeleton,
    batch_size: int,
    workers: int,
    flip: bool = True,
    decoding: str | None = "codec",
    amp_dtype: torch.dtype | None = None,
    nms: str | None = "hard",
    nms_threshold: float = 0.9,
    keypoint_threshold: float = 0.2,
    after_batch: Callable[[], None] | None = None,
) -> Evaluation:
    """Predict every person once and score the results.

    Args:
        model: On its device; every process has the same weights.
        persons: Ground-truth or detector boxes; each process predicts the images of its share.
        annotations: The annotations to score against, read with `scored`; without annotations,
            as for test-dev, there are no metrics.
        skeleton: Flip order and OKS sigmas.
        batch_size: Crops at a time.
        workers: Processes that read images.
        flip: Average with the mirrored crop, shifted if the codec asks for it.
        decoding: "quarter", "dark", None, or "codec" for the codec's own.
        amp_dtype: Autocast the network.
        nms: "hard", "soft" or None.
        nms_threshold: OKS above which "hard" drops the lower score.
        keypoint_threshold: A person's score is the mean of the keypoint scores above it, times the
            box score.
        after_batch: Called after each batch; it may raise to end the evaluation.

    Returns:
        The same on every process.

    Raises:
        ConfigError: The network's codec lacks the decoding, or `flip` is given but keypoints
            named left and right are not paired.
        DataError: An image cannot be used.
        NumericsError: The network gives numbers that are not finite.
    """
    method = model.codec.decoding(decoding)
    if flip:
        skeleton.require_pairs()
    dataset = EvaluationDataset(
        persons,
        codec=model.codec,
        batch_size=batch_size,
        rank=distributed.rank(),
        world_size=distributed.world_size(),
    )
    loader = evaluation_loader(dataset, workers, pin_memory=model.pixel_mean.device.type == "cuda")
    is_main = distributed.is_main()
    with progress(dataset.num_persons(), "evaluate", "person", enabled=is_main) as bar:

        def counted() -> Any:
            for batch in loader:
                yield batch
                bar.update(len(batch.index))
                if after_batch is not None:
                    after_batch()

        mine = predict_persons(
            model,
            counted(),
            persons,
            flip_indices=skeleton.flip_indices if flip else None,
            amp_dtype=amp_dtype,
            decoding=decoding,
        )
    evaluation = None
    shares = distributed.gather(mine)
    if is_main:
        everyone = _merge(shares, len(persons))
        results, counts = make_results(
            persons.image_ids[everyone.index],
            everyone.keypoints_image,
            everyone.scores,
            persons.bbox_scores[everyone.index],
            everyone.crop_area,
            skeleton.oks_sigmas,
            category_id=persons.category_id,
            keypoint_threshold=keypoint_threshold,
            nms=nms,
            nms_threshold=nms_threshold,
        )
        metrics = {}
        if annotations.annotated:
            metrics = evaluate_coco(
                annotations,
                results,
                oks_sigmas=skeleton.oks_sigmas,
                repeats=True,  # a detector's file may have a box twice; _merge checks the rest
            )
        conditions = _conditions(persons, counts, nms, nms_threshold) | {
            "annotations": annotations.source,
            "images_skipped": sum(annotations.skipped_images.values()),
            "notes": list(dict.fromkeys([*map(str, annotations.notes), *persons.report.notes])),
            "keypoint_threshold": keypoint_threshold,
            "input_size": list(model.input_size),
            "color_order": model.color_order,
            "codec": model.codec.name,
            "flip": flip,
            "flip_shift": flip and model.codec.flip_shift,
            "decoding": DECODING_WORDS[method],
            "skeleton": skeleton.name,
            "oks_sigmas": name_sigmas(skeleton),
        }
        evaluation = Evaluation(metrics, results, everyone, conditions)
    result = distributed.from_main(evaluation)
    assert isinstance(result, Evaluation)
    return result


@functools.cache  # training evaluates many times, but warns once
def name_sigmas(skeleton: Skeleton) -> str:
    """Return the name of the sigmas of an AP; log a warning if they replace unknown ones."""
    if not skeleton.uniform_sigmas:
        return skeleton.name
    logger.warning(
        "skeleton %s: sigmas are %s; keypoint estimate-sigmas measures them from repeated "
        "annotations",
        skeleton.name,
        UNIFORM_SIGMAS,
    )
    return UNIFORM_SIGMAS


def _merge(shares: list[Predictions], num_persons: int) -> Predictions:
    """Return all predictions in the order of the records, each record exactly once."""
    index = np.concatenate([share.index for share in shares])
    order = np.argsort(index, kind="stable")
    assert np.array_equal(index[order], np.arange(num_persons)), (
        "a person was predicted twice or not at all"
    )
    return Predictions(
        index[order],
        np.concatenate([share.keypoints_image for share in shares])[order],
        np.concatenate([share.scores for share in shares])[order],
        np.concatenate([share.crop_area for share in shares])[order],
    )


def _conditions(
    persons: Persons, counts: ResultCounts, nms: str | None, nms_threshold: float
) -> dict[str, Any]:
    ground_truth = bool((persons.visibility > 0).any())
    report = persons.report.to_dict()
    report.pop("notes", None)  # they are among the conditions
    return {
        "boxes": "ground truth" if ground_truth else "detector",
        "boxes_file": persons.report.source,
        "box_score_threshold": persons.box_score_threshold,
        "persons": report,
        "images": len(np.unique(persons.image_index)),
        "oks_nms": f"{nms} at {nms_threshold}" if nms == "hard" else nms,
        "results": asdict(counts),
    }
