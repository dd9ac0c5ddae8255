"""Fills a store with histories: in parts, of which a restart repeats the one that was under way.

What the store has already stays: a history is merged with what came by the queue in the meantime.
"""

import dataclasses
import itertools
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Literal

from podway.framework.config.online import Nearline
from podway.online.error import StoreError
from podway.online.store import history as histories
from podway.online.store.history import EMPTY, History
from podway.online.store.store import HISTORY, ITEM, STATE, Change, Store, Value

FORMAT = 1
_ROUND = 500
_TRIES = 100


@dataclasses.dataclass(frozen=True)
class Part:
    """Some users of a dataset.

    Attributes:
      name: another one for each part of a dataset.
      events: in it.
      read: gives each user and the history, whose events have no marks.
    """

    name: str
    events: int
    read: Callable[[], Iterator[tuple[str, History]]]


@dataclasses.dataclass(frozen=True)
class Filled:
    """What was done.

    Attributes:
      users: that were in the parts.
      changed: of them those whose history in the store is another one now.
      skipped: parts that had been done before.
    """

    users: int
    changed: int
    skipped: int


class Progress:
    """Which parts are done, kept in the store itself: gone when it is.

    Args:
      store: that is filled.
      of: what it is filled with: another dataset, or another length, begins anew.
    """

    def __init__(self, store: Store, of: str):
        self._store, self._key = store, f"materialize/{of}"

    def done(self) -> set[str]:
        """Names of parts. Raises StoreError."""
        [value] = self._store.read(STATE, [self._key])
        return self._names(value)

    def add(self, name: str) -> None:
        """This one is done, too. Raises StoreError."""
        for _ in range(_TRIES):
            [value] = self._store.read(STATE, [self._key])
            names = sorted(self._names(value) | {name})
            content = json.dumps({"format": FORMAT, "done": names}).encode()
            change = Change(self._key, content, value and value.version)
            if self._store.compare_and_set(STATE, [change])[0]:
                return
        raise StoreError(f"{self._key} is written by too many at once; try again")

    def forget(self) -> None:
        """None is done."""
        self._store.delete(STATE, [self._key])

    def _names(self, value: Value | None) -> set[str]:
        if value is None:
            return set()
        found = json.loads(value.content)
        if found["format"] != FORMAT:
            raise StoreError(
                f"{self._key} has format {found['format']}, and this Podway reads format {FORMAT}:"
                " upgrade Podway, or give --again"
            )
        return set(found["done"])


def fill(
    store: Store,
    parts: Iterable[Part],
    progress: Progress,
    nearline: Nearline,
    duplicates: Literal["keep", "drop"],
    advance: Callable[[int], object] = lambda events: None,
) -> Filled:
    """Merges the histories of all parts that are not done into the store.

    Args:
      store: open.
      parts: of a dataset.
      progress: of the same.
      nearline: how much of a history is kept, and how long.
      duplicates: data.duplicates.
      advance: told of so many further events.

    Raises:
      StoreError: the store does not answer. The next call goes on.
    """
    done = progress.done()
    users = changed = skipped = 0
    for part in parts:
        if part.name in done:
            skipped += 1
            advance(part.events)
            continue
        histories_of, told = part.read(), 0
        while waiting := dict(itertools.islice(histories_of, _ROUND)):
            changed += _merge(store, waiting, nearline, duplicates)
            users += len(waiting)
            events = sum(map(len, waiting.values()))
            advance(events)
            told += events
        advance(part.events - told)  # older ones than what is kept
        progress.add(part.name)
    return Filled(users, changed, skipped)


def fill_items(store: Store, items: Iterable[tuple[str, Mapping[str, str]]]) -> int:
    """Writes the attributes of items, as JSON objects, over what is there. Raises StoreError."""
    count, waiting = 0, {}
    for item, attributes in items:
        waiting[item] = json.dumps(attributes, ensure_ascii=False).encode()
        count += 1
        if len(waiting) == _ROUND:
            store.write(ITEM, waiting)
            waiting = {}
    store.write(ITEM, waiting)
    return count


def _merge(
    store: Store,
    given: Mapping[str, History],
    nearline: Nearline,
    duplicates: Literal["keep", "drop"],
) -> int:
    """How many histories are another one now."""
    ttl = 86_400 * nearline.history_days or None
    changed, users = 0, list(given)
    for tries in range(_TRIES):
        if not users:
            return changed
        changes = []
        for user, value in zip(users, store.read(HISTORY, users), strict=True):
            before = histories.unpack(value.content) if value else EMPTY
            entries = given[user].entries
            after = histories.kept(before, entries, nearline.history, duplicates)
            if after != before:
                changes.append(Change(user, histories.pack(after), value and value.version))
        done = store.compare_and_set(HISTORY, changes, ttl) if changes else []
        changed += sum(done)
        users = [change.key for change, ok in zip(changes, done, strict=True) if not ok]
        time.sleep(0.001 * tries)
    raise StoreError(f"other writers were quicker {_TRIES} times with {len(users)} histories")
