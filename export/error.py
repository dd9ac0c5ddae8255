"""The export's own error. Pure Python, so that the server may use it too."""

from podway.framework.error import PodwayError


class ExportError(PodwayError, ValueError):
    """A model that cannot be exported, verified or published; the message says what and where."""
