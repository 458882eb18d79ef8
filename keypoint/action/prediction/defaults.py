"""What a prediction of videos takes if nothing is said; loads without torch."""

BATCH_SIZE = 16  # clips
