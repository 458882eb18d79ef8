"""Check a data set before any training."""
