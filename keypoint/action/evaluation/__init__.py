"""Scores of videos, accuracies, and comparison of runs."""
