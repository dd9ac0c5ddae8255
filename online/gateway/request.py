"""What a caller asks, by whatever protocol."""

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from podway.online.error import OnlineError
from podway.online.servers import chance

LISTS = ("items", "exclude")
_TEXTS = ("user", "segment", "device", "request_id")
_FIELDS = (*_TEXTS, *LISTS, "k", "timeout_ms")
_LONGEST_TEXT = 512
_LONGEST_LIST = 1000
_ID = re.compile(r"[\w.:-]{1,128}")


class RequestError(OnlineError):
    """A request that cannot be answered; the caller can mend it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Attributes:
      user: whom it is for; "": somebody unknown, of whom nothing is looked up.
      items: of this session, oldest first, which the history may not have yet.
      segment: of the user, whose popular items stand in.
      device: that the user has, for a ranker.
      k: items that are asked for; 0: as many as the gateway's config says.
      exclude: items that must not come.
      seconds: in which the caller wants its answer; None: it does not say.
      id: of the request, in the answer and in the events.
      trace: the caller's traceparent; "": none.
      client: who asks, as access control found it.
    """

    user: str = ""
    items: tuple[str, ...] = ()
    segment: str = ""
    device: str = ""
    k: int = 0
    exclude: tuple[str, ...] = ()
    seconds: float | None = None
    id: str = dataclasses.field(default_factory=chance.hex128)
    trace: str = ""
    client: str = ""


def of(given: Mapping[str, Any], *, most: int, trace: str = "", client: str = "") -> Request:
    """The request in JSON fields, or in those of a query whose lists are lists already.

    Raises RequestError that names the field.
    """
    unknown = [name for name in given if name not in _FIELDS]
    if unknown:
        raise RequestError(f"there is no field {unknown[0]!r}; there are {', '.join(_FIELDS)}")
    found: dict[str, Any] = {}
    for name in _TEXTS:
        value = given.get(name)
        if value is None or value == "":
            continue
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str) or len(value) > _LONGEST_TEXT:
            raise RequestError(f"{name} is no text of at most {_LONGEST_TEXT} characters")
        found[name] = value
    if "request_id" in found:
        if not _ID.fullmatch(found["request_id"]):
            raise RequestError("request_id is no text of letters, digits and _ . : -, 1 to 128")
        found["id"] = found.pop("request_id")
    for name in LISTS:
        if given.get(name):
            found[name] = _texts(name, given[name])
    if given.get("k") is not None:
        found["k"] = _whole("k", given["k"], most)
    if given.get("timeout_ms") is not None:
        found["seconds"] = _number("timeout_ms", given["timeout_ms"]) / 1000
    return Request(**found, trace=trace, client=client)


def _texts(name: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise RequestError(f"{name} is {value!r:.40}; give a list of items")
    if len(value) > _LONGEST_LIST:
        raise RequestError(f"{name} has {len(value)} values; give at most {_LONGEST_LIST}")
    found = []
    for each in value:
        if isinstance(each, int) and not isinstance(each, bool):
            each = str(each)
        if not isinstance(each, str) or len(each) > _LONGEST_TEXT:
            raise RequestError(f"{name} has {each!r:.40}, which is no text")
        if each:
            found.append(each)
    return tuple(found)


def _whole(name: str, value: Any, most: int) -> int:
    number = _number(name, value)
    if number != int(number) or not 1 <= number <= most:
        raise RequestError(f"{name} is {value!r:.40}; give a whole number, 1 to {most}")
    return int(number)


def _number(name: str, value: Any) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 < number < math.inf:
        raise RequestError(f"{name} is {value!r:.40}; give a number above 0")
    return number
