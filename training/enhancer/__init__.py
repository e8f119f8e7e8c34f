"""Trains the enhancer on pairs of rasterized and path-traced frames: `python -m training.enhancer --help`."""
