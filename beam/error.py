"""Errors a user can mend, and how they cross the border between a Beam worker and its caller.

A runner reports a worker's exception as text. What a user must see is put into that text as JSON
between two marks, and found there again by the caller.
"""

import contextlib
import json
import logging
import re
from collections.abc import Iterator

from framework.error import ConfigError, PodwayError


class DataError(PodwayError, ValueError):
    """Raw data that cannot become a dataset; the message names the file and what would be right."""


class _Carrier(Exception):
    """A user's error on its way out of a worker."""


_LOGGER = logging.getLogger("apache_beam.runners.common")
_MARKED = re.compile(r"<podway-error>(.*?)</podway-error>", re.DOTALL)
_CLASSES = {"DataError": DataError, "ConfigError": ConfigError}


@contextlib.contextmanager
def portable() -> Iterator[None]:
    """In a worker: lets DataError, ConfigError and OSError survive the way to the caller."""
    try:
        yield
    except (DataError, ConfigError, OSError) as error:
        number = error.errno if isinstance(error, OSError) else None
        text = json.dumps([type(error).__name__, number, str(error)])
        raise _Carrier(f"<podway-error>{text}</podway-error>") from error


@contextlib.contextmanager
def restored() -> Iterator[None]:
    """In the caller: raises what a worker raised, as DataError, ConfigError or OSError."""
    _LOGGER.addFilter(_unmarked)
    try:
        yield
    except Exception as error:
        found = _MARKED.search(str(error))
        if not found:
            raise
        name, number, message = json.loads(found[1])
        if name in _CLASSES:
            raise _CLASSES[name](message) from None
        restored = OSError(message)
        restored.errno = number
        raise restored from None
    finally:
        _LOGGER.removeFilter(_unmarked)


def _unmarked(record: logging.LogRecord) -> bool:
    """Beam logs each exception with its traceback: not the ones that the caller knows of."""
    message = record.getMessage()
    return not _MARKED.search(message) and "beam.progress.Cancelled" not in message
