"""What is kept in memory: bounded, and no longer than it is good for."""

import collections
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


class Memory(Generic[_Key, _Value]):
    """Key → value; the one that was not wanted for longest goes first.

    Args:
      most: entries.
      seconds: that a value is good for; 0: nothing is kept.
      clock: seconds of a clock that never goes back.
    """

    def __init__(self, most: int, seconds: float, clock: Callable[[], float] = time.monotonic):
        self._most, self._seconds, self._clock = most, seconds, clock
        self._entries: collections.OrderedDict[_Key, tuple[float, _Value]] = (
            collections.OrderedDict()
        )

    def get(self, key: _Key) -> _Value | None:
        """The value; None: there is none that is still good."""
        found = self._entries.get(key)
        if found is None or found[0] < self._clock():
            return None
        self._entries.move_to_end(key)
        return found[1]

    def stale(self, key: _Key) -> _Value | None:
        """The value, however old; None: there is none."""
        found = self._entries.get(key)
        return None if found is None else found[1]

    def put(self, key: _Key, value: _Value) -> None:
        """Keeps it."""
        if not self._seconds:
            return
        self._entries[key] = (self._clock() + self._seconds, value)
        self._entries.move_to_end(key)
        if len(self._entries) > self._most:
            self._entries.popitem(last=False)

    def __len__(self) -> int:
        return len(self._entries)
