"""Make a checkpoint from other weights: keypoint import-weights FILE --output best.pt [...]."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keypoint
from keypoint.checkpoint.file import checkpoint_of, origin_of, require_task, save_checkpoint
from keypoint.commands import cli
from keypoint.commands.options.import_weights import parse
from keypoint.config.load import Config, config_from_dict, find_config, load_config, override_config
from keypoint.config.schema import STARTED_FROM
from keypoint.errors import CheckpointError, ConfigError
from keypoint.files import write_json
from keypoint.models import create_model
from keypoint.models.weights.formats import Weights, read_weights
from keypoint.models.weights.load import fill
from keypoint.models.weights.report import network_of, other_architecture
from keypoint.pose.skeleton import load_skeleton, skeleton_from_dict


def main(argv: Sequence[str]) -> None:
    """Parse, build, call."""
    args = parse(argv)
    cli.log_to()
    overrides = list(args.overrides)
    check_overrides(overrides)
    report_file = check_places(args.file, args.output)
    cli.refuse_existing(args, args.file)
    if args.input_size:
        overrides.append(f"model.input_size={args.input_size}")
    weights = read_weights(args.file, args.color_order)
    if args.cfg:
        config = load_config(find_config(args.cfg), overrides)
    else:
        config = override_config(derived_config(weights, args.file, overrides), overrides)
    is_given = args.cfg or any(text.startswith("data.skeleton=") for text in overrides)
    if weights.content is None or is_given:
        skeleton = load_skeleton(config.data.skeleton)
    else:
        skeleton = skeleton_from_dict(weights.content["skeleton"], source=str(args.file))
    model = create_model(**config.model.arguments(skeleton.num_keypoints))
    report = fill(
        model,
        weights,
        str(args.file),
        partial=args.partial,
        whole=True,
        keypoints=skeleton.keypoints,
    )
    cli.make_folder(args.output.parent, "--output")
    assumed = []
    if "input_size" not in weights.trained:
        height, width = config.model.input_size
        assumed.append(
            f"input size {height} x {width} from the command line; the file does not contain it"
        )
    versions = {"keypoint": keypoint.__version__, "imported": f"{args.file} ({weights.format})"}
    origin = origin_of(args.file, report.weights, assumed)
    content = checkpoint_of(model, config, skeleton, versions, {"imported": origin})
    save_checkpoint(args.output, content)
    write_json(report_file, report.to_dict())
    print(f"written: {args.output}, and {report_file} with all names")


def check_places(file: Path, output: Path) -> Path:
    """Return the path of the report, and check that it overwrites no checkpoint or input.

    Raises:
        ConfigError: It would overwrite one of them, or it is a folder.
    """
    report_file = output if output.is_dir() else output.with_suffix(".json")
    if output.suffix.lower() == ".json" or report_file.is_dir():
        raise ConfigError(
            f"--output {output}: the name of the checkpoint cannot be a folder or end in .json, "
            "which is the report's suffix; give a name such as best.pt"
        )
    if file.exists() and report_file.exists() and report_file.samefile(file):
        raise ConfigError(
            f"--output {output}: the report would overwrite {file}; give another name"
        )
    return report_file


def check_overrides(overrides: Sequence[str]) -> None:
    """Refuse keys that an import does not use.

    Raises:
        ConfigError: There is one.
    """
    unused = ("train.", "augment.", "test.", "seed=", *(f"model.{key}=" for key in STARTED_FROM))
    for text in overrides:
        other_data = text.startswith("data.") and not text.startswith("data.skeleton=")
        if other_data or text.startswith(unused):
            raise ConfigError(
                f"{text}: it has no effect on an import, which takes model.* (except weights), "
                "data.skeleton and output; leave it out, and give it to training or testing"
            )


def derived_config(weights: Weights, file: Path, overrides: Sequence[str]) -> Config:
    """Return the config that a file implies: its own, or one for its network.

    Raises:
        ConfigError: The input size is not given.
        CheckpointError: The file's network is not supported.
    """
    if weights.content is not None:
        require_task(weights.content, "keypoints", str(file))
        return config_from_dict(weights.content["config"], source=str(file))
    network = network_of(weights.state)
    if not network:
        found = (
            other_architecture(weights.state) or f"{len(weights.state)} tensors with other names"
        )
        raise CheckpointError(
            f"{file}: contains {found}, which matches no ResNet of depth 18, 34, 50, 101 or 152 "
            "and no HRNet-W32 or W48; no other network can be imported"
        )
    given = any(text.startswith("model.input_size=") for text in overrides)
    if not given and "input_size" not in weights.trained:  # an export from here notes it
        raise ConfigError(
            f"{file}: weights do not contain the input size of their training, and a wrong one "
            "lowers AP silently; give --input-size H W, such as 256 192, or --cfg"
        )
    content = {
        "model": {**network, **weights.trained},
        "data": {"skeleton": weights.published.skeleton} if weights.published else {},
        "test": {"decoding": weights.decoding},
        "output": f"output/{file.name.split('.')[0]}",
    }
    return config_from_dict(content, source=str(file))
