"""Answers for many users or items at once, in parts that a restart need not repeat."""
