"""Prediction of the classes of a video, and a picture of them."""
