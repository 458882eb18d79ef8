"""Labelled videos, from lists and folders to batches of clips."""
