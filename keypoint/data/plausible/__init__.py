"""Data that is well formed and probably or certainly means something else."""
