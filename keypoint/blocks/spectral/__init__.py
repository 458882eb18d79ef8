"""Spectral residual learning: transforms, mixing of spectra, the blocks."""
