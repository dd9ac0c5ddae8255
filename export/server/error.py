"""Errors of the server: those that end it, and those that answer a request."""

import grpc

from podway.framework.error import PodwayError

CANCELLED = grpc.StatusCode.CANCELLED
INVALID_ARGUMENT = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND
PERMISSION_DENIED = grpc.StatusCode.PERMISSION_DENIED
FAILED_PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
RESOURCE_EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
DEADLINE_EXCEEDED = grpc.StatusCode.DEADLINE_EXCEEDED
UNIMPLEMENTED = grpc.StatusCode.UNIMPLEMENTED
INTERNAL = grpc.StatusCode.INTERNAL
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
UNKNOWN = grpc.StatusCode.UNKNOWN

MAX_MESSAGE = 4096
"""Characters of an error."""


class ServerError(PodwayError, OSError):
    """The server cannot start, or a model config cannot be used; the message says why."""


class RequestError(PodwayError, ValueError):
    """A request that cannot be answered.

    Attributes:
      code: gRPC status code; REST translates it into an HTTP status.
      message: one sentence for the client, cut to MAX_MESSAGE: it may quote what the client sent.
      http: REST's status, where it is not the one of the code; or 0.
    """

    def __init__(self, code: grpc.StatusCode, message: str, http: int = 0):
        message = message if len(message) <= MAX_MESSAGE else message[:MAX_MESSAGE] + "…"
        super().__init__(message)
        self.code = code
        self.message = message
        self.http = http


def too_large(message: str) -> RequestError:
    """A request beyond a limit: RESOURCE_EXHAUSTED, 413."""
    return RequestError(RESOURCE_EXHAUSTED, message, 413)
