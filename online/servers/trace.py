"""The trace that a call is part of, as W3C Trace Context has it (traceparent, version 00).

with trace.part_of(request.headers.get("traceparent", "")) as own:
    …                # calls of model servers in here say that they are parts of `own`
"""

import contextvars
import re

from podway.online.servers import chance

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
    found = _FORM.fullmatch(given) if given else None
    span = chance.hex64()
    later = found is not None and found[4] is not None
    if (
        found is None
        or given.startswith("ff")
        or (later and given.startswith("00"))
        or not int(found[1], 16)
        or not int(found[2], 16)
    ):
        return f"00-{chance.hex128()}-{span}-00"
    return f"00-{found[1]}-{span}-{found[3]}"


class part_of:
    """Calls in this block carry `own`; "": nothing.

    Args:
      own: the span.
    """

    __slots__ = ("_own", "_token")

    def __init__(self, own: str):
        self._own = own

    def __enter__(self) -> None:
        self._token = _CURRENT.set(self._own)

    def __exit__(self, *_: object) -> None:
        _CURRENT.reset(self._token)
