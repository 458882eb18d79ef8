"""From annotation files and images to batches of uint8 crops."""
