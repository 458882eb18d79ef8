"""Names and thresholds for the options of commands, without importing torch or OpenCV."""

DETECTORS = (
    "fasterrcnn_resnet50_fpn_v2",
    "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_mobilenet_v3_large_320_fpn",
)
HOG = "hog"
DETECTOR_SCORE = 0.5  # boxes with a lower score are rarely persons
GIVEN_SCORE = (
    0.3  # of boxes in a file, as in mmpose's demo; most boxes of the usual COCO files are below
)
# Boxes with a larger IoU are duplicates of one person. Of 2,139 persons on 605 images of val2017,
# NMS would remove 9 at 0.5 (torchvision's value) and 71 at 0.3 (mmpose's demo).
GIVEN_OVERLAP = 0.5
RESULTS, RECORDS = "results.json", "records.jsonl"
