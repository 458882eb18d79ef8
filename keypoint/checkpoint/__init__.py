"""Checkpoints: files, content check, card, Hugging Face Hub."""
