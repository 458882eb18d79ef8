"""Names and thresholds that the options of commands show, which load without torch or OpenCV."""

DETECTORS = (
    "fasterrcnn_resnet50_fpn_v2",
    "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_mobilenet_v3_large_320_fpn",
)
HOG = "hog"
DETECTOR_SCORE = 0.5  # boxes of a lower score are rarely persons
GIVEN_SCORE = 0.3  # of boxes in a file; as in mmpose's demo, most of COCO's usual files are below
# Two boxes of a larger IoU are one person's. Of 2,139 persons on 605 images of val2017 NMS would
# take 9 for doubles at 0.5 (torchvision's value), 71 at 0.3 (mmpose's demo).
GIVEN_OVERLAP = 0.5
RESULTS, RECORDS = "results.json", "records.jsonl"
