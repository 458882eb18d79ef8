"""The attention of a block, and the effective receptive field of any network."""

from keypoint.explain.attention import rows_at
from keypoint.explain.field import ReceptiveField, receptive_field
from keypoint.explain.row import Row
from keypoint.explain.unit import input_of

__all__ = ["ReceptiveField", "Row", "input_of", "receptive_field", "rows_at"]
