"""From files to keypoints in files: read, find persons, predict in batches, write, count."""
