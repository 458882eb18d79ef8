"""Download of COCO."""
