"""Compare weights with a network, tensor by tensor, and suggest what to do if they do not fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from keypoint.errors import CheckpointError, printable
from keypoint.models.names import HRNET_WIDTHS
from keypoint.models.names import encoder_of as encoder_of
from keypoint.models.network import Network
from keypoint.models.pose_network import PoseNetwork
from keypoint.models.weights.classifier import remedy_of_classifier
from keypoint.models.weights.formats import Weights

HEAD = "final_layer.weight"
SHOWN = 4  # names of a list in a message
SAME = "Use the network, blocks, input size and keypoints of the file"


@dataclass(frozen=True)
class Report:
    """Tensors by name, in lists.

    Attributes:
        source: The file.
        weights: Format, colours and notes of the file.
        matched: Loaded.
        missing: In the network, not in the file.
        new_blocks: Missing tensors that a flag allows: whole blocks.
        new_head: Missing tensors that another flag allows: the head.
        unexpected: In the file, not in the network.
        misshapen: In both, with another shape: name, the file's shape, the network's.
        not_finite: With nan or inf.
        encoder_only: The file contains only an encoder.
        remedy: One sentence of what to do if something does not fit.
    """

    source: str
    weights: Weights
    matched: list[str]
    missing: list[str]
    new_blocks: list[str]
    new_head: list[str]
    unexpected: list[str]
    misshapen: list[tuple[str, tuple[int, ...], tuple[int, ...]]]
    not_finite: list[str]
    encoder_only: bool
    remedy: str

    @property
    def allowed(self) -> list[str]:
        """Missing tensors that keep their initial values."""
        return [*self.new_blocks, *self.new_head]

    def faults(self) -> str:
        """List everything that does not fit, counted, with a few names; empty if all fits."""
        lists = {
            "missing": [name for name in self.missing if name not in self.allowed],
            "unexpected": self.unexpected,
            "of another shape": [
                f"{name} {given} for {ours}" for name, given, ours in self.misshapen
            ],
            "with nan or inf (not finite)": self.not_finite,
        }
        return "; ".join(_counted(names, what) for what, names in lists.items() if names)

    def check(self) -> None:
        """Raise CheckpointError with what does not fit and what to do, if anything."""
        if not self.faults():
            return
        remedy = self.remedy
        if set(self.missing) == set(self.allowed) and not self.unexpected and not self.misshapen:
            remedy = "Its training diverged or the file is damaged: use another file"
        raise CheckpointError(
            f"{self.source}: does not match this network; {self.faults()}. {remedy}"
        )

    def text(self) -> str:
        """Return a few lines about what was loaded."""
        weights, part = self.weights, " into the encoder" if self.encoder_only else ""
        mean, std = (" ".join(f"{v:.4g}" for v in row) for row in (weights.mean, weights.std))
        lines = [
            f"{self.source}: {weights.format}, {len(self.matched)} tensors loaded{part}",
            f"expects {weights.color_order.upper()}; in RGB order mean {mean}, std {std}",
            *(f"note: {note}" for note in weights.notes),
        ]
        if self.new_blocks:
            lines.append(_counted(self.new_blocks, "of new blocks (the identity)"))
        if self.new_head:
            lines.append(_counted(self.new_head, "of a new head"))
        if weights.left_out:
            lines.append(_counted(weights.left_out, "not used"))
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return all names for JSON, each list with its count, and the recognised format."""
        about = {
            key: getattr(self.weights, key)
            for key in ("format", "color_order", "mean", "std", "notes")
        }
        names: dict[str, Sequence[Any]] = {
            "matched": self.matched,
            "missing": self.missing,
            "missing_allowed": self.allowed,
            "unexpected": self.unexpected,
            "wrong_shape": [{"name": n, "file": f, "network": w} for n, f, w in self.misshapen],
            "not_finite": self.not_finite,
            "skipped": self.weights.left_out,
        }
        counts = {key: len(value) for key, value in names.items()}
        return {"source": self.source, **about, "counts": counts, **names}


def compare(
    model: Network,
    weights: Weights,
    source: str,
    *,
    partial: bool,
    new_head: Sequence[str] = (),
    whole: bool,
) -> Report:
    """Compare weights with a network, tensor by tensor.

    Args:
        model: The network.
        weights: The file's, by the network's names.
        source: The file's name.
        partial: Allow whole blocks to be missing.
        new_head: Names of the head, if it may be missing.
        whole: Compare with the whole network even if the file contains only an encoder.
    """
    state, wanted = weights.state, model.state_dict()
    of_encoder = model.ENCODER_PREFIXES
    # Without its head a classifier is its encoder.
    encoder_only = not whole and not new_head and all(n.startswith(of_encoder) for n in state)
    blocks = [f"{path}." for path in model.block_paths().values()]
    if encoder_only:  # which has no blocks: ours stay the identity
        inside = {k: v for k, v in wanted.items() if k.startswith(of_encoder)}
        wanted = {k: v for k, v in inside.items() if not k.startswith(tuple(blocks))}
    # Files from before torch 0.4.1 lack this counter, and nothing reads it while momentum is set.
    missing = [
        name for name in wanted if name not in state and not name.endswith("num_batches_tracked")
    ]
    head = {name: wanted[name] for name in new_head}
    new = tuple(b for b in blocks if partial and not any(name.startswith(b) for name in state))
    shapes = [(n, tuple(state[n].shape), tuple(wanted[n].shape)) for n in wanted if n in state]
    return Report(
        source,
        weights,
        matched=[name for name, given, ours in shapes if given == ours],
        missing=missing,
        new_blocks=[name for name in missing if name.startswith(new)],
        new_head=[name for name in missing if name in new_head],
        unexpected=[name for name in state if name not in wanted],
        misshapen=[shape for shape in shapes if shape[1] != shape[2]],
        not_finite=[name for name, tensor in state.items() if not torch.isfinite(tensor).all()],
        encoder_only=encoder_only,
        remedy=_remedy(model, {**state, **head}, wanted, whole),
    )


def _remedy(
    model: Network, state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], whole: bool
) -> str:
    if not isinstance(model, PoseNetwork):
        return remedy_of_classifier(model, state, wanted)
    return remedy(state, wanted, whole) if model.SITES else SAME


def _counted(names: Sequence[str], what: str) -> str:
    more = " .." if len(names) > SHOWN else ""
    shown = [printable(name) for name in names[:SHOWN]]
    return f"{len(names)} {what}: {', '.join(shown)}{more}"


def hrnet_of(state: Mapping[str, Tensor]) -> str | None:
    """Name the HRNet of a state dict by its width, such as hrnet_w32; None if it is not one."""
    branch = (t for name, t in state.items() if name.startswith("stage2.0.branches.0."))
    weight = next((tensor for tensor in branch if tensor.ndim == 4), None)
    return None if weight is None else f"hrnet_w{weight.shape[0]}"


def network_of(state: Mapping[str, Tensor]) -> dict[str, str]:
    """Return the config keys of a state dict's network; empty if it is not one of ours."""
    encoder, hrnet = encoder_of(state), hrnet_of(state)
    if hrnet in HRNET_WIDTHS:
        return {"network": hrnet}
    return {"network": "simple_baseline", "encoder": encoder} if encoder else {}


def sites_of(state: Iterable[str]) -> list[str]:
    """Name the sites at which a state dict has blocks, in its order."""
    return list(dict.fromkeys(n.split(".")[1] for n in state if n.startswith("blocks.")))


def remedy(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], whole: bool) -> str:
    """Suggest what to do about a file that does not fit, by the likeliest reason.

    Args:
        state: The file's tensors, by our names.
        wanted: The network's.
        whole: The weights are not loaded for training.
    """
    hrnets = hrnet_of(state), hrnet_of(wanted)
    theirs, ours = hrnets[0] or encoder_of(state), hrnets[1] or encoder_of(wanted)
    is_same_hrnet = any(hrnets) and hrnets[0] == hrnets[1]
    stranger = other_architecture(state) if ours and not is_same_hrnet else None
    if stranger:
        return f"The file has {stranger}; use {'an HRNet' if hrnets[1] else 'a plain ResNet'}'s"
    if theirs and theirs != ours and any(hrnets):
        keys = " ".join(f"model.{key}={value}" for key, value in network_of(state).items())
        network = f"this network is {ours or 'different'}"
        return f"The file has {theirs}, {network}: {f'set {keys}' if keys else 'use its weights'}"
    if theirs and theirs != ours:
        network = f"the network's {ours}" if ours else "the network's is different"
        return f"The file's encoder is {theirs}, {network}: set model.encoder={theirs}"
    if theirs and not any(name.startswith("final_layer.") for name in state):
        return (
            "The file contains only an encoder, which finds no keypoints: train with "
            "model.weights=FILE and use the run's best.pt"
        )
    head, our_head = (tuple(s[HEAD].shape) if HEAD in s else () for s in (state, wanted))
    if len(head) == len(our_head) == 4 and head[0] != our_head[0]:
        return (
            f"The file has {head[0]} keypoints, the skeleton {our_head[0]}: "
            "set data.skeleton to that of the file, or train a new head from the "
            "rest of it with model.new_head=true"
        )
    extra = [site for site in sites_of(state) if site not in sites_of(wanted)]
    if extra:
        return f"The file has blocks at {extra}: set model.blocks to those it was trained with"
    lacking = [site for site in sites_of(wanted) if site not in sites_of(state)]
    if lacking:
        key = "model.partial_weights=true"
        if whole:
            key += " in training, or --partial of keypoint import-weights;"
        return f"The file has no blocks at {lacking}: add them with {key} or use model.blocks=none"
    shapes = {name: tensor.shape for name, tensor in state.items()}
    if any(shapes.get(n, t.shape) != t.shape for n, t in wanted.items() if n.startswith("blocks.")):
        return (
            "The file's blocks differ, or were built for another input size: set model.blocks "
            "and model.input_size to those it was trained with"
        )
    return SAME


def other_architecture(state: Mapping[str, Tensor]) -> str | None:
    """Name a file's unsupported network by names and shapes; None if it may be a ResNet.

    timm's resnet50 and similar models have torchvision's names. Its variants have others, except
    resnetblur50 and resnetaa50, whose files do not differ.
    """

    def has(*parts: str) -> bool:
        return any(part in f".{name}" for name in state for part in parts)

    second = state.get("layer1.0.conv2.weight")
    out, into = 64, 64
    if "layer1.0.conv3.weight" in state and second is not None and second.ndim == 4:
        out, into = second.shape[:2]
    found = {
        "a ResNet with a deep stem (resnet50d and the like); ours has one 7x7 convolution": (
            has(".layer1.") and has(".conv1.0.", ".stem.0.", ".stem.conv1.")
        ),
        f"an HRNet of another width than {' or '.join(map(str, HRNET_WIDTHS.values()))}": (
            has(".stage2.", ".transition1.") and not network_of(state)
        ),
        "a network in stages (pre-activation ResNet, RegNet, ConvNeXt)": has(
            ".stages.0.", ".stem.conv.", ".s1."
        ),
        "a transformer": has(".patch_embed.", ".cls_token", ".blocks.0.attn."),
        "a ResNet with attention (SE, ECA, SK ..)": has(".se.", ".se_module.", ".attn."),
        "another head than one 1x1 convolution after deconvolutions": has(".head.", "_head."),
        "group norm instead of batch norm": has(".bn1.weight") and not has(".bn1.running_mean"),
        "a ResNeXt (grouped convolutions)": out != into,
        "a wide ResNet": out > 64,
    }
    return next((name for name, is_it in found.items() if is_it), None)
