"""One prediction by several processes: each predicts a share of the inputs into its own folder.

The processes communicate only through these folders, `OUTPUT/shards/3-of-8`, so they may run at the
same time, one after the other, or again. A share's folder contains the results of its inputs, in
their order (stored.py). The process that finishes last merges all shares (merge.py). The merge
reads the stored results in the order of all inputs and writes them with the code for a single run,
so the output is the same.
"""
