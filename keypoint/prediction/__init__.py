"""Prediction on files: read, find persons, predict in batches, write and count results."""
