"""The trace that a call is part of, as W3C Trace Context has it (traceparent, version 00).

with trace.part_of(request.headers.get("traceparent", "")) as own:
    …                # calls of model servers in here say that they are parts of `own`
"""

import contextlib
import contextvars
import os
import re
from collections.abc import Iterator

HEADER = "traceparent"
_FORM = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_CURRENT: contextvars.ContextVar[str] = contextvars.ContextVar("traceparent", default="")


def current() -> str:
    """The traceparent that a call carries; "": none."""
    return _CURRENT.get()


def child(given: str) -> str:
    """A span of one's own below the given one; a new trace where that is none.

    The trace's flags stay as they are: whoever began it decides whether it is recorded.
    """
    found = _FORM.fullmatch(given)
    span = os.urandom(8).hex()
    later = found is not None and found[4] is not None
    if (
        found is None
        or given.startswith("ff")
        or (later and given.startswith("00"))
        or not int(found[1], 16)
        or not int(found[2], 16)
    ):
        return f"00-{os.urandom(16).hex()}-{span}-00"
    return f"00-{found[1]}-{span}-{found[3]}"


@contextlib.contextmanager
def part_of(own: str) -> Iterator[None]:
    """Calls in this block carry `own`; "": nothing."""
    token = _CURRENT.set(own)
    try:
        yield
    finally:
        _CURRENT.reset(token)
