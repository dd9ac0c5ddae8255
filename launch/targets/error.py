"""What goes wrong with a launch."""

from podway.framework.error import PodwayError


class LaunchError(PodwayError):
    """A cluster or a machine that does not do what was asked; the message says what would help."""


class FailedError(LaunchError):
    """A launch has failed."""

    elsewhere = True
    """No option of this command is to blame."""
