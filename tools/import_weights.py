#!/usr/bin/env python
"""Make a checkpoint of others' weights: tools/import_weights.py FILE --output best.pt [...]."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keypoint
from keypoint import cli
from keypoint.checkpoint import checkpoint_of, save_checkpoint
from keypoint.config import Config, config_from_dict, find_config, load_config, override_config
from keypoint.data.json_file import write_json
from keypoint.errors import CheckpointError, ConfigError
from keypoint.models import create_model
from keypoint.models.weight_formats import Weights, read_weights
from keypoint.models.weight_report import encoder_of, other_architecture
from keypoint.models.weights import fill
from keypoint.skeleton import load_skeleton, skeleton_from_dict

EPILOG = """examples:
  tools/import_weights.py pose_resnet_50_256x192.pth.tar --input-size 256 192 --output sb50.pt
      SimpleBaseline's or the HRNet repository's file; then tools/test.py --checkpoint sb50.pt
  tools/import_weights.py td-hm_res50_8xb64-210e_coco-256x192.pth --input-size 256 192 \\
      --output mm50.pt
      mmpose's, 0.x or 1.x
  tools/import_weights.py pose_resnet_50_256x256.pth.tar --input-size 256 256 --output mpii.pt \\
      data.skeleton=mpii16
      another skeleton
  tools/import_weights.py sb50.pt --partial --output sb50_srl3.pt model.blocks=srl_fft
      blocks added to trained weights; the output stays the same to the bit until it is trained

What is told by the file: whose it is, encoder, keypoints, and with mmpose's often the colours.
What is not, and is asked for or assumed:
  input size    --input-size, as the file's name usually says; a wrong one costs AP silently
  skeleton      coco17; another by data.skeleton=
  colour order  SimpleBaseline's names: BGR, each channel normalised with the mean of its place
                (blue with 0.485), as it and the HRNet repository's pose_resnet do. All others: RGB.
                --color-order where you know it better (HRNet's repository with COLOR_RGB: true)
  caffe style   SimpleBaseline's two files of that name have the stride elsewhere: they load and
                give a low AP; they are not supported

No code in the file is run. Everything must fit, but for the blocks with --partial. Beside OUTPUT
a report of all tensors is written: OUTPUT with the ending .json.
"""


def main(argv: Sequence[str]) -> None:
    """Parse, build, call."""
    parser = cli.parser(
        "Turn weights of SimpleBaseline, the HRNet repository, mmpose or this toolkit into a "
        "checkpoint that tools/test.py takes alone.",
        EPILOG,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="of torch.save, or safetensors")
    parser.add_argument("--output", required=True, type=Path, help="the checkpoint to write")
    parser.add_argument(
        "--cfg", help="a config, in place of the one derived from the file and --input-size"
    )
    parser.add_argument(
        "--input-size", nargs=2, type=int, metavar=("H", "W"), help="as the file was trained with"
    )
    parser.add_argument("--color-order", choices=("bgr", "rgb"), help="in place of the usual one")
    parser.add_argument(
        "--partial", action="store_true", help="blocks may be missing, and start as the identity"
    )
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="change a key of the config"
    )
    args = parser.parse_intermixed_args(argv)

    cli.log_to()
    overrides = list(args.overrides)
    if args.input_size:
        overrides.append(f"model.input_size={args.input_size}")
    if args.output.exists() and args.file.exists() and args.output.samefile(args.file):
        raise ConfigError(f"--output {args.output} is the file itself; give another name")
    weights = read_weights(args.file, args.color_order)
    if args.cfg:
        config = load_config(find_config(args.cfg), overrides)
    else:
        config = override_config(derived_config(weights, args.file, overrides), overrides)
    if args.cfg or weights.content is None or any(t.startswith("data.skel") for t in overrides):
        skeleton = load_skeleton(config.data.skeleton)
    else:
        skeleton = skeleton_from_dict(weights.content["skeleton"], source=str(args.file))
    model = create_model(
        config.model.encoder,
        blocks=config.model.blocks,
        input_size=config.model.input_size,
        num_keypoints=skeleton.num_keypoints,
        encoder_stride=config.model.encoder_stride,
        dilated=config.model.dilated,
        codec=config.model.codec,
        heatmap_sigma=config.model.heatmap_sigma,
    )
    report = fill(model, weights, str(args.file), partial=args.partial, whole=True)
    versions = {"keypoint": keypoint.__version__, "imported": f"{args.file} ({weights.format})"}
    args.output.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(args.output, checkpoint_of(model, config, skeleton, versions))
    write_json(args.output.with_suffix(".json"), report.to_dict())
    print(f"written: {args.output}, and {args.output.with_suffix('.json')} with all names")


def derived_config(weights: Weights, file: Path, overrides: Sequence[str]) -> Config:
    """The config that a file implies: its own, or one for its encoder.

    Raises:
        ConfigError: The input size is given nowhere.
        CheckpointError: The file's encoder is none of ours.
    """
    if weights.content is not None:
        return config_from_dict(weights.content["config"], source=str(file))
    encoder = encoder_of(weights.state)
    if encoder is None:
        found = other_architecture(weights.state) or f"{len(weights.state)} tensors of other names"
        raise CheckpointError(
            f"{file}: holds {found}, no ResNet of depth 18, 34, 50, 101 or 152; "
            "nothing else can be imported"
        )
    if not any(text.startswith("model.input_size=") for text in overrides):
        raise ConfigError(
            f"{file}: weights do not say the input size they were trained with, and a wrong one "
            "costs AP silently; give --input-size H W, such as 256 192, or --cfg"
        )
    content = {"model": {"encoder": encoder}, "output": f"output/{file.name.split('.')[0]}"}
    return config_from_dict(content, source=str(file))


if __name__ == "__main__":
    raise SystemExit(cli.run(main))
