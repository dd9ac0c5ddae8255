"""What events do to the store, exactly once however often they come, and whoever is killed when.

For each batch, and in this order:

1. counts are read, and then the histories;
2. an event that is in neither is counted, and its id is kept with the counts, in one write;
3. the histories get the events; a merge of what they have already changes nothing;
4. session features are derived from them; and what users were shown is merged, too.

Killed between 2 and 3, the event comes again and is found with the counts. Killed later, it is
found in its history. A writer keeps its last batch's ids alone, as it begins the next one when the
histories have them. Each write is a compare-and-set: who lost begins at 1 again.
"""

import dataclasses
import random
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

from podway.framework.config.online import Nearline
from podway.online.error import StoreError
from podway.online.events.event import Event
from podway.online.nearline import counts, read, session
from podway.online.nearline.counts import Counted, Counts
from podway.online.nearline.read import Read
from podway.online.queue import partition
from podway.online.store import history as histories
from podway.online.store.history import EMPTY, MICRO, Entry, History
from podway.online.store.store import FEATURES, HISTORY, SHOWN, STATE, Change, Store, Value

Duplicates = Literal["keep", "drop"]
_TRIES = 200
_LONGEST_PAUSE = 0.05


@dataclasses.dataclass(frozen=True)
class Applied:
    """What a batch did.

    Attributes:
      new: events that the histories did not have.
      repeated: events that they had, or that are older than all that is kept.
      users: whose history changed.
      conflicts: writes that another writer was quicker with, and that were tried again.
    """

    new: int
    repeated: int
    users: int
    conflicts: int


class Writer:
    """One writer of the store; for one thread.

    Args:
      store: open.
      nearline: what is kept and counted.
      duplicates: the dataset's: of events of one user, item and time, "drop" all but one.
      name: another one for each process.
    """

    def __init__(
        self, store: Store, nearline: Nearline, duplicates: Duplicates = "keep", name: str = ""
    ):
        self._store, self._nearline = store, nearline
        self._duplicates: Duplicates = duplicates
        self._name = name or uuid.uuid4().hex[:12]
        self._weights = {each.event: each.weight for each in nearline.weights} or dict.fromkeys(
            nearline.types, 1.0
        )
        self._half_life = nearline.half_life_hours * 3600
        self._conflicts = 0

    def apply(self, found: Read, now: float) -> Applied:
        """Applies a batch; where it raises StoreError, some of it may be done: apply it again
        before any other one."""
        self._conflicts = 0
        of_user: dict[str, list[Event]] = {}
        for event in found.events:
            of_user.setdefault(event.user, []).append(event)
        known = self._count(of_user, now) if of_user else {}
        held, changed, new = self._extend(of_user, known)
        if held:
            # Also of those that did not change: who was killed may have left the features behind.
            seconds = 60 * self._nearline.session_minutes
            self._store.write(
                FEATURES,
                {
                    user: session.pack(session.session(each, _end(each), seconds))
                    for user, each in held.items()
                    if each.entries
                },
                ttl=self._ttl,
            )
        self._show(found.shown)
        return Applied(new, len(found.events) - new, changed, self._conflicts)

    @property
    def _ttl(self) -> float | None:
        return 86_400 * self._nearline.history_days or None

    def _count(self, of_user: Mapping[str, list[Event]], now: float) -> dict[str, Value | None]:
        """Counts what is new; gives the histories that were read."""
        slots: dict[int, list[str]] = {}
        for user in of_user:
            slots.setdefault(partition.of(user, self._nearline.slots), []).append(user)
        left = {
            (slot, segment)
            for slot, users in slots.items()
            for segment in ("", *self._segments(of_user[user] for user in users))
        }
        known: dict[str, Value | None] = {}
        segments: dict[int, tuple[str, ...]] = {}
        for tries in _tries():
            places = sorted(left)
            keys = [key(*place) for place in places]
            held = self._store.read(STATE, keys)
            users = [user for slot in {slot for slot, _ in left} for user in slots[slot]]
            known |= dict(zip(users, self._store.read(HISTORY, users), strict=True))
            changes, where = [], []
            new: dict[int, list[Event]] = {}
            for slot in {slot for slot, _ in left}:
                new[slot] = [
                    each
                    for user in slots[slot]
                    for each in self._new(user, of_user[user], known[user])
                ]
            for place, name, value in zip(places, keys, held, strict=True):
                slot, segment = place
                if segment and segment not in segments[slot]:
                    continue  # one too many
                before = counts.unpack(value.content) if value else counts.NOTHING
                after = self._counted(before, new[slot], segment, now)
                if not segment:
                    segments[slot] = (after or before).segments
                if after is not None:
                    changes.append(Change(name, counts.pack(after), value and value.version))
                    where.append(place)
            done = self._store.compare_and_set(STATE, changes) if changes else []
            left = {place for place, ok in zip(where, done, strict=True) if not ok}
            if not left:
                break
            self._lost(len(left), tries)
        return known

    def _counted(
        self, before: Counts, new: Sequence[Event], segment: str, now: float
    ) -> Counts | None:
        """The counts with events, as far as they are of the segment and not counted; None: no event
        is."""
        there = before.knows()
        wanted = [
            each
            for each in new
            if each.type in self._weights
            and each.id not in there
            and (not segment or self._segment(each) == segment)
        ]
        if not wanted:
            return None
        batch = {each.id for each in new}
        _, last = before.last.get(self._name, (0.0, ()))
        after = counts.add(
            before,
            [Counted(e.id, e.item, e.time, self._weights[e.type]) for e in wanted],
            self._name,
            now,
            half_life=self._half_life,
            most=self._nearline.popular,
            segments=() if segment else self._segments([wanted]),
            most_segments=self._nearline.segments,
        )
        time, ids = after.last[self._name]
        # Of this batch, which was begun before and is not through.
        again = tuple(id for id in last if id in batch)
        return dataclasses.replace(after, last={**after.last, self._name: (time, ids + again)})

    def _new(self, user: str, events: Iterable[Event], value: Value | None) -> list[Event]:
        """Events that a history lacks and would keep."""
        before = _history(value, user)
        there = set(before.entries)
        after = set(self._merged(before, map(read.entry, events)).entries)
        return [event for event in events if (e := read.entry(event)) in after and e not in there]

    def _extend(
        self, of_user: Mapping[str, list[Event]], known: Mapping[str, Value | None]
    ) -> tuple[dict[str, History], int, int]:
        """Gives the histories with their events, how many changed, and how many events were new."""
        entries = {user: [read.entry(each) for each in of_user[user]] for user in of_user}
        return self._merge(HISTORY, entries, known, self._merged, self._ttl)

    def _show(self, shown: Mapping[str, list[Entry]]) -> None:
        if shown:
            most = self._nearline.shown
            known = dict(zip(shown, self._store.read(SHOWN, list(shown)), strict=True))
            self._merge(
                SHOWN,
                shown,
                known,
                lambda history, entries: histories.merge(history, entries, most),
                3600 * self._nearline.shown_hours,
            )

    def _merge(
        self,
        kind: str,
        entries: Mapping[str, list[Entry]],
        known: Mapping[str, Value | None],
        merged: Callable[[History, Iterable[Entry]], History],
        ttl: float | None,
    ) -> tuple[dict[str, History], int, int]:
        """Merges entries into histories of a kind, as these were read; reads again what another
        writer changed."""
        held: dict[str, History] = {}
        changed, new, users = 0, 0, list(entries)
        for tries in _tries():
            changes: list[Change] = []
            added: dict[str, int] = {}
            for user in users:
                value = known[user]
                before = _history(value, user)
                held[user] = after = merged(before, entries[user])
                if after != before:
                    added[user] = len(set(after.entries) - set(before.entries))
                    changes.append(Change(user, histories.pack(after), value and value.version))
            done = self._store.compare_and_set(kind, changes, ttl) if changes else []
            for change, ok in zip(changes, done, strict=True):
                if ok:
                    changed, new = changed + 1, new + added[change.key]
            users = [change.key for change, ok in zip(changes, done, strict=True) if not ok]
            if not users:
                break
            self._lost(len(users), tries)
            known = dict(zip(users, self._store.read(kind, users), strict=True))
        return held, changed, new

    def _merged(self, history: History, entries: Iterable[Entry]) -> History:
        return histories.kept(history, entries, self._nearline.history, self._duplicates)

    def _segment(self, event: Event) -> str:
        """ "": none."""
        value = event.fields.get(self._nearline.segment) if self._nearline.segment else None
        return value if isinstance(value, str) and len(value) <= 100 else ""

    def _segments(self, events: Iterable[Iterable[Event]]) -> list[str]:
        found = {self._segment(each) for these in events for each in these} - {""}
        return sorted(found)[: self._nearline.segments]

    def _lost(self, many: int, tries: int) -> None:
        self._conflicts += many
        if tries == _TRIES - 1:
            raise StoreError(
                f"other writers were quicker {_TRIES} times with {many} values; are there more"
                " nearline services than online.nearline.slots?"
            )
        time.sleep(random.uniform(0, min(_LONGEST_PAUSE, 0.001 * 2 ** min(tries, 6))))


def key(slot: int, segment: str = "") -> str:
    """Of counts, of the kind `state`: of all users of a slot, or those of a segment."""
    return f"counts/{slot}/{segment}" if segment else f"counts/{slot}"


def _tries() -> Iterable[int]:
    return range(_TRIES)


def _history(value: Value | None, user: str) -> History:
    if value is None:
        return EMPTY
    try:
        return histories.unpack(value.content)
    except StoreError as error:
        raise StoreError(f"the user {user!r}: {error}") from error


def _end(history: History) -> float:
    """Just after the last event."""
    return history.entries[-1].time / MICRO + 1e-3
