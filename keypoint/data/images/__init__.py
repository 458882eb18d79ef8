"""Image files: headers, pixels, and checks that all files exist and are complete."""
