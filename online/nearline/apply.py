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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from podway.framework.config.online import Nearline
from podway.online.error import StoreError
from podway.online.nearline import counts, extend, session
from podway.online.nearline.counts import Counted, Counts
from podway.online.nearline.extend import Duplicates, Extended
from podway.online.nearline.read import Read, Told
from podway.online.queue.queue import partition_of
from podway.online.store import columns
from podway.online.store.history import MICRO, Entry
from podway.online.store.store import FEATURES, HISTORY, SHOWN, STATE, Change, Store, Value

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


@dataclasses.dataclass(frozen=True, slots=True)
class _Planned:
    """A history as it was read, and what it is to be."""

    version: int | None
    after: Extended


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
        of_user: dict[str, list[Told]] = {}
        for event in found.events:
            of_user.setdefault(event.user, []).append(event)
        entries = {user: [event.entry for event in told] for user, told in of_user.items()}
        planned = self._count(of_user, entries, now) if of_user else {}
        held, changed, new = self._write(HISTORY, entries, planned, self._history, self._ttl)
        if held:
            # Also of those that did not change: who was killed may have left the features behind.
            seconds = 60 * self._nearline.session_minutes
            features = {
                user: session.pack(session.latest(each.columns, seconds))
                for user, each in held.items()
            }
            self._store.write(FEATURES, features, ttl=self._ttl)
        if found.shown:
            lasts = 3600 * self._nearline.shown_hours
            shown = self._planned(SHOWN, found.shown, self._shown)
            self._write(SHOWN, found.shown, shown, self._shown, lasts)
        return Applied(new, len(found.events) - new, changed, self._conflicts)

    @property
    def _ttl(self) -> float | None:
        return 86_400 * self._nearline.history_days or None

    def _history(self, user: str, value: Value | None, entries: Iterable[Entry]) -> Extended:
        return extend.extend(user, value, entries, self._nearline.history, self._duplicates)

    def _shown(self, user: str, value: Value | None, entries: Iterable[Entry]) -> Extended:
        return extend.extend(user, value, entries, self._nearline.shown, "keep")

    def _planned(
        self,
        kind: str,
        entries: Mapping[str, list[Entry]],
        extended: Callable[[str, Value | None, list[Entry]], Extended],
    ) -> dict[str, _Planned]:
        """What histories of a kind are, read in one round, and are to be."""
        values = self._store.read(kind, list(entries))
        return {
            user: _Planned(value and value.version, extended(user, value, entries[user]))
            for user, value in zip(entries, values, strict=True)
        }

    def _write(
        self,
        kind: str,
        entries: Mapping[str, list[Entry]],
        planned: dict[str, _Planned],
        extended: Callable[[str, Value | None, list[Entry]], Extended],
        ttl: float | None,
    ) -> tuple[dict[str, Extended], int, int]:
        """Writes what is planned in one round, and plans again what another writer changed; gives
        the histories, how many changed, and how many events were new."""
        held: dict[str, Extended] = {}
        changed = new = 0
        for tries in _tries():
            held |= {user: each.after for user, each in planned.items()}
            changes = [
                Change(user, columns.pack(each.after.columns), each.version)
                for user, each in planned.items()
                if each.after.changed
            ]
            done = self._store.compare_and_set(kind, changes, ttl) if changes else []
            written = [c.key for c, ok in zip(changes, done, strict=True) if ok]
            changed += len(written)
            new += sum(len(held[user].added) for user in written)
            if len(written) == len(changes):
                break
            lost = [c.key for c, ok in zip(changes, done, strict=True) if not ok]
            self._lost(len(lost), tries)
            planned = self._planned(kind, {user: entries[user] for user in lost}, extended)
        return held, changed, new

    def _count(
        self,
        of_user: Mapping[str, list[Told]],
        entries: Mapping[str, list[Entry]],
        now: float,
    ) -> dict[str, _Planned]:
        """Counts what is new; gives what is planned of the histories that were read for it."""
        slots: dict[int, list[str]] = {}
        for user in of_user:
            slots.setdefault(partition_of(user, self._nearline.slots), []).append(user)
        left = {
            (slot, segment)
            for slot, users in slots.items()
            for segment in ("", *self._segments(told for user in users for told in of_user[user]))
        }
        planned: dict[str, _Planned] = {}
        segments: dict[int, tuple[str, ...]] = {}
        for tries in _tries():
            places = sorted(left)
            keys = [key(*place) for place in places]
            held = self._store.read(STATE, keys)
            mine = {slot: slots[slot] for slot, _ in places}
            users = [user for these in mine.values() for user in these]
            planned |= self._planned(
                HISTORY, {user: entries[user] for user in users}, self._history
            )
            new = {slot: _New(_further(these, of_user, planned)) for slot, these in mine.items()}
            changes, where = [], []
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
        return planned

    def _counted(self, before: Counts, new: "_New", segment: str, now: float) -> Counts | None:
        """The counts with events, as far as they are of the segment and not counted; None: no event
        is."""
        there = before.knows()
        wanted = [
            event
            for event in new.of(segment)
            if event.entry.type in self._weights and event.id not in there
        ]
        if not wanted:
            return None
        _, last = before.last.get(self._name, (0.0, ()))
        after = counts.add(
            before,
            [
                Counted(id, entry.item, entry.time / MICRO, self._weights[entry.type])
                for id, _, entry, _ in wanted
            ],
            self._name,
            now,
            half_life=self._half_life,
            most=self._nearline.popular,
            segments=() if segment else self._segments(wanted),
            most_segments=self._nearline.segments,
        )
        time, ids = after.last[self._name]
        # Of this batch, which was begun before and is not through.
        again = tuple(id for id in last if id in new.ids)
        return dataclasses.replace(after, last={**after.last, self._name: (time, ids + again)})

    def _segments(self, events: Iterable[Told]) -> list[str]:
        return sorted({event.segment for event in events} - {""})[: self._nearline.segments]

    def _lost(self, many: int, tries: int) -> None:
        self._conflicts += many
        if tries == _TRIES - 1:
            raise StoreError(
                f"other writers were quicker {_TRIES} times with {many} values; are there more"
                " nearline services than online.nearline.slots?"
            )
        time.sleep(random.uniform(0, min(_LONGEST_PAUSE, 0.001 * 2 ** min(tries, 6))))


class _New:
    """The new events of a slot, by segment."""

    def __init__(self, events: Iterable[Told]):
        self._all = list(events)
        self.ids = frozenset(event.id for event in self._all)
        self._of: dict[str, list[Told]] = {}
        for event in self._all:
            self._of.setdefault(event.segment, []).append(event)

    def of(self, segment: str) -> Sequence[Told]:
        """ "": all of them."""
        return self._of.get(segment, ()) if segment else self._all


def _further(
    users: Iterable[str], told: Mapping[str, list[Told]], planned: Mapping[str, _Planned]
) -> Iterator[Told]:
    """Events of users that their histories did not have."""
    for user in users:
        added = planned[user].after.added
        yield from (event for event in told[user] if event.entry in added)


def key(slot: int, segment: str = "") -> str:
    """Of counts, of the kind `state`: of all users of a slot, or those of a segment."""
    return f"counts/{slot}/{segment}" if segment else f"counts/{slot}"


def _tries() -> Iterable[int]:
    return range(_TRIES)
