"""Between keypoints and heatmaps: skeleton, geometry, codec, decoding."""
