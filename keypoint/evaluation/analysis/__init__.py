"""Analyse what lowers AP: by keypoint, by kind of error, by score.

    compared = compare("annotations.json", read_results("results.json"), skeleton)
    print(to_text(analyse(compared, skeleton)))

works for results of any toolkit (analyse.py, report.py). Bottom up: curves and scoring (AP), then
per_keypoint, errors, calibration; analyse combines them, and report converts them to text and plain
values. Persons as arrays and their similarity are in the package above.
"""
