"""A model card: what a checkpoint is, how it was made, what was measured, what it is good for.

Most of it follows from the checkpoint, so it is made when it is read and cannot contradict the
weights beside it. What nothing else in the file tells is stored under the key `card`:

    commit      of the code that trained
    data        by split: file, entries, used, images
    changes     what was another before a resumption, with where it ended
    imported    of weights from elsewhere: file, sha256, format, assumed

and with each AP in the history what it holds for. There is no date: two equal runs give two equal
files, and a resumed run the same as one that was never stopped. Files are told by name alone, as
a card is made to be shown and the folders of a machine are nobody's business.

Source: Mitchell et al. 2019, Model Cards for Model Reporting (the order of the sections).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keypoint.checkpoint.file import TOLD, read_checkpoint
from keypoint.checkpoint.provenance import file_sha256
from keypoint.config.load import Config, config_from_dict
from keypoint.config.recipe import recipe_card
from keypoint.data.persons import Persons
from keypoint.errors import CheckpointError, ConfigError
from keypoint.models.complexity import Count, count_model
from keypoint.models.weights.formats import Weights, read_weights
from keypoint.models.weights.report import deconvs_of, encoder_of, other_architecture, sites_of
from keypoint.pose.skeleton import (
    BUILT_IN_FOLDER,
    UNIFORM_SIGMA,
    Skeleton,
    load_skeleton,
    skeleton_from_dict,
)

Card = dict[str, dict[str, Any]]

NOT_MEASURED = "unknown: nothing was measured here; keypoint test measures it"
CONDITIONS = (
    "boxes", "boxes_file", "box_score_threshold", "annotations", "images", "images_left_out",
    "flip", "flip_shift", "input_size", "codec", "decoding", "oks_nms", "keypoint_threshold",
    "skeleton", "oks_sigmas",
)  # fmt: skip


def trained_on(commit: str, **persons: Persons) -> dict[str, Any]:
    """What a training stores under `card`.

    Args:
        commit: Of the running code.
        persons: By split.
    """
    counts = {
        split: {
            "file": Path(records.report.source).name,
            "entries": records.report.total,
            "used": records.report.used,
            "images": len(np.unique(records.image_index)),
        }
        for split, records in persons.items()
    }
    return {"commit": commit, "data": counts, "changes": []}


def measured_under(conditions: Mapping[str, Any], amp: str | None) -> dict[str, Any]:
    """What an AP holds for, short enough to be stored with each: of `Evaluation.conditions`."""
    kept = {key: conditions[key] for key in CONDITIONS}
    kept |= {key: Path(kept[key]).name for key in ("boxes_file", "annotations")}
    counts = {key: conditions["persons"][key] for key in ("total", "used")}
    return kept | {"persons": counts, "amp": amp}


def read_card(path: Path) -> Card:
    """The card of a checkpoint; of other weights what they are recognised as.

    Returns:
        Sections of rows, as plain types.

    Raises:
        CheckpointError: The file holds neither, or is damaged.
        ConfigError: A checkpoint whose config or skeleton is none.
    """
    try:
        card = model_card(read_checkpoint(path), str(path))
    except CheckpointError:
        weights = read_weights(path)
        if weights.content is not None:
            raise
        card = weights_card(weights)
    size, digest = path.stat().st_size, file_sha256(path)
    return {"file": {"name": path.name, "bytes": size, "sha256": digest}} | card


def model_card(content: Mapping[str, Any], source: str) -> Card:
    """The card of a checkpoint's content.

    Args:
        content: As `read_checkpoint` gives it.
        source: Named in errors.

    Raises:
        ConfigError: Its config or skeleton is none.
        CheckpointError: Its network cannot be built.
    """
    config = config_from_dict(content["config"], source=source)
    skeleton = skeleton_from_dict(content["skeleton"], source=source)
    imported = (content["versions"] or {}).get("imported")
    return {
        "network": _network(content, config, skeleton, source),
        "skeleton": _skeleton(skeleton),
        "training": _origin(content) if imported else _training(content, config),
        "measured": {"AP": NOT_MEASURED} if imported else _measured(content),
        "use": _use(skeleton),
    }


def _network(
    content: Mapping[str, Any], config: Config, skeleton: Skeleton, source: str
) -> dict[str, Any]:
    network = config.model
    try:
        parts = count_model(
            network.encoder,
            blocks=network.blocks,
            input_size=network.input_size,
            num_keypoints=skeleton.num_keypoints,
            encoder_stride=network.encoder_stride,
            dilated=network.dilated,
        )
    except ConfigError as error:
        raise CheckpointError(f"{source}: its network cannot be built ({error})") from None
    total = sum(parts.values(), Count.zero()).true
    sites = [name.removeprefix("block at ") for name in parts if name.startswith("block at ")]
    blocks = network.blocks
    height, width = network.input_size
    return {
        "encoder": network.encoder,
        "encoder_stride": f"{network.encoder_stride}{', dilated' if network.dilated else ''}",
        "blocks": {s: blocks if isinstance(blocks, str) else (blocks or {})[s] for s in sites}
        or None,
        "input": f"{height} x {width} (height x width), {content['color_order'].upper()}",
        "mean": [round(value, 4) for value in content["mean"]],
        "std": [round(value, 4) for value in content["std"]],
        "output": f"{skeleton.num_keypoints} heatmaps of {height // 4} x {width // 4}, "
        f"codec {network.codec}",
        "parameters": total.parameters,
        "multiply_adds_of_one_image": total.multiply_adds,
        "weights": "the average over training (ema)" if content["ema"] else "as trained",
    }


def _skeleton(skeleton: Skeleton) -> dict[str, Any]:
    built_in = {file.stem for file in BUILT_IN_FOLDER.glob("*.yaml")}
    if skeleton.uniform_sigmas:
        sigmas = f"uniform {UNIFORM_SIGMA}, as nobody has measured them"
    elif skeleton.name in built_in and load_skeleton(skeleton.name) == skeleton:
        sigmas = f"those of {skeleton.name}, built in"
    else:
        sigmas = "of a skeleton file of its own"
    return {
        "name": skeleton.name,
        "keypoints": list(skeleton.keypoints),
        "left_right_pairs": len(skeleton.pairs),
        "oks_sigmas": sigmas,
    }


def _training(content: Mapping[str, Any], config: Config) -> dict[str, Any]:
    stored = content["card"] or {}
    train = config.to_dict()["train"]
    epochs = f"{content['epoch']} of {config.train.epochs}"
    if content["batch"]:
        epochs += f", and {content['batch']} batches of the next"
    begun = config.model.weights and Path(config.model.weights).name
    fingerprints = content["data"] or {}
    data = {
        f"{split}_data": {**stored.get("data", {}).get(split, {})}
        | ({"fingerprint": fingerprints[split]} if split in fingerprints else {})
        or "unknown"
        for split in ("train", "test")
    }
    return {
        "run": Path(config.output or "unknown").name,
        "epochs": epochs,
        "recipe": recipe_card(config),
        "settings": {key: train[key] for key in TOLD if train[key] is not None},
        "seed": str(config.seed),
        "processes": content["world_size"],
        "began_with": begun,
        **data,
        "commit": stored.get("commit", "unknown"),
        "versions": dict(content["versions"] or {}) or "unknown",
        "changed_on_the_way": stored.get("changes", []) or None,
    }


def _origin(content: Mapping[str, Any]) -> dict[str, Any]:
    """Of weights that were not trained here; older imports noted a path alone."""
    versions = dict(content["versions"])
    path = str(versions.pop("imported"))
    told = (content["card"] or {}).get("imported") or {"file": Path(path).name}
    return {
        "training": "unknown: imported",
        **{f"imported_{key}" if key == "file" else key: value for key, value in told.items()},
        "imported_by": versions,
    }


def _measured(content: Mapping[str, Any]) -> dict[str, Any]:
    """No AP without what it holds for."""
    scored = [r for r in content["history"] or () if isinstance(r.get("metrics"), Mapping)]
    best = content["best"] and content["best"]["epoch"]
    mine = [r for r in scored if r.get("epoch") == content["epoch"] and not content["batch"]]
    others = [r for r in scored if r.get("epoch") == best and r not in mine]
    rows: dict[str, Any] = {"AP_of_these_weights": "not measured"}
    for name, records in (("of_these_weights", mine), ("best_of_the_run", others)):
        for record in records[-1:]:
            given = record["metrics"]
            found = {key: value for key, value in given.items() if type(value) in (int, float)}
            numbers = {key: _defined(value) for key, value in found.items()}
            conditions = record.get("conditions") or "not stored: to be compared with nothing"
            above = conditions in rows.values()
            rows[f"AP_{name}"] = {"epoch": record["epoch"]} | numbers
            rows[f"conditions_{name}"] = "as above" if above else conditions
    if mine and best == content["epoch"] and len(scored) > 1:
        rows["chosen"] = f"as the best of {len(scored)} evaluations on these same images"
    return rows


def _defined(value: float) -> float | str | None:
    """-1 is COCO's word for nobody of this size; JSON has none for nan."""
    if not math.isfinite(value):
        return str(value)
    return None if value < 0 else value


def _use(skeleton: Skeleton) -> dict[str, Any]:
    return {
        "intended": f"It finds the {skeleton.num_keypoints} keypoints of {skeleton.name} of one "
        "object in the crop around its box; boxes come from a detector or from annotations.",
        "limits": "It gives every keypoint a place, also one that is hidden or not in the picture "
        "(look at the score), and how it does on pictures unlike those it was trained on was not "
        "measured.",
        "licence": "of the weights: unknown, the file does not say; the toolkit's own licence does "
        "not cover them.",
    }


def weights_card(weights: Weights) -> Card:
    """What a file of other weights is recognised as."""
    state = weights.state
    encoder, sites = encoder_of(state), sites_of(state)
    head = state.get("final_layer.weight")
    is_pose = head is not None and head.ndim == 4
    stranger = other_architecture(state) or "nothing of ours"
    kind = "a pose network" if is_pose and encoder else "an encoder alone" if encoder else stranger
    what_to_do = {
        "a pose network": "keypoint import-weights makes a checkpoint of it",
        "an encoder alone": "training can begin with it: model.weights=FILE",
    }
    return {
        "weights": {
            "kind": f"weights, no checkpoint of this toolkit: {kind}",
            "names": f"as of {weights.format}",
            "encoder": encoder,
            "deconvolutions": len(deconvs_of(state)),
            "blocks": sites or None,
            "keypoints": list(weights.keypoints or ()) or (len(head) if is_pose else None),  # type: ignore[arg-type]
            "colours": weights.color_order.upper(),
            "tensors": len(state),
            "numbers": sum(tensor.numel() for tensor in state.values()),
            "left_out": list(weights.left_out) or None,
            "trained": dict(weights.trained) or "unknown",
            "assumed": list(weights.notes) or None,
            "licence": "unknown, the file does not say",
            "next": what_to_do.get(kind, "nothing here can use it"),
        }
    }
