"""Runs compared: what they measured, which differ in the seed only, and how sure a difference is.

    runs = {folder.name: read_run(folder) for folder in folders}
    groups = group_runs(runs)  # runs by name
    print(to_markdown(compare_groups(groups, on_samples)))

read.py reads a folder, group.py groups runs and names what differs, statistics.py has the
intervals, images.py the bootstrap over the images of a test set, compare.py and report.py put them
together. All of it is for any task: a run is numbers by name, conditions and a config.
"""
