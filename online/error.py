"""Errors of what runs while users are there."""

from podway.framework.error import PodwayError


class OnlineError(PodwayError):
    """What is wrong with a file, an address or a request, and what would be right."""
