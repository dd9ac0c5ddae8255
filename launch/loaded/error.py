"""What is wrong with a question to a loaded model."""

from podway.framework.error import PodwayError


class RequestError(PodwayError, ValueError):
    """A question that a model cannot answer; the message says what of it, and the remedy."""


class UnknownValues(UserWarning):
    """Some of the items in a question are none of the model's; the others are answered by."""


def require(condition: bool, message: str) -> None:
    """Raises RequestError(message) unless `condition` holds."""
    if not condition:
        raise RequestError(message)
