"""The losses of AP: by keypoint, by kind of error, by score.

    compared = compare("annotations.json", read_results("results.json"), skeleton)
    print(to_text(analyse(compared, skeleton)))

works for results of any toolkit (analyse.py, report.py). Bottom up: curves and scoring (AP), then
per_keypoint, errors, calibration; analyse puts them together, report makes text and plain values of
them. Persons as arrays and their similarity are evaluation's own.
"""
