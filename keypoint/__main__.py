"""`python -m keypoint COMMAND ...`, which torchrun starts as `torchrun ... -m keypoint COMMAND`."""

from keypoint.commands.main import main

if __name__ == "__main__":
    raise SystemExit(main())
