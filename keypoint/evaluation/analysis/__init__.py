"""Where AP is lost: by keypoint, by kind of error, by score.

    compared = compare("annotations.json", read_results("results.json"), skeleton)
    print(to_text(analyse(compared, skeleton)))

works for results of any toolkit (analyse.py, report.py). Bottom up: scoring (AP), pairing, then
per_keypoint, errors, calibration; analyse puts them together, report tells them, write does so for
an evaluation of ours. Persons as arrays and their similarity are evaluation's own.
"""
