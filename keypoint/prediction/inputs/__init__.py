"""What a prediction reads: files, videos and cameras, as one stream of frames."""
