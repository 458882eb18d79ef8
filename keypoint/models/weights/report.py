"""What of a weights file fits a network, tensor by tensor, and what to do about the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from keypoint.errors import CheckpointError
from keypoint.models.names import DEPTHS

SHOWN = 4  # names of a list in a message


@dataclass(frozen=True)
class Report:
    """Tensors by name; `misshapen` has the file's and the network's shape as well.

    Attributes:
        source, format, color_order, mean, std, notes: Of the file.
        matched: Loaded.
        missing: Of the network, not in the file.
        allowed: Those of the missing that a flag allows: whole blocks.
        unexpected: Of the file, not in the network.
        misshapen: In both, with another shape.
        not_finite: With nan or inf.
        left_out: Of the file, without a use in a pose network: classifier, preprocessing.
        encoder_only: The file holds an encoder and nothing else.
        remedy: One sentence, where something does not fit.
    """

    source: str
    format: str = "keypoint"
    color_order: str | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()
    matched: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    misshapen: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...] = ()
    not_finite: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    encoder_only: bool = False
    remedy: str = field(default="", repr=False)

    def faults(self) -> str:
        """Everything that does not fit, counted, with a few names; empty if all fits."""
        missing = [name for name in self.missing if name not in self.allowed]
        misshapen = [f"{name} {given} for {wanted}" for name, given, wanted in self.misshapen]
        lists: tuple[tuple[Sequence[str], str], ...] = (
            (missing, "missing"),
            (self.unexpected, "unexpected"),
            (misshapen, "of another shape"),
            (self.not_finite, "with nan or inf (not finite)"),
        )
        return "; ".join(_counted(names, what) for names, what in lists if names)

    def check(self) -> None:
        """Raise CheckpointError with what does not fit and what to do, if anything."""
        if not self.faults():
            return
        remedy = self.remedy
        if set(self.missing) <= set(self.allowed) and not self.unexpected and not self.misshapen:
            remedy = "Its training diverged or the file is damaged: use another copy"
        raise CheckpointError(
            f"{self.source}: does not match this network; {self.faults()}. {remedy}"
        )

    def text(self) -> str:
        """Some lines to read."""
        part = " into the encoder" if self.encoder_only else ""
        lines = [
            f"{self.source}: {self.format}, {len(self.matched)} tensors loaded{part}, "
            f"{len(self.missing)} missing, {len(self.unexpected)} unexpected, "
            f"{len(self.misshapen)} of another shape"
        ]
        if self.color_order:
            mean, std = (" ".join(f"{v:.4g}" for v in row) for row in (self.mean, self.std))
            lines.append(f"eats {self.color_order.upper()}; in RGB order mean {mean}, std {std}")
        lines += [f"note: {note}" for note in self.notes]
        if self.allowed:
            lines.append(_counted(self.allowed, "start as the identity's"))
        if self.left_out:
            lines.append(_counted(self.left_out, "not used"))
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: each list with its count, and all names."""
        names: dict[str, list[Any]] = {
            "matched": list(self.matched),
            "missing": list(self.missing),
            "missing_allowed": list(self.allowed),
            "unexpected": list(self.unexpected),
            "misshapen": [
                {"name": name, "file": list(given), "network": list(wanted)}
                for name, given, wanted in self.misshapen
            ],
            "not_finite": list(self.not_finite),
            "left_out": list(self.left_out),
        }
        return {
            "source": self.source,
            "format": self.format,
            "color_order": self.color_order,
            "mean": list(self.mean),
            "std": list(self.std),
            "notes": list(self.notes),
            "counts": {key: len(value) for key, value in names.items()},
            **names,
        }


def _counted(names: Sequence[str], what: str) -> str:
    more = " .." if len(names) > SHOWN else ""
    # A name is the file's own: one that would move the terminal is shown with its escapes.
    shown = [name if name.isprintable() else repr(name) for name in names[:SHOWN]]
    return f"{len(names)} {what}: {', '.join(shown)}{more}"


def encoder_of(state: Mapping[str, Tensor]) -> str | None:
    """The ResNet of a state dict by its blocks per stage; None if it is none of ours."""
    counts = []
    for stage in ("layer1.", "layer2.", "layer3.", "layer4."):
        blocks = {name.split(".")[1] for name in state if name.startswith(stage)}
        counts.append(len(blocks))
    found = (*counts, "layer1.0.conv3.weight" in state)
    return next((name for name, depth in DEPTHS.items() if depth == found), None)


def sites_of(state: Mapping[str, Any]) -> list[str]:
    """Where a state dict has blocks, in its order."""
    return list(dict.fromkeys(n.split(".")[1] for n in state if n.startswith("blocks.")))


def remedy(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """What to do about a file that does not fit, by the likeliest reason.

    Args:
        state: The file's, by our names.
        wanted: The network's.
    """
    stranger = other_architecture(state)
    if stranger:
        return f"The file holds {stranger}; use a plain ResNet's"
    theirs, ours = encoder_of(state), encoder_of(wanted)
    if theirs and theirs != ours:
        return f"The file's encoder is {theirs}, the network's {ours}: set model.encoder={theirs}"
    deconvs = deconvs_of(state)
    if deconvs and deconvs != deconvs_of(wanted):
        return f"The file has deconvolutions {deconvs} (in, out, kernel), not {deconvs_of(wanted)}"
    if theirs and not any(name.startswith("final_layer.") for name in state):
        return (
            "The file holds an encoder alone, which finds no keypoints: train with "
            "model.weights=FILE and use the run's best.pt"
        )
    head = [s["final_layer.weight"].shape for s in (state, wanted) if "final_layer.weight" in s]
    if len(head) == 2 and head[0][0] != head[1][0]:
        return (
            f"The file has {head[0][0]} keypoints, the skeleton {head[1][0]}: "
            "set data.skeleton to the one the file was trained with"
        )
    if len(head) == 2 and head[0] != head[1]:
        return f"The file's final layer has kernels {tuple(head[0][2:])}; this network's has (1, 1)"
    extra = [site for site in sites_of(state) if site not in sites_of(wanted)]
    if extra:
        return f"The file has blocks at {extra}: set model.blocks to what it was trained with"
    lacking = [site for site in sites_of(wanted) if site not in sites_of(state)]
    if lacking:
        return (
            f"The file has no blocks at {lacking}: add them with model.partial_weights=true in "
            "training, or --partial of keypoint import-weights; or use model.blocks=none"
        )
    shapes = {name: tensor.shape for name, tensor in state.items()}
    if any(shapes.get(n, t.shape) != t.shape for n, t in wanted.items() if n.startswith("blocks.")):
        return (
            "The file's blocks are others, or were built for another input size: set model.blocks "
            "and model.input_size to what it was trained with"
        )
    return "Use the encoder, blocks, input size and keypoints that the file was made with"


def deconvs_of(state: Mapping[str, Tensor]) -> list[tuple[int, int, int]]:
    """(in, out, kernel) of each deconvolution, in order."""
    found = {
        int(name.split(".")[1]): tensor.shape
        for name, tensor in state.items()
        if name.startswith("deconv_layers.") and tensor.ndim == 4 and name.split(".")[1].isdigit()
    }
    return [(shape[0], shape[1], shape[2]) for _, shape in sorted(found.items())]


def other_architecture(state: Mapping[str, Tensor]) -> str | None:
    """What a file holds that is no plain ResNet, told by its names and shapes; None if it may be.

    timm's resnet50 and its like have torchvision's names, and its variants others, but for
    resnetblur50 and resnetaa50: those differ in nothing that is stored.
    """

    def any_name(*parts: str) -> bool:
        return any(part in f".{name}" for name in state for part in parts)

    second = state.get("layer1.0.conv2.weight")
    bottleneck = "layer1.0.conv3.weight" in state
    if any_name(".layer1.") and any_name(".conv1.0.", ".stem.0.", ".stem.conv1."):
        return "a ResNet with a deep stem (resnet50d and the like); ours has one 7x7 convolution"
    if any_name(".stage2.", ".transition1."):
        return "an HRNet"
    if any_name(".stages.0.", ".stem.conv.", ".s1."):
        return "a network in stages (pre-activation ResNet, RegNet, ConvNeXt)"
    if any_name(".patch_embed.", ".cls_token", ".blocks.0.attn."):
        return "a transformer"
    if any_name(".se.", ".se_module.", ".attn."):
        return "a ResNet with attention (SE, ECA, SK ..)"
    if any_name(".head.", ".keypoint_head."):
        return "another head than one 1x1 convolution after the deconvolutions"
    if any_name(".bn1.weight") and not any_name(".bn1.running_mean"):
        return "group norm in place of batch norm"
    if bottleneck and second is not None and second.shape[0] != second.shape[1]:
        return "a ResNeXt (grouped convolutions)"
    if bottleneck and second is not None and second.shape[0] > 64:
        return "a wide ResNet"
    return None
