"""Events and stores for tests of nearline."""

import random
from collections.abc import Sequence
from typing import Any

from podway.online.events.event import Event, encode
from podway.online.queue.queue import Received

START = 1_700_000_000.0


class Killed(Exception):
    """The process ends here."""


class Mortal:
    """A store whose user is killed before or after its n-th write."""

    def __init__(self, store: Any, write: int, *, after: bool):
        self._store, self._left, self._after = store, write, after

    def __getattr__(self, name: str) -> Any:
        does = getattr(self._store, name)
        if name not in ("write", "compare_and_set"):
            return does

        def mortal(*arguments, **more):
            self._left -= 1
            if not self._left and not self._after:
                raise Killed
            found = does(*arguments, **more)
            if not self._left:
                raise Killed
            return found

        return mortal


def events(chance: random.Random, count: int, users: int = 5) -> list[Event]:
    """Plays and clicks with many ties."""
    return [
        Event(
            chance.choice(("play", "click")),
            f"u{chance.randrange(users)}",
            f"i{chance.randrange(6)}",
            START + chance.randrange(30) / 2,
            id=f"e{at}",
            fields={"segment": chance.choice(("a", "b"))} if chance.random() < 0.7 else {},
        )
        for at in range(count)
    ]


def received(given: Sequence[Event], first: int = 0) -> list[Received]:
    """Messages that a queue delivers."""
    return [
        Received("events", 0, first + at, f"{first + at}", e.user, encode(e), {}, e.time + 1)
        for at, e in enumerate(given)
    ]
