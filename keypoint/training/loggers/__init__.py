"""Where the numbers and pictures of a run go, a file for each choice of `train.logger`.

Every class has the methods of `keypoint.training.log.Logger`.
"""
