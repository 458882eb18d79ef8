"""Checkpoints: files, content check, model card, Hugging Face Hub."""
