"""Errors of the server: those that end it, and those that answer a request."""

import grpc

from podway.framework.error import PodwayError

CANCELLED = grpc.StatusCode.CANCELLED
INVALID_ARGUMENT = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND
FAILED_PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
RESOURCE_EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
DEADLINE_EXCEEDED = grpc.StatusCode.DEADLINE_EXCEEDED
UNIMPLEMENTED = grpc.StatusCode.UNIMPLEMENTED
INTERNAL = grpc.StatusCode.INTERNAL
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
UNKNOWN = grpc.StatusCode.UNKNOWN


class ServerError(PodwayError, OSError):
    """The server cannot start, or a model config cannot be used; the message says why."""


class RequestError(PodwayError, ValueError):
    """A request that cannot be answered.

    Attributes:
      code: gRPC status code; REST translates it into an HTTP status.
      message: one sentence for the client.
    """

    def __init__(self, code: grpc.StatusCode, message: str):
        super().__init__(message)
        self.code = code
        self.message = message
