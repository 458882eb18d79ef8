"""Boxes of persons: annotated, given in a file, or from a detector."""
