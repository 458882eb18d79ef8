"""Checks of data that is well formed but probably means something else."""
