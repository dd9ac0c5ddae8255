"""What the server logs: its own doings, and of what goes wrong only what is not the client's."""

import logging

import tensorflow as tf
from aiohttp.http_exceptions import HttpProcessingError
from google.protobuf.message import DecodeError

_CLIENTS = (DecodeError, HttpProcessingError, NotImplementedError)
"""Bytes that are no message, no HTTP, or for a method that is not there: answered, not logged."""


def start() -> None:
    """Logs to standard error from here on."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    tf.get_logger().setLevel(logging.ERROR)  # its deprecation notes are for programmers
    for name in ("grpc._cython.cygrpc", "aiohttp.server"):
        logging.getLogger(name).addFilter(_matters)


def _matters(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], _CLIENTS))
