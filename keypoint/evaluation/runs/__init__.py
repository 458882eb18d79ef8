"""Compare runs: their numbers, groups that differ only in the seed, intervals of differences.

    runs = {folder.name: read_run(folder) for folder in folders}
    groups = group_runs(runs)  # runs by name
    print(to_markdown(compare_groups(groups, on_samples)))

read.py reads a folder, group.py groups runs and names what differs, statistics.py has the
intervals, images.py the bootstrap over the images of a test set, compare.py and report.py combine
them. All of it works for any task: a run has numbers by name, conditions and a config.
"""
