"""Errors that a user can mend."""


class PodwayError(Exception):
    """What is wrong, where, and what would be right, in one sentence; shown without a traceback."""
