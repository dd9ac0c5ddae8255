"""Recommendations for many users at once, in parts that a restart need not repeat."""
