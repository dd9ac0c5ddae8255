"""A packed history as its columns: read at once, and appended to without a look at each event.

What is new is put at the end of each column, what falls out is cut from its front; so a further
event costs as little in a history of 200 as in one of 2. What events are, history.py says.
"""

import array
import dataclasses
import struct
import sys
from collections.abc import Sequence
from typing import NamedTuple

from podway.online.error import StoreError

FORMAT = 1
UNITS = (1_000_000, 1_000, 1)
"""Microseconds of a step: the largest that all steps are multiples of."""
WIDTHS = "BHIQ"
"""Of the numbers of a column: the narrowest that holds all."""
MOST_TYPES = 255
_HEADER = struct.Struct("<2sBBIq")  # magic, format, width of steps, events, first time
_MAGIC = b"pH"
_BIG = sys.byteorder == "big"


class Entry(NamedTuple):
    """One event of a history."""

    time: int
    """Microseconds since 1970."""
    item: str
    type: str = ""
    """Of the event; "": not known, as of what comes from a dataset."""
    mark: int = 0
    """32 bits of the event's id, which tell events apart that agree in time and item; 0: it has no
    id, as in a dataset."""


@dataclasses.dataclass(frozen=True, slots=True)
class Columns:
    """Events of one user, oldest first. The arrays are never changed.

    Attributes:
      types: of events, each once.
      kinds: which of `types` each event is of; b"" where there is one type, or none.
      first: time of the first event, in microseconds since 1970.
      unit: the place in UNITS of what steps count.
      steps: from the time of each event to that of the next.
      marks: four bytes of each event; b"": none has one.
      lengths: bytes of each event's item.
      items: these bytes.
      last: time of the last event, as `first`.
    """

    types: tuple[str, ...]
    kinds: bytes
    first: int
    unit: int
    steps: "array.array[int]"
    marks: bytes
    lengths: "array.array[int]"
    items: bytes
    last: int


def appended(columns: Columns, events: Sequence[Entry], most: int) -> Columns | None:
    """With events that are later than all that are here, in a history's order, of which the latest
    `most` stay; None: they are not later, or nothing of what is here stays: merge them."""
    last, count = columns.last, len(columns.lengths)
    if not count or events[0].time <= last or len(events) >= most:
        return None
    types, kinds, steps, items = columns.types, bytearray(), [], []
    for event in events:
        if event.type not in types:
            types = (*types, event.type)
        kinds.append(types.index(event.type))
        steps.append(event.time - last)
        items.append(event.item.encode())
        last = event.time
    finer, held = columns.unit, columns.steps
    while any(step % UNITS[finer] for step in steps):
        finer += 1
    unit = UNITS[finer]
    if finer != columns.unit:
        held = numbers([step * UNITS[columns.unit] // unit for step in held])
    steps = _joined(held, [step // unit for step in steps])
    lengths = _joined(columns.lengths, [len(item) for item in items])
    marks = struct.pack(f"<{len(events)}I", *(event.mark for event in events))
    out = max(0, len(lengths) - most)
    return Columns(
        types,
        ((columns.kinds or bytes(count)) + kinds)[out:] if len(types) > 1 else b"",
        columns.first + (unit * sum(steps[:out]) if out else 0),
        finer,
        steps[out:],
        ((columns.marks or bytes(4 * count)) + marks)[4 * out :],
        lengths[out:],
        columns.items[sum(lengths[:out]) if out else 0 :] + b"".join(items),
        last,
    )


def _joined(column: "array.array[int]", more: list[int]) -> "array.array[int]":
    """As wide as what it has, or as it needs to be."""
    try:
        return column + array.array(column.typecode, more)
    except OverflowError:
        return numbers([*column, *more])


def pack(columns: Columns) -> bytes:
    """About 10 bytes for an event and those of its item's id. Raises StoreError."""
    if len(columns.types) > MOST_TYPES:
        raise StoreError(
            f"a history has events of {len(columns.types)} types; {MOST_TYPES} are the most"
        )
    width, longest = (WIDTHS.index(each.typecode) for each in (columns.steps, columns.lengths))
    sizes = columns.unit << 4 | width << 2 | longest
    return b"".join(
        (
            _HEADER.pack(_MAGIC, FORMAT, sizes, len(columns.lengths), columns.first),
            bytes([len(columns.types)]),
            *map(_text, columns.types),
            columns.kinds,
            _bytes(columns.steps),
            b"\1" if columns.marks else b"\0",
            columns.marks,
            _bytes(columns.lengths),
            columns.items,
        )
    )


def parse(content: bytes) -> Columns:
    """What `pack` made bytes of. Raises StoreError: they are no such thing."""
    try:
        return _parsed(content)
    except (struct.error, ValueError, IndexError) as error:
        raise StoreError(
            f"a value of {len(content)} bytes is no whole history ({error}); delete it, and fill"
            " the store again"
        ) from error


def _parsed(content: bytes) -> Columns:
    magic, format, sizes, count, first = _HEADER.unpack_from(content)
    if magic != _MAGIC:
        raise StoreError(f"a value that begins with {content[:2]!r} is no history; delete it")
    if format > FORMAT:
        raise StoreError(
            f"a history has format {format}, and this Podway reads up to {FORMAT}: upgrade Podway"
        )
    at, types = _HEADER.size + 1, []
    for _ in range(content[_HEADER.size]):
        end = at + 1 + content[at]
        types.append(content[at + 1 : end].decode())
        at = end
    kinds = content[at : at + count] if len(types) > 1 else b""
    at += len(kinds)
    steps = _numbers(content, at, max(count - 1, 0), WIDTHS[sizes >> 2 & 3])
    at += steps.itemsize * len(steps)
    marked, at = content[at], at + 1
    marks = content[at : at + 4 * count] if marked else b""
    at += len(marks)
    lengths = _numbers(content, at, count, WIDTHS[sizes & 3])
    at += lengths.itemsize * count
    items = content[at:]
    if len(items) != sum(lengths):
        raise IndexError(f"{at + sum(lengths)} bytes were to be there")
    if (count and not types) or max(kinds, default=0) >= max(1, len(types)):
        raise IndexError("an event has a type that it does not name")
    last = first + UNITS[sizes >> 4] * sum(steps)
    return Columns(tuple(types), kinds, first, sizes >> 4, steps, marks, lengths, items, last)


def numbers(values: Sequence[int]) -> "array.array[int]":
    """A column as narrow as may be."""
    most = max(values, default=0)
    width = next(at for at, bits in enumerate((8, 16, 32, 64)) if most >> bits == 0)
    return array.array(WIDTHS[width], values)


def _numbers(content: bytes, at: int, count: int, kind: str) -> "array.array[int]":
    found = array.array(kind)
    found.frombytes(content[at : at + found.itemsize * count])
    if len(found) != count:
        raise IndexError(f"{count} numbers were to be there")
    if _BIG:
        found.byteswap()
    return found


def _bytes(numbers: "array.array[int]") -> bytes:
    if _BIG:
        numbers = numbers[:]
        numbers.byteswap()
    return numbers.tobytes()


def _text(name: str) -> bytes:
    encoded = name.encode()
    if len(encoded) > 255:
        raise StoreError(f"a type of events has {len(encoded)} bytes ({name[:20]!r}…); 255 at most")
    return bytes([len(encoded)]) + encoded
