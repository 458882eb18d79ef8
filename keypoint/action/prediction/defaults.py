"""Defaults of predictions on videos; does not import torch."""

BATCH_SIZE = 16  # clips
