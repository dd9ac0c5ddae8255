"""What is known of users and items: from the store, and from memory where that does not answer."""

import asyncio
import dataclasses
import json
import math
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from podway.framework.config.online import Gateway
from podway.online.error import StoreError
from podway.online.gateway.answer import NOTHING, Attributes
from podway.online.gateway.memory import Memory
from podway.online.gateway.reader import Reader
from podway.online.store import answers
from podway.online.store import history as histories
from podway.online.store.answers import LIST, Listed
from podway.online.store.store import HISTORY, ITEM, SHOWN


@dataclasses.dataclass(frozen=True, slots=True)
class Profile:
    """A user.

    Attributes:
      items: of the events that the model reads, oldest first.
      times: of the same, in whole seconds since 1970.
      seen: items of all events.
      state: what tells this history from a later one.
      shown: item → how often the user was shown it of late, where a rule asks.
      missing: why the store did not say it; "": it did.
    """

    items: tuple[str, ...]
    times: tuple[int, ...]
    seen: frozenset[str]
    state: object
    shown: Mapping[str, int] = dataclasses.field(default_factory=dict)
    missing: str = ""


_UNKNOWN = Profile((), (), frozenset(), 0)


class Known:
    """Users and items; belongs to one event loop.

    Args:
      reader: of the store.
      gateway: how much is remembered.
    """

    def __init__(self, reader: Reader, gateway: Gateway):
        self._reader, self._gateway = reader, gateway
        rules = [gateway.rules, *(a.rules for t in gateway.trials for a in t.arms if a.rules)]
        self._shows = any(each.shown_most for each in rules)
        self._users = Memory[str, Profile](gateway.remembered, math.inf)
        # Not by who was wanted last, but by who came first: a look must cost next to nothing.
        self._items: dict[str, tuple[float, Attributes]] = {}

    async def user(self, user: str, seconds: float) -> Profile:
        """A user's history; where the store does not answer, the one it last told."""
        if not user:
            return _UNKNOWN
        if not self._shows:
            return await self._history(user, seconds)
        profile, shown = await asyncio.gather(
            self._history(user, seconds),
            self._reader.read(SHOWN, [user], seconds),
            return_exceptions=True,
        )
        if isinstance(profile, BaseException):
            raise profile
        try:
            if isinstance(shown, BaseException):
                raise shown
            [value] = shown
            times = Counter(histories.unpack(value.content).items) if value else {}
        except StoreError as error:
            return dataclasses.replace(profile, missing=profile.missing or str(error))
        return dataclasses.replace(profile, shown=times)

    async def _history(self, user: str, seconds: float) -> Profile:
        try:
            [value] = await self._reader.read(HISTORY, [user], seconds)
            if value is None:
                return _UNKNOWN
            before = self._users.stale(user)
            if before is not None and before.state == value.version:
                return before
            whole = histories.unpack(value.content)
        except StoreError as error:
            before = self._users.stale(user) or _UNKNOWN
            return dataclasses.replace(before, missing=str(error))
        wanted = whole.of_types(self._gateway.events) if self._gateway.events else whole
        latest = wanted.entries[-self._gateway.history :]
        found = Profile(
            tuple([entry.item for entry in latest]),
            tuple([entry.time // histories.MICRO for entry in latest]),
            frozenset(whole.items),
            value.version,
        )
        self._users.put(user, found)
        return found

    async def load(self, items: Collection[str], seconds: float) -> str:
        """Has the attributes of items in memory; says why it could not, or ""."""
        there, now = self._items, time.monotonic()
        missing = [item for item in items if (known := there.get(item)) is None or known[0] < now]
        if not missing:
            return ""
        try:
            values = await self._reader.read(ITEM, missing, seconds)
        except StoreError as error:
            return str(error)
        good = now + self._gateway.item_seconds
        for item, value in zip(missing, values, strict=True):
            there.pop(item, None)
            there[item] = good, NOTHING if value is None else attributes(value.content)
        while len(there) > 10 * self._gateway.remembered:
            del there[next(iter(there))]
        return ""

    def item(self, item: str) -> Attributes:
        """What memory has of an item, however old; {}: nothing."""
        known = self._items.get(item)
        return NOTHING if known is None else known[1]

    async def listed(self, user: str, seconds: float) -> Listed | None:
        """The list that was made for a user beforehand; None: there is none. Raises StoreError."""
        [value] = await self._reader.read(LIST, [user], seconds)
        return None if value is None else answers.unpack_list(value.content)


def attributes(content: bytes) -> Attributes:
    """The attributes in a value of an item, a JSON object; {} where it is none."""
    try:
        found = json.loads(content)
        return Attributes(found) if isinstance(found, dict) else NOTHING
    except ValueError:
        return NOTHING


def with_session(
    profile: Profile, items: Sequence[str], now: float
) -> tuple[Sequence[str], Sequence[int]]:
    """Items and times of a history, with those of a session that it does not end with already."""
    names, times = profile.items, profile.times
    if not items:
        return names, times
    session = tuple(items)
    most = min(len(names), len(session))
    # The nearline service may have got some of the session in between: the longest overlap counts.
    there = next((n for n in range(most, 0, -1) if names[-n:] == session[:n]), 0)
    added = session[there:]
    return names + added, times + (int(now),) * len(added)
