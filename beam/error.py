"""Errors a user can mend, and how they cross the border between a Beam worker and its caller.

A runner reports a worker's exception as text, quoted and indented as it likes. What a user must see
is put into that text as one word, and found there again by the caller.
"""

import base64
import contextlib
import json
import logging
import re
from collections.abc import Iterator

from podway.framework.error import ConfigError, PodwayError


class DataError(PodwayError, ValueError):
    """Raw data that cannot become a dataset; the message names the file and what would be right."""


class ColumnError(DataError):
    """A raw file that lacks a column, or has it twice."""


class EmptySplitError(DataError):
    """Too few events for an example in each split."""


class _Carrier(Exception):
    """A user's error on its way out of a worker."""


_LOGGERS = (
    "apache_beam.runners.common",
    "apache_beam.runners.worker.sdk_worker",
    "apache_beam.runners.portability.local_job_service",
    "apache_beam.runners.portability.portable_runner",
    "root",
)
"""Where Beam's engines log what a worker raised."""
_MARKED = re.compile(r"podway-error-([A-Za-z0-9_=-]+)-end")
_CLASSES = {each.__name__: each for each in (DataError, ColumnError, EmptySplitError, ConfigError)}


@contextlib.contextmanager
def portable() -> Iterator[None]:
    """In a worker: lets DataError, ConfigError and OSError survive the way to the caller."""
    try:
        yield
    except (DataError, ConfigError, OSError) as error:
        number = error.errno if isinstance(error, OSError) else None
        text = json.dumps([type(error).__name__, number, str(error)])
        raise _Carrier(f"podway-error-{_word(text)}-end") from error


@contextlib.contextmanager
def restore() -> Iterator[None]:
    """In the caller: raises what a worker raised, as DataError, ConfigError or OSError.

    Beam's log is filtered from then on: what a worker logs may come after its error.
    """
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_is_unmarked)
    try:
        yield
    except Exception as error:
        found = _MARKED.search(str(error))
        if not found:
            raise
        name, number, message = json.loads(base64.urlsafe_b64decode(found[1]))
        if name in _CLASSES:
            raise _CLASSES[name](message) from None
        original = OSError(message)
        original.errno = number
        raise original from None


def _word(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


def _is_unmarked(record: logging.LogRecord) -> bool:
    """Beam logs each exception with its traceback: not the ones that the caller knows of."""
    message = record.getMessage()
    return not _MARKED.search(message) and "podway.beam.steps.progress.Cancelled" not in message
