"""What we chose where the catalogue lets a toolkit choose, and the row of docs/reference/errors.md that says so

By case: the outcome of the command that must meet it first, and how the row begins.
"""

import re
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "errors.md"
FIRST = {"A": "check", "I": "check", "D": "test", "B": "train", "E": "score"}
WORDS = {"accept": "used", "skip": "left out", "error": "error"}

NOT_THERE = "missing, a folder, a link"
NO_IMAGE = "not a JPEG, PNG, BMP or WebP by content"
CUT_OFF = "cut off, a JPEG without its end"
ANOTHER_SIZE = "another size than the record's"
OF_NO_BOX = "`bbox` without area, or wholly outside"
NOT_A_BOX = "`bbox` missing, of another length, negative"
CONTRADICTS = "`num_keypoints` contradicts"
MISSING_COUNTS = "`num_keypoints` missing or null, `iscrowd` missing"
NO_AREA = "`area` missing or 0 on a person"
WRONG_IMAGE = "image that the annotation file lacks"
ONE_PIXEL = "`bbox` of 1 x 1 pixel"
NO_CATEGORY = "category id missing, or another"

CHOSEN = {
    "A06": ("accept", "a byte order mark before the JSON"),
    "A22": ("accept", "ids from 0, negative"),
    "A24": ("accept", "ids as text or decimals"),
    "A25": ("error", "annotation of an image that is not listed"),
    "A26": ("error", "category id that is not listed"),
    "A46": ("skip", "`keypoints` missing, null, empty"),
    "A49": ("error", "a number beyond 1,000,000 in `keypoints`"),
    "A50": ("accept", "a labelled keypoint outside the image"),
    "A55": ("error", "all boxes, all keypoints or both in 0..1"),
    "A56": ("error", CONTRADICTS),
    "A57": ("error", CONTRADICTS),
    "A58": ("accept", MISSING_COUNTS),
    "A61": ("accept", MISSING_COUNTS),
    "A62": ("accept", NO_AREA),
    "A63": ("accept", NO_AREA),
    "A66": ("error", NOT_A_BOX),
    "A69": ("error", NOT_A_BOX),
    "A70": ("skip", OF_NO_BOX),
    "A71": ("skip", OF_NO_BOX),
    "A73": ("error", "boxes as x1, y1, x2, y2, and as"),
    "A75": ("accept", "most keypoints outside the box"),
    "A76": ("skip", ONE_PIXEL),
    "A77": ("error", "`width` or `height` missing"),
    "A78": ("error", ANOTHER_SIZE),
    "A82": ("skip", "an image without a usable person"),
    "A83": ("accept", "two image records with one file"),
    "A84": ("accept", "the same person twice"),
    "A85": ("accept", "an image in both splits"),
    "A90": ("accept", "a link that points outside the folder"),
    "A91": ("error", "`file_name` with a NUL byte, an escape code"),
    "B01": ("error", "an empty file, or one of comments"),
    "D01": ("error", "not a list; an empty list"),
    "D04": ("error", WRONG_IMAGE),
    "D05": ("accept", "ids of images and categories as text or decimals"),
    "D07": ("skip", "width or height 0 or negative"),
    "D08": ("error", "nan in the box"),
    "D09": ("accept", "wholly outside the image; ten times"),
    "D10": ("error", "a number beyond 1,000,000 in the box"),
    "D12": ("error", "score missing, a string, nan"),
    "D15": ("error", "nothing left, by score or category"),
    "E01": ("accept", "an empty list"),
    "E06": ("error", "image id missing, a string"),
    "E07": ("error", NO_CATEGORY),
    "E08": ("error", NO_CATEGORY),
    "E17": ("error", "a result twice"),
    "E18": ("accept", "images with persons and without a result"),
    "E19": ("accept", "`bbox`, `area` and other keys"),
    "I01": ("error", NOT_THERE),
    "I02": ("error", NO_IMAGE),
    "I03": ("error", NO_IMAGE),
    "I04": ("error", NO_IMAGE),
    "I10": ("error", CUT_OFF),
    "I11": ("error", CUT_OFF),
    "I12": ("error", CUT_OFF),
    "I13": ("error", CUT_OFF),
    "I14": ("error", CUT_OFF),
    "I15": ("accept", "damaged JPEG that decodes"),
    "I16": ("error", "damaged PNG or WebP"),
    "I17": ("error", "damaged PNG or WebP"),
    "I18": ("error", CUT_OFF),
    "I19": ("error", NOT_THERE),
    "I20": ("error", NOT_THERE),
    "I21": ("error", ANOTHER_SIZE),
    "I22": ("error", ANOTHER_SIZE),
    "I23": ("error", ANOTHER_SIZE),
    "I31": ("error", "EXIF orientation 5 to 8, annotations upright"),
    "I51": ("error", NO_IMAGE),
    "I52": ("error", NO_IMAGE),
    "I53": ("skip", ONE_PIXEL),
    "I56": ("error", NO_IMAGE),
}


def row_faults():
    """Choices that docs/reference/errors.md does not state, or states otherwise."""
    text = re.sub(r"(?s)## Images and videos to predict on.*?(?=\n## )", "", DOCUMENT.read_text())
    rows = re.findall(r"^\| (.+?) \| (.+?) \|", text, re.MULTILINE)
    for key, (outcome, words) in CHOSEN.items():
        found = [stated for what, stated in rows if what.startswith(words)]
        if len(found) != 1 or not found[0].startswith(WORDS[outcome]):
            yield f"{key}: {outcome}, and {words!r} stands as {found}"
