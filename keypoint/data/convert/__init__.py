"""Label files of other tools, read and written as COCO keypoints."""
