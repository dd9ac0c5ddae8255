"""What keeps a version from being judged, or from serving."""

from podway.framework import exit_codes
from podway.framework.error import PodwayError


class GateError(PodwayError):
    """A version that cannot be judged, or may not serve; the message says what would help."""


class NotPassed(GateError):
    """A version that was judged, and may not serve."""

    exit_code = exit_codes.NOT_PASSED
