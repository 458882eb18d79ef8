"""Readers for the published formats of video lists and folders."""
