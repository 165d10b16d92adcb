"""Orientations from electron backscatter patterns: simulated patterns, networks that read them (OMNet), training."""
