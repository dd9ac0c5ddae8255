"""Runs held against baselines, and beside each other."""
