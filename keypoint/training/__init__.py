"""Training: trainer, step, losses, optimizer, resuming, run folder, log, loggers."""
