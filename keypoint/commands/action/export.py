"""Write a network for use without this toolkit: keypoint export --checkpoint FILE --output FILE."""

from __future__ import annotations

from collections.abc import Sequence

from keypoint import __version__
from keypoint.action.checkpoint import load_action
from keypoint.action.evaluation.protocol import protocol_of
from keypoint.action.export.card import ClipCard
from keypoint.action.export.write import export_classifier
from keypoint.commands import cli
from keypoint.export.card import INPUTS
from keypoint.export.write import check_form

EPILOG = """examples:
  keypoint export --checkpoint output/mine/best.pt --output mine.onnx
      ONNX: uint8 clips in, the probability of each class out
  keypoint export --checkpoint output/mine/best.pt --output mine.onnx --input float32
      for runtimes that cannot take bytes
  keypoint export --checkpoint output/mine/best.pt --output mine.pt2
      torch.export; torch.export.load opens it

Input (B, T, H, W, 3) uint8 RGB, or (B, 3, T, H, W) float32 RGB from 0 to 1; any B, the frames T of
the training and the crop size of the test. Mean, std and colour order of the weights are inside.
Outputs: scores, the softmax probabilities (B, classes), whose mean over the clips of a video is its
score in keypoint test; and logits. The file names its classes and says how the test chooses and
cuts clips: ONNX in metadata_props, torch.export in the extra file keypoint.json; keypoint info
prints it.

The file is read again, run at batches of 1 and 3 and compared with the checkpoint's network before
it gets its name. SRL-FFT stands in ONNX as matrix products.
"""


def main(argv: Sequence[str]) -> None:
    """Parse, build, call."""
    parser = cli.parser(
        "keypoint export", "Export a checkpoint's network to ONNX or torch.export.", EPILOG
    )
    cli.add_network(parser)
    cli.add_output_file(parser, "its suffix chooses the form: .onnx or .pt2")
    parser.add_argument(
        "--input", choices=INPUTS, default="uint8", help="type of the clips; default: uint8"
    )
    args = parser.parse_args(argv)
    cli.log_to()
    cli.refuse_existing(args, args.checkpoint)
    check_form(args.output)
    restored = load_action(cli.chosen_checkpoint(args))
    protocol = protocol_of(restored.config)
    card = ClipCard(
        version=__version__,
        classes=restored.classes,
        frames=restored.model.frames,
        input_size=protocol.crops.crop_size,  # of three crops, larger than in training
        input=args.input,
        test=protocol.conditions(),
    )
    cli.make_folder(args.output.parent, "--output")
    result = export_classifier(restored.model, card, args.output)
    print(f"{result.describe()}\nwritten: {args.output}, {args.output.stat().st_size / 1e6:.1f} MB")
    print("\n".join(f"  {name}: {text}" for name, text in card.describe().items()))
