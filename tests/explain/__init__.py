"""Rows of blocks and receptive fields, against explicit matrices and closed forms."""
