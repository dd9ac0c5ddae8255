"""Errors that a user can mend."""

from podway.framework import exit_codes


class PodwayError(Exception):
    """What is wrong, where, and what would be right, in one sentence; shown without a traceback.

    Attributes:
      exit_code: that the command ends with (framework/exit_codes.py).
    """

    exit_code = exit_codes.REFUSED


class ConfigError(PodwayError, ValueError):
    """A config says something that cannot be; the message names the field and what would do."""


def check(condition: bool, message: str) -> None:
    """Raises ConfigError(message) unless `condition` holds."""
    if not condition:
        raise ConfigError(message)
