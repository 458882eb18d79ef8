"""One prediction by many processes: each predicts a share of the inputs into a folder of its own.

The processes exchange nothing but these folders, `OUTPUT/shards/3-of-8`, so they may run at the
same time, one after the other, or again. A share's folder holds what its inputs gave, input after
input (stored.py); the process that finishes the last share merges all (merge.py). Because the
merge takes the stored results in the order of the inputs through the code that writes the results
of a single run, it writes what that run writes.
"""
