#!/usr/bin/env python
"""Train a few steps, print every loss, compare with another commit: loss_sequence.py [--base C]."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from keypoint.commands import cli
from keypoint.data.synthetic.demo_set import write_demo_set
from keypoint.errors import ConfigError

REPOSITORY = Path(__file__).parents[2]
IMAGES, EPOCHS = 24, 2
CONFIG = """
data: {root: ROOT, workers: 0}
model: {encoder: resnet18, input_size: [64, 64], blocks: srl_lo, weights: none}
train: {epochs: EPOCHS, batch_size: 8, evaluate_every: 1, log_every: 1}
"""
# Settings that take another path through the training code.
CASES: dict[str, tuple[str, ...]] = {
    "adam": (),
    "sgd": ("train.optimizer=sgd", "train.lr=0.1", "train.momentum=0.8", "train.weight_decay=1e-4"),
    "bf16 and average": ("train.amp=bf16", "train.ema=0.9"),
    "accumulated, mined": ("train.accumulate=2", "train.batch_size=4", "train.ohkm=8"),
    "udp, warm-up": ("model.codec=udp", "train.warmup_steps=4", "train.recipe=hrnet"),
}
EPILOG = f"""examples:
  tools/benchmarks/loss_sequence.py
      the losses of this checkout
  tools/benchmarks/loss_sequence.py --base bce7a3e
      this checkout against a commit: all losses and the final weights, bit for bit

Each case trains a ResNet-18 on {IMAGES} generated images for {EPOCHS} epochs by tools/train.py, on
one thread of the CPU. The images are made once, by this checkout. Another commit is checked out in
a temporary git worktree. The exit status is 1 if anything differs.
"""


def main(argv: Sequence[str]) -> None:
    """Parse, train, compare."""
    parser = cli.parser(
        "tools/benchmarks/loss_sequence.py",
        "Print the losses of short training runs, or compare them with those of another commit.",
        EPILOG,
    )
    parser.add_argument("--base", metavar="COMMIT", help="compare with this commit")
    parser.add_argument(
        "--case", action="append", choices=CASES, help="only this case; may be given again"
    )
    args = parser.parse_args(argv)

    different = []
    with tempfile.TemporaryDirectory() as name, other_checkout(args.base) as base:
        folder = Path(name)
        write_demo_set(folder / "data", train_images=IMAGES, val_images=4, seed=1)
        text = CONFIG.replace("ROOT", str(folder / "data")).replace("EPOCHS", str(EPOCHS))
        (folder / "tiny.yaml").write_text(text, encoding="utf-8")
        for number, case in enumerate(args.case or CASES):
            losses, weights = train(REPOSITORY, folder, f"ours{number}", CASES[case])
            print(f"{case}: {shown(losses)}")
            if base is None:
                continue
            theirs, their_weights = train(base, folder, f"theirs{number}", CASES[case])
            same_weights = weights.keys() == their_weights.keys() and all(
                torch.equal(tensor, their_weights[name]) for name, tensor in weights.items()
            )
            if losses == theirs and same_weights:
                print(f"  {args.base}: the same {len(losses)} losses and weights, bit for bit")
            else:
                different.append(case)
                print(f"  {args.base}: different, losses {shown(theirs)}")
    if different:
        raise SystemExit(1)


@contextmanager
def other_checkout(commit: str | None) -> Iterator[Path | None]:
    """A temporary worktree of a commit; None without one.

    Raises:
        ConfigError: git does not know the commit.
    """
    if commit is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "checkout"
        git = ["git", "-C", str(REPOSITORY), "worktree"]
        made = subprocess.run(
            [*git, "add", "--detach", str(folder), commit], capture_output=True, text=True
        )
        if made.returncode:
            raise ConfigError(f"--base {commit}: {made.stderr.strip()}")
        try:
            yield folder
        finally:
            subprocess.run([*git, "remove", "--force", str(folder)], check=True)


def shown(losses: Sequence[float]) -> str:
    """Show losses with nine digits, which distinguish any two float32 numbers."""
    return " ".join(f"{loss:.9g}" for loss in losses)


def train(
    checkout: Path, folder: Path, output: str, options: Sequence[str]
) -> tuple[list[float], dict[str, torch.Tensor]]:
    """Losses of all steps, and the weights that training ends with.

    Args:
        checkout: The repository whose tools/train.py runs.
        folder: With tiny.yaml; gets the run's folder.
        output: Name of that.
        options: Overrides of the config.
    """
    run = folder / output
    command = [sys.executable, str(checkout / "tools" / "train.py"), "--device", "cpu"]
    command += ["--cfg", str(folder / "tiny.yaml"), f"output={run}", *options]
    one_thread = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONPATH": str(checkout)}
    done = subprocess.run(
        command, cwd=checkout, env=os.environ | one_thread, capture_output=True, text=True
    )
    if done.returncode:
        raise ConfigError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    events = EventAccumulator(str(run)).Reload()
    losses = [event.value for event in events.Scalars("train/loss")]  # float32, as logged
    content = torch.load(run / "last.pt", weights_only=True)
    averaged = {f"average of {name}": tensor for name, tensor in (content["ema"] or {}).items()}
    return losses, content["model"] | averaged


if __name__ == "__main__":
    raise SystemExit(cli.run(main))
