"""Weights of this and of other toolkits: reading, matching, loading, writing."""
