"""Sweeps: trials of an experiment over a search space, by several workers; the one that wins."""
