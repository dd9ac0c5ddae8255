"""Errors of what runs while users are there."""

from podway.framework.error import PodwayError


class OnlineError(PodwayError):
    """What is wrong with a file, an address or a request, and what would be right."""


class QueueError(OnlineError):
    """A queue that cannot be reached, or does not keep what it was given."""


class StoreError(OnlineError):
    """A store that cannot be reached, or holds what it should not."""
