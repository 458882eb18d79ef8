"""Compiled code for CPUs, and how it is loaded; imports torch only."""
