"""The commands of the console script `keypoint`, one file each."""
