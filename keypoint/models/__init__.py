"""Networks: an encoder, three deconvolutions with a block after each, and a 1x1 head."""

from keypoint.models.simple_baseline import SITES, SimpleBaseline, create_model

__all__ = ["SITES", "SimpleBaseline", "create_model"]
