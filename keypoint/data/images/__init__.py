"""Image files: headers, pixels, and whether a set's files are there and whole."""
