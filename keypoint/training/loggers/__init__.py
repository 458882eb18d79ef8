"""Loggers for the numbers and pictures of a run, one file for each value of `train.logger`.

Every class has the methods of `keypoint.training.log.Logger`.
"""
