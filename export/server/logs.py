"""What the server logs: its own doings, and of what goes wrong only what is not the client's."""

import logging

from aiohttp.http_exceptions import HttpProcessingError
from google.protobuf.message import DecodeError

_CLIENTS = (DecodeError, HttpProcessingError, NotImplementedError)
"""Bytes that are no message, no HTTP, or for a method that is not there: answered, not logged."""
_GONE = "ExecuteBatchError"
"""gRPC's private error for an answer that nobody waits for any more."""


def start(who: str = "") -> None:
    """Logs to standard error from here on, each line with `who` says it."""
    form = f"%(asctime)s %(levelname)s {who}%(message)s"
    logging.basicConfig(level=logging.INFO, format=form)
    # TensorFlow's deprecation notes are for programmers.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    for name in ("grpc._cython.cygrpc", "aiohttp.server"):
        logging.getLogger(name).addFilter(_matters)


def _matters(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, _CLIENTS) and type(error).__name__ != _GONE
