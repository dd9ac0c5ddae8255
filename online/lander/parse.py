"""Messages → a table of events, many at once.

Arrow reads what is plainly right: five times as quick as one message after the other. Whatever is
not plain goes to the door (events/), message by message, and its word counts; so the two ways give
the same events.
"""

import dataclasses
import io
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.json

from podway.framework.config.online import Field
from podway.online.events.event import Event
from podway.online.lander import unknown
from podway.online.lander.door import FIXED, UNKNOWN, Door

pc: Any = pyarrow.compute  # which makes its functions when it is imported

_LARGEST = 2.0**63
"""Of numbers: Arrow takes a longer integer for a float."""
_PARTS, _FEW = 16, 32
"""Messages with something wrong among them are read again in so many parts, until they are few."""
_NEWLINE, _OPEN, _CLOSE, _LIST = b"\n{}["
_DEEPEST = 64
"""Brackets in a message that Arrow may see: of a few thousand inside of one another it dies."""
_RAW = {"version": pa.int64(), "time": pa.float64()}


@dataclasses.dataclass(frozen=True)
class Parsed:
    """Attributes:
    table: the events, with the columns of the door's schema.
    rows: which message each row is.
    bad: (which message, what is wrong with it).
    """

    table: pa.Table
    rows: np.ndarray
    bad: Sequence[tuple[int, str]]


def parse(values: Sequence[bytes], door: Door) -> Parsed:
    """The events of messages, in their order."""
    plain, rows, rest = _quick(values, np.arange(len(values)), door)
    if not len(rest):
        return Parsed(plain, rows, ())
    slow, judged, bad = _judged(values, rest, door)
    both = np.concatenate([rows, judged])
    order = np.argsort(both, kind="stable")
    table = pa.concat_tables([plain, slow]).take(pa.array(order))
    return Parsed(table, both[order], bad)


def _quick(
    values: Sequence[bytes], mine: np.ndarray, door: Door
) -> tuple[pa.Table, np.ndarray, np.ndarray]:
    """What Arrow reads of these messages: the events, which they are, and which are left."""
    if not len(mine):
        return door.schema.empty_table(), mine, mine
    lines = values if len(mine) == len(values) else [values[at] for at in mine]
    joined = b"\n".join(lines)
    shaped = _shaped(lines, joined, door.events.most_bytes)
    if not shaped.all():
        table, rows, rest = _quick(values, mine[shaped], door)
        return table, rows, np.concatenate([mine[~shaped], rest])
    raw, alone = _read(joined, lines, door)
    if raw is not None:
        good = _plain(raw, door)
        known = {*FIXED, *door.fields}
        names = [name for name in raw.column_names if name not in known]
        more, odd = unknown.texts(raw, names, lines, alone & good, known)
        good[odd] = False
        table = _typed(raw, more, door)
        return table if good.all() else table.filter(pa.array(good)), mine[good], mine[~good]
    if len(mine) <= _FEW:
        return door.schema.empty_table(), mine[:0], mine
    found = [_quick(values, part, door) for part in np.array_split(mine, _PARTS) if len(part)]
    tables, rows, rest = zip(*found, strict=True)
    return pa.concat_tables(tables), np.concatenate(rows), np.concatenate(rest)


def _shaped(lines: Sequence[bytes], joined: bytes, most: int) -> np.ndarray:
    """Mask of the lines that may be shown to Arrow: each an object, by its ends, of one line."""
    text = np.frombuffer(joined, np.uint8)
    ends = np.append(np.flatnonzero(text == _NEWLINE), len(text))
    if len(ends) == len(lines) and np.diff(ends, prepend=-1).min() > 2:
        starts = np.append(0, ends[:-1] + 1)
        shaped = (text[starts] == _OPEN) & (text[ends - 1] == _CLOSE) & (ends - starts <= most)
    else:
        shaped = np.fromiter(
            (
                line[:1] == b"{" and line[-1:] == b"}" and len(line) <= most and b"\n" not in line
                for line in lines
            ),
            bool,
            len(lines),
        )
    if np.count_nonzero(text == _OPEN) + np.count_nonzero(text == _LIST) > len(lines) + _DEEPEST:
        few = (line.count(b"{") + line.count(b"[") <= _DEEPEST for line in lines)
        shaped &= np.fromiter(few, bool, len(lines))
    if b"\\" in joined and b"\\u0000" in joined:
        shaped &= np.fromiter((b"\\u0000" not in line for line in lines), bool, len(lines))
    return shaped


def _read(joined: bytes, lines: Sequence[bytes], door: Door) -> tuple[pa.Table | None, np.ndarray]:
    """A row for each line, None where something is not as the columns are; and a mask of the rows
    whose unknown fields are to be read alone.

    Each line begins and ends as an object does and none is open at an end of a line, so that
    lines can only be cut as they are: JSON has no such end inside of text.
    """
    alone = np.zeros(len(lines), bool)
    try:
        if not joined.isascii():
            joined.decode()
    except UnicodeDecodeError:
        return None, alone
    if b"\\" in joined:
        alone = np.fromiter((b"\\" in line for line in lines), bool, len(lines))
    raw = _seen(joined, door)
    if raw is None:  # perhaps an unknown field is now a number and now a text
        raw, alone = _arrow(joined, _columns(door), "ignore"), np.ones(len(lines), bool)
    return (None if raw is None or len(raw) != len(lines) else raw), alone


def _columns(door: Door) -> dict[str, pa.DataType]:
    """What Arrow is to take the fields for."""
    return {name: _RAW.get(name, kind) for name, kind in (FIXED | dict(door.fields)).items()}


def _seen(joined: bytes, door: Door) -> pa.Table | None:
    """All columns of the door, and the unknown ones."""
    columns = _columns(door)
    fields = {name: kind for name, kind in columns.items() if name in FIXED or name in door.seen}
    raw = _arrow(joined, fields, "infer")
    fresh = columns.keys() & set(_beyond(raw, fields)) if raw is not None else set[str]()
    if len(fields) < len(columns) and (raw is None or fresh):
        fields, raw = columns, _arrow(joined, columns, "infer")
        if raw is not None:
            there = {name for name in door.fields if raw[name].null_count < len(raw)}
            door.seen.update(there | fresh)
    if raw is None:
        return None
    # A text that looks like a time is none to the sender.
    times = [name for name in _beyond(raw, fields) if pa.types.is_timestamp(raw[name].type)]
    if times:
        again = _arrow(joined, fields | dict.fromkeys(times, pa.string()), "infer")
        raw = raw if again is None else again
    for name in columns.keys() - fields.keys():
        raw = raw.append_column(name, pa.nulls(len(raw), columns[name]))
    return raw


def _beyond(raw: pa.Table, fields: Mapping[str, pa.DataType]) -> list[str]:
    """Columns that were not asked for."""
    return [name for name in raw.column_names if name not in fields]


def _arrow(joined: bytes, fields: dict[str, pa.DataType], beyond: str) -> pa.Table | None:
    try:
        return pyarrow.json.read_json(
            io.BytesIO(joined),
            pyarrow.json.ReadOptions(use_threads=False, block_size=len(joined) + 1),
            pyarrow.json.ParseOptions(
                explicit_schema=pa.schema(list(fields.items())), unexpected_field_behavior=beyond
            ),
        )
    except (pa.ArrowException, RecursionError):
        return None


def _plain(raw: pa.Table, door: Door) -> np.ndarray:
    """Mask of the rows that the door would take as they are; of the others it is asked."""
    events = door.events
    good, known = np.ones(len(raw), bool), np.zeros(len(raw), bool)
    for name in ("id", "user", "item"):
        lengths = pc.fill_null(pc.binary_length(raw[name]), -1).to_numpy()
        good &= (lengths >= (0 if name == "item" else 1)) & (lengths <= events.most_letters)
    times, versions = raw["time"].to_numpy(), pc.fill_null(raw["version"], -1).to_numpy()
    with np.errstate(invalid="ignore"):
        good &= (times >= events.oldest_time) & (times <= time.time() + events.future_seconds)
    for kind in events.types:
        mine = pc.fill_null(pc.equal(raw["type"], kind.name), False).to_numpy()
        if not mine.any():
            continue
        mine &= (versions >= kind.oldest) & (versions < 2**31)
        if kind.item:
            mine &= pc.fill_null(pc.binary_length(raw["item"]), 0).to_numpy() > 0
        for field in kind.fields:
            mine &= _allowed(raw[field.name], field, versions)
        known |= mine
    for name, kind in door.fields.items():
        if pa.types.is_floating(kind) and raw[name].null_count < len(raw):
            known &= pc.fill_null(pc.less(pc.abs(raw[name]), _LARGEST), True).to_numpy()
    return good & known


def _allowed(column: pa.ChunkedArray, field: Field, versions: np.ndarray) -> np.ndarray:
    """Mask of the rows whose value of a field of their type is plainly right."""
    there = pc.is_valid(column).to_numpy()
    found = there | (versions < field.since) if field.required else np.ones(len(column), bool)
    if not there.any():
        return found
    if pa.types.is_list(column.type):
        inner = pc.list_flatten(column)
        doubtful = inner.null_count > 0 or field.least is not None or field.most is not None
        if pa.types.is_floating(inner.type) and not doubtful:
            doubtful = not pc.all(pc.less(pc.abs(inner), _LARGEST), min_count=0).as_py()
        return found & ~there if doubtful else found
    for bound, compare in ((field.least, pc.greater_equal), (field.most, pc.less_equal)):
        if bound is not None:
            found &= pc.fill_null(compare(column, bound), True).to_numpy()
    return found


def _typed(raw: pa.Table, more: pa.Array | pa.ChunkedArray, door: Door) -> pa.Table:
    """The columns of the shards."""
    columns = {name: raw[name] for name in (*FIXED, *door.fields)}
    columns["version"] = raw["version"].cast(pa.int32(), safe=False)
    columns["time"] = _times(raw["time"].to_numpy())
    columns[UNKNOWN] = more
    return pa.table(columns, schema=door.schema)


def _times(seconds: np.ndarray) -> pa.Array:
    """Of what is no time, any one: such a row is none of the good ones."""
    with np.errstate(invalid="ignore"):
        micro = np.rint(np.where(np.abs(seconds) < 1e12, seconds, 0.0) * 1e6).astype(np.int64)
    return pa.array(micro, pa.int64()).cast(FIXED["time"])


def _judged(
    values: Sequence[bytes], mine: np.ndarray, door: Door
) -> tuple[pa.Table, np.ndarray, list[tuple[int, str]]]:
    """The same, message by message, by the door's word."""
    events, rows, bad = list[dict[str, Any]](), list[int](), list[tuple[int, str]]()
    for at in sorted(mine.tolist()):
        found = door.judge(values[at])
        if isinstance(found, Event):
            events.append(_row(found, door))
            rows.append(at)
        else:
            bad.append((at, found))
    names = (*FIXED, *door.fields, UNKNOWN)
    columns = {name: [event.get(name) for event in events] for name in names}
    arrays = {
        name: _times(np.array(column, np.float64))
        if name == "time"
        else pa.array(column, door.schema.field(name).type)
        for name, column in columns.items()
    }
    return pa.table(arrays, schema=door.schema), np.array(rows, np.int64), bad


def _row(event: Event, door: Door) -> dict[str, Any]:
    found = {name: getattr(event, name) for name in FIXED}
    more = {}
    for name, value in event.fields.items():
        if value is None:
            continue
        if name in door.fields and _fits(value, door.fields[name]):
            found[name] = _cast(value, door.fields[name])
        else:
            more[name] = value
    found[UNKNOWN] = unknown.text(more)
    return found


def _fits(value: Any, kind: pa.DataType) -> bool:
    """Whether a value of JSON is one of a column."""
    if pa.types.is_list(kind):
        return isinstance(value, list) and all(_fits(one, kind.value_type) for one in value)
    if isinstance(value, bool):
        return pa.types.is_boolean(kind)
    if isinstance(value, str):
        return pa.types.is_string(kind)
    if isinstance(value, int):
        some = pa.types.is_integer(kind) or pa.types.is_floating(kind)
        return some and -(2**63) <= value < 2**63
    return isinstance(value, float) and pa.types.is_floating(kind)


def _cast(value: Any, kind: pa.DataType) -> Any:
    """A value that fits, as Arrow takes it: to it a large integer is no float."""
    if pa.types.is_list(kind):
        return [_cast(one, kind.value_type) for one in value]
    return float(value) if pa.types.is_floating(kind) else value
