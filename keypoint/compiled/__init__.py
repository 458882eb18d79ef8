"""Compiled code for CPUs, and how it is loaded."""
