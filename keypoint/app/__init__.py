"""A web page that finds keypoints on uploaded images."""
