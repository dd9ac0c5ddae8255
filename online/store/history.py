"""A user's events, packed: what a model is asked about, in the order that its training had.

    history = unpack(value.content)
    history.items, history.seconds          # what a request takes as `history` and `times`
    value = pack(merge(history, [Entry(time, "i7", "play", mark(event.id))], most=200))

The order is that of a dataset (beam/steps/split.py): by time, and at one time by the items'
fingerprints. `merge` gives the same history in whatever order, and however often, events come.
"""

import dataclasses
import hashlib
import itertools
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import farmhash

from podway.online.error import StoreError
from podway.online.store import columns
from podway.online.store.columns import UNITS, Columns, Entry

MICRO = 1_000_000


@dataclasses.dataclass(frozen=True)
class History:
    """Events of one user, oldest first. Made by `merge`, `unpack` and `of`."""

    entries: tuple[Entry, ...] = ()

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def items(self) -> list[str]:
        """Of the events."""
        return [entry.item for entry in self.entries]

    @property
    def seconds(self) -> list[int]:
        """Their times in whole seconds since 1970, as a served model takes them."""
        return [entry.time // MICRO for entry in self.entries]

    def before(self, time: float) -> "History":
        """The events before a time, in seconds since 1970: what was known of the user then."""
        end = round(time * MICRO)
        return History(tuple(entry for entry in self.entries if entry.time < end))

    def of_types(self, types: Iterable[str]) -> "History":
        """The events of these types."""
        wanted = frozenset(types)
        return History(tuple(entry for entry in self.entries if entry.type in wanted))

    def without_duplicates(self) -> "History":
        """One event of each time and item: data.duplicates = "drop"."""
        seen = {(entry.time, entry.item): entry for entry in reversed(self.entries)}
        return History(tuple(sorted(seen.values(), key=_order)))


EMPTY = History()


def mark(id: str) -> int:
    """32 bits of an event's id, never 0."""
    return int.from_bytes(hashlib.blake2b(id.encode(), digest_size=4).digest(), "little") or 1


def of(items: Sequence[str], times: Sequence[int], type: str = "") -> History:
    """Events without ids, in any order; times in microseconds since 1970."""
    return merge(EMPTY, (Entry(t, i, type) for t, i in zip(times, items, strict=True)), None)


def merge(history: History, entries: Iterable[Entry], most: int | None) -> History:
    """The history with further events, of which the latest `most` stay; None: all.

    An event is the same as another if time, item and mark are. One without a mark may be any event
    of its time and item: of these there are then as many as the one side has that knows of more.
    So merging is idempotent, and any order gives the same.
    """
    added = sorted(_once(entries), key=_order)
    if not added:
        return _latest(history.entries, most)
    old = history.entries
    if not old or old[-1].time < added[0].time:
        return _latest((*old, *added), most)
    groups: dict[tuple[int, str], tuple[list[Entry], list[Entry]]] = {}
    for side, these in enumerate((old, added)):
        for entry in these:
            groups.setdefault((entry.time, entry.item), ([], []))[side].append(entry)
    merged = [entry for sides in groups.values() for entry in _joined(*sides)]
    merged.sort(key=_order)
    return _latest(tuple(merged), most)


def kept(
    history: History, entries: Iterable[Entry], most: int, duplicates: Literal["keep", "drop"]
) -> History:
    """As `merge`, and of events of one time and item one alone where `duplicates` says "drop"."""
    if duplicates == "keep":
        return merge(history, entries, most)
    return _latest(merge(history, entries, None).without_duplicates().entries, most)


def _once(entries: Iterable[Entry]) -> list[Entry]:
    """Without what is there twice; of events without marks each counts."""
    known: dict[tuple[int, str, int], Entry] = {}
    nameless = []
    for entry in entries:
        if entry.mark:
            same = entry[0], entry[1], entry[3]
            known[same] = max(entry, known.get(same, entry))
        else:
            nameless.append(entry)
    return [*nameless, *known.values()]


def _joined(one: list[Entry], other: list[Entry]) -> list[Entry]:
    """Events of one time and item, of two sides."""
    if not other or not one:
        return one or other
    marked: dict[int, Entry] = {}
    for entry in (*one, *other):
        if entry.mark:
            before = marked.get(entry.mark)
            marked[entry.mark] = entry if before is None else max(before, entry)
    nameless = [entry for entry in (*one, *other) if not entry.mark]
    missing = max(len(one), len(other)) - len(marked)
    return [*marked.values(), *([max(nameless)] * missing if nameless else [])]


def _latest(entries: tuple[Entry, ...], most: int | None) -> History:
    return History(entries if most is None or len(entries) <= most else entries[-most:])


_fingerprint: Callable[[str], int] = farmhash.fingerprint64


class _Tie:
    """Compares like an item's fingerprint, which is computed where times agree only."""

    __slots__ = ("item", "value")

    def __init__(self, item: str):
        self.item, self.value = item, -1

    def _of(self) -> int:
        if self.value < 0:
            self.value = _fingerprint(self.item)
        return self.value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Tie) and self.item == other.item

    def __lt__(self, other: "_Tie") -> bool:
        return (self._of(), self.item) < (other._of(), other.item)


def _order(entry: Entry) -> tuple[int, _Tie, int, str]:
    return entry.time, _Tie(entry.item), entry.mark, entry.type


def pack(history: History) -> bytes:
    """The history as bytes: about 10 for an event and those of its item's id."""
    return columns.pack(as_columns(history))


def as_columns(history: History) -> Columns:
    """The history's columns, as narrow as may be."""
    entries = history.entries
    steps = [b.time - a.time for a, b in itertools.pairwise(entries)]
    unit = next(i for i, unit in enumerate(UNITS) if all(step % unit == 0 for step in steps))
    types = tuple(dict.fromkeys(entry.type for entry in entries))
    items = [entry.item.encode() for entry in entries]
    place = {name: at for at, name in enumerate(types)}
    many = 1 < len(types) <= columns.MOST_TYPES
    marked = any(entry.mark for entry in entries)
    return Columns(
        types,
        bytes(place[entry.type] for entry in entries) if many else b"",
        entries[0].time if entries else 0,
        unit,
        columns.numbers([step // UNITS[unit] for step in steps]),
        struct.pack(f"<{len(entries)}I", *(each.mark for each in entries)) if marked else b"",
        columns.numbers([len(item) for item in items]),
        b"".join(items),
        entries[-1].time if entries else 0,
    )


def unpack(content: bytes) -> History:
    """The history that `pack` made bytes of. Raises StoreError: they are no such thing."""
    found = columns.parse(content)
    count, unit = len(found.lengths), UNITS[found.unit]
    times = itertools.accumulate((step * unit for step in found.steps), initial=found.first)
    ends = itertools.accumulate(found.lengths, initial=0)
    try:
        items = [found.items[start:end].decode() for start, end in itertools.pairwise(ends)]
        marks = struct.unpack(f"<{count}I", found.marks) if found.marks else (0,) * count
    except (UnicodeDecodeError, struct.error) as error:
        raise StoreError(
            f"a value of {len(content)} bytes is no whole history ({error}); delete it, and fill"
            " the store again"
        ) from error
    kinds = [found.types[kind] for kind in found.kinds] if found.kinds else found.types * count
    return History(tuple(map(Entry, times, items, kinds, marks)))  # `times` ends with `items`
