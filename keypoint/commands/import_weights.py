"""Make a checkpoint of other weights: keypoint import-weights FILE --output best.pt [...]."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keypoint
from keypoint.checkpoint.file import checkpoint_of, origin_of, require_task, save_checkpoint
from keypoint.commands import cli
from keypoint.config.load import Config, config_from_dict, find_config, load_config, override_config
from keypoint.config.schema import STARTED_FROM
from keypoint.errors import CheckpointError, ConfigError
from keypoint.files import write_json
from keypoint.models import create_model
from keypoint.models.weights.formats import Weights, read_weights
from keypoint.models.weights.load import fill
from keypoint.models.weights.report import network_of, other_architecture
from keypoint.pose.skeleton import load_skeleton, skeleton_from_dict

EPILOG = """examples:
  keypoint import-weights pose_resnet_50_256x192.pth.tar --input-size 256 192 --output sb50.pt
      SimpleBaseline's or the HRNet repository's file; then keypoint test --checkpoint sb50.pt
  keypoint import-weights td-hm_res50_8xb64-210e_coco-256x192.pth --input-size 256 192 \\
      --output mm50.pt
      mmpose's, 0.x or 1.x
  keypoint import-weights pose_hrnet_w32_256x192.pth --input-size 256 192 --output hrnet32.pt
      the HRNet repository's HRNet; mmpose's as well
  keypoint import-weights pose_resnet_50_256x256.pth.tar --input-size 256 256 --output mpii.pt \\
      data.skeleton=mpii16
      another skeleton
  keypoint import-weights sb50.pt --partial --output sb50_srl3.pt model.blocks=srl_fft
      blocks added to trained weights; the output stays the same to the bit until it is trained

The file itself says its toolkit, network and number of keypoints, mmpose's often the colours; an
export from here or a checkpoint says everything below as well (an export the skeleton's names
only). A contradiction is an error, another input size a warning.
Everything else is asked for or assumed:
  input size    --input-size, as the file's name usually says; a wrong one costs AP silently
  skeleton      coco17; another by data.skeleton=
  colour order  SimpleBaseline's names: BGR, each channel normalised with the mean of its place
                (blue with 0.485), as it and the HRNet repository's pose_resnet do. All others: RGB.
                --color-order if you know it better (HRNet's repository with COLOR_RGB: true)
  codec         heatmap; model.codec=udp if it was trained so (mmpose's UDPHeatmap, UDP-Pose)
  heatmap sigma 2 at width 192, in proportion; model.heatmap_sigma= otherwise
  caffe style   SimpleBaseline's two files of that name have the stride elsewhere: they load and
                give a low AP; they are not supported

No code in the file is run. Everything must fit, except the blocks with --partial. A report of all
tensors is written next to OUTPUT, with the ending .json.
"""


def main(argv: Sequence[str]) -> None:
    """Parse, build, call."""
    parser = cli.parser(
        "keypoint import-weights",
        "Turn weights of SimpleBaseline, the HRNet repository, mmpose or this toolkit into a "
        "checkpoint that keypoint test takes alone.",
        EPILOG,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="of torch.save, or safetensors")
    cli.add_output_file(parser, "the checkpoint to write")
    cli.add_config(parser, "a config, instead of the one derived from the file and --input-size")
    parser.add_argument(
        "--input-size", nargs=2, type=int, metavar=("H", "W"), help="as the file was trained with"
    )
    parser.add_argument("--color-order", choices=("bgr", "rgb"), help="instead of the usual one")
    parser.add_argument(
        "--partial", action="store_true", help="blocks may be missing, and start as the identity"
    )
    args = parser.parse_intermixed_args(argv)

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
        assumed.append(f"input size {height} x {width} as given, the file does not say")
    versions = {"keypoint": keypoint.__version__, "imported": f"{args.file} ({weights.format})"}
    origin = origin_of(args.file, report.weights, assumed)
    content = checkpoint_of(model, config, skeleton, versions, {"imported": origin})
    save_checkpoint(args.output, content)
    write_json(report_file, report.to_dict())
    print(f"written: {args.output}, and {report_file} with all names")


def check_places(file: Path, output: Path) -> Path:
    """Return the place of the report, which overwrites neither the checkpoint nor the file.

    Raises:
        ConfigError: It would, or it is a folder.
    """
    report_file = output if output.is_dir() else output.with_suffix(".json")
    if output.suffix.lower() == ".json" or report_file.is_dir():
        raise ConfigError(
            f"--output {output}: the checkpoint's name cannot be a folder's nor end in .json, "
            "where the report goes; give a name such as best.pt"
        )
    if file.exists() and report_file.exists() and report_file.samefile(file):
        raise ConfigError(f"--output {output}: its report would overwrite {file}; rename it")
    return report_file


def check_overrides(overrides: Sequence[str]) -> None:
    """Refuse keys that an import does not use; it neither trains nor tests.

    Raises:
        ConfigError: Names the first.
    """
    unused = ("train.", "augment.", "test.", "seed=", *(f"model.{key}=" for key in STARTED_FROM))
    for text in overrides:
        other_data = text.startswith("data.") and not text.startswith("data.skeleton=")
        if other_data or text.startswith(unused):
            raise ConfigError(
                f"{text}: it has no effect on an import, which takes model.* (but not weights), "
                "data.skeleton and output; leave it out, and give it to training or testing"
            )


def derived_config(weights: Weights, file: Path, overrides: Sequence[str]) -> Config:
    """Return the config that a file implies: its own, or one for its network.

    Raises:
        ConfigError: The input size is given nowhere.
        CheckpointError: The file's network is not one of ours.
    """
    if weights.content is not None:
        require_task(weights.content, "keypoints", str(file))
        return config_from_dict(weights.content["config"], source=str(file))
    network = network_of(weights.state)
    if not network:
        found = other_architecture(weights.state) or f"{len(weights.state)} tensors of other names"
        raise CheckpointError(
            f"{file}: holds {found}, which matches no ResNet of depth 18, 34, 50, 101 or 152 "
            "and no HRNet-W32 or W48; nothing else can be imported"
        )
    given = any(text.startswith("model.input_size=") for text in overrides)
    if not given and "input_size" not in weights.trained:  # an export from here notes it
        raise ConfigError(
            f"{file}: weights do not say the input size they were trained with, and a wrong one "
            "costs AP silently; give --input-size H W, such as 256 192, or --cfg"
        )
    content = {
        "model": {**network, **weights.trained},
        "data": {"skeleton": weights.published.skeleton} if weights.published else {},
        "test": {"decoding": weights.decoding},
        "output": f"output/{file.name.split('.')[0]}",
    }
    return config_from_dict(content, source=str(file))
