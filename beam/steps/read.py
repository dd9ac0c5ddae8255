"""The first step: raw files → events as integers, distinct values, dead letters and counts."""

import collections
import contextlib
import dataclasses
import functools
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from typing import Any

import apache_beam
import numpy as np
import pyarrow as pa
from apache_beam.pvalue import TaggedOutput
from etils import epath

from podway.beam import headers
from podway.beam.error import portable
from podway.beam.features import fit, select
from podway.beam.features.canonical import kept_text
from podway.beam.features.fingerprint import fingerprints
from podway.beam.formats.checks import Checks
from podway.beam.formats.parse import Columns, accept, parse, text
from podway.beam.formats.reader import read
from podway.beam.formats.recognise import NOTHING, Recognised, clocks, resolve
from podway.beam.formats.rows import EVENT_ID, RawBatch, Rejected, keep_role, reads
from podway.beam.formats.times import SECONDS, Clock
from podway.beam.steps import codes, facts, progress, split
from podway.beam.steps.chunk import Chunk
from podway.framework.config import Data, RandomSplit, SideTable
from podway.framework.config.features import Label, Transform

POSITION_BITS = 40
"""Without a time column, an event's time is its file's number, then its row in so many bits."""

NO_TIME = np.iinfo(np.int64).min
"""Stands for a missing time, as Arrow's nulls do not survive NumPy."""


class ReadEvents(apache_beam.DoFn):
    """(number, file) → (bucket, Chunk of events).

    Text columns are dictionaries of fingerprints; missing numbers NaN, missing times NO_TIME.

    Tagged outputs: "values": ((feature, part), Chunk of fingerprint and value); "counts":
    facts.ReadCounts. Rejected rows go to a file of their own.
    """

    def __init__(
        self, data: Data, files: int, stage: str, latest: int, recognised: Recognised = NOTHING
    ):
        self._data, self._clocks = resolve(data, recognised), clocks(data, recognised)
        self._files, self._stage, self._latest = files, stage, latest

    def process(self, element: tuple[int, str]) -> Iterator[Any]:
        """One file."""
        number, file = element
        name = f"part-{number:05}-of-{self._files:05}.jsonl"
        with portable(), rejects_to(epath.Path(self._stage) / "rejected" / name, file) as reject:
            counts, filtered, notices = (collections.Counter() for _ in range(3))
            rows = 0
            prepare = functools.partial(self._prepare, number, file)
            for fraction, done in _map_in_thread(prepare, read(file, self._data)):
                reject(done.rejected)
                counts.update(row.reason for row in done.rejected)
                filtered.update(done.filtered)
                notices.update(done.notices)
                rows += done.rows
                progress.read(number, fraction, done.rows, done.accepted)
                yield from done.found
        found = dict(counts), dict(filtered), dict(notices)
        columns = headers.of_file(file, self._data)
        yield TaggedOutput("counts", facts.ReadCounts(rows, *found, file, columns))

    def _prepare(self, number: int, file: str, batch: RawBatch) -> tuple[float, "_Done"]:
        """The part of the file that is read, and what becomes of the rows of a batch."""
        data, rows = self._data, len(batch.numbers) + len(batch.rejected)
        batch, filtered, unknown = select.wanted(batch, data, self._clocks, file)
        values, checks = canonical(batch, data.features, file, self._clocks)
        weights, more = select.event_weights(batch, data, self._clocks, file)
        # A random split must not depend on where a row stands.
        ordered = not isinstance(data.split, RandomSplit)
        position = number << POSITION_BITS if ordered else None
        features = values | weights, [*checks, *unknown, *more]
        clock = self._clocks.get("time", SECONDS)
        events, rejected, said = parse(batch, file, position, self._latest, features, clock)
        found, accepted = [], len(events)
        if accepted:
            found, accepted, old = self._encode(events)
            filtered = {**filtered, **old}
        return batch.fraction, _Done(rows, accepted, rejected, filtered, said, found)

    def _encode(self, events: pa.Table) -> tuple[list[Any], int, dict[str, int]]:
        """What the step yields of events, how many of them, and how many others are filtered."""
        found, ids = [], None
        if EVENT_ID in events.column_names:  # nobody asks for the text of these again
            ids = fingerprints(_plain(events[EVENT_ID].combine_chunks())).view(np.int64)
            events = events.drop_columns([EVENT_ID])
        with futures.ThreadPoolExecutor() as threads:
            coded = list(threads.map(_code, events.columns))
        for name, (_, values) in zip(events.column_names, coded, strict=True):
            for part, chunk in codes.parts(values) if values is not None else ():
                found.append(TaggedOutput("values", ((name, part), chunk)))
        columns = {
            name: column for name, (column, _) in zip(events.column_names, coded, strict=True)
        }
        if ids is not None:
            columns[EVENT_ID] = pa.array(ids)
        table, old = pa.table(_with_roles(columns)), {}
        if self._data.max_user_events is not None:
            most, duplicates = self._data.max_user_events, self._data.duplicates
            table, old = split.latest_of_some(table, most, duplicates)
        for bucket, part in _partition(table, self._data.shards):
            found.append((bucket, Chunk(part)))
        return found, len(table), old


def _with_roles(columns: dict[str, pa.Array]) -> dict[str, pa.Array]:
    """With a user and an item for each row: where it has none, a hash of what it holds (of its id,
    where it has one), which spreads rows over buckets, and one item for all."""
    rows = len(columns["time"])
    found = {"item": codes.dictionary(np.zeros(rows, np.int32), np.zeros(1, np.uint64)), **columns}
    if "user" not in columns:
        told = {EVENT_ID: columns[EVENT_ID]} if EVENT_ID in columns else columns
        hashes, index = np.unique(codes.hash_rows(told), return_inverse=True)
        found["user"] = codes.dictionary(index, hashes)
    return found


@dataclasses.dataclass(frozen=True)
class _Done:
    """What became of the rows of a batch: those that are rejected, how many are filtered by which
    rule, what is said of the others, and what the step yields of them."""

    rows: int
    accepted: int
    rejected: list[Rejected]
    filtered: dict[str, int]
    notices: Mapping[str, int]
    found: list[Any]


def _map_in_thread(
    function: Callable[[RawBatch], Any], batches: Iterator[RawBatch]
) -> Iterator[Any]:
    """The function of each batch, in order; it works in a thread beside what its result is for.

    A batch is done with before the next one is asked for: its rows may need the open file.
    """
    with futures.ThreadPoolExecutor(1) as thread:
        before: list[Any] = []
        for batch in batches:
            coming = thread.submit(function, batch)
            yield from before
            before = [coming.result()]
        yield from before


def _plain(text: pa.Array) -> pa.Array:
    """Text that is no dictionary."""
    return text.dictionary_decode() if isinstance(text, pa.DictionaryArray) else text


def _code(column: pa.ChunkedArray) -> tuple[pa.Array, pa.Table | None]:
    """A column without nulls, text as fingerprints; and of text the values (see codes.code)."""
    array = column.combine_chunks()
    if pa.types.is_string(array.type) or pa.types.is_dictionary(array.type):
        return codes.code(array)
    return array.fill_null(np.nan if pa.types.is_floating(array.type) else NO_TIME), None


def _partition(table: pa.Table, buckets: int) -> Iterator[tuple[int, pa.Table]]:
    """(bucket, its events); a user's events all have one bucket."""
    user = table["user"].combine_chunks()
    # Sorting small integers takes one pass a byte.
    of_user = (user.dictionary.to_numpy() % np.uint64(buckets)).astype(np.min_scalar_type(buckets))
    of_row = of_user[user.indices.to_numpy()]
    table = table.take(pa.array(np.argsort(of_row, kind="stable")))
    ends = np.cumsum(np.bincount(of_row, minlength=buckets)).tolist()
    for bucket, (start, end) in enumerate(itertools.pairwise([0, *ends])):
        if start == end:
            continue
        arrays = [column.combine_chunks() for column in table.slice(start, end - start).columns]
        yield (
            bucket,
            pa.table(
                [
                    codes.compact(array) if isinstance(array, pa.DictionaryArray) else array
                    for array in arrays
                ],
                names=table.column_names,
            ),
        )


class ReadTable(apache_beam.DoFn):
    """(number of the side table, number of the file, file) → (of, (table's number, Chunk)).

    The chunk has the key's fingerprint, the row's position, the canonical features, and the columns
    that are kept as text.

    Tagged outputs: "counts": (table's number, facts.ReadCounts); where the table is a catalogue,
    "values": ((of, part), Chunk of fingerprint and value), and "none": the same with a count of 0
    instead of the value.
    """

    def __init__(
        self, tables: Sequence[SideTable], stage: str, recognised: Sequence[Recognised] = ()
    ):
        found = [*recognised, *[NOTHING] * (len(tables) - len(recognised))]
        self._tables = [resolve(table, one) for table, one in zip(tables, found, strict=True)]
        self._clocks = [clocks(table, one) for table, one in zip(tables, found, strict=True)]
        self._stage = stage

    def process(self, element: tuple[int, int, str]) -> Iterator[Any]:
        """One file."""
        table_number, file_number, file = element
        table, clocks = self._tables[table_number], self._clocks[table_number]
        path = epath.Path(self._stage) / "rejected" / f"table-{table_number}-{file_number:05}.jsonl"
        with portable(), rejects_to(path, file) as reject:
            counts, filtered, notices = (collections.Counter() for _ in range(3))
            rows = 0
            for batch in read(file, table):
                rows += len(batch.numbers) + len(batch.rejected)
                batch, others, unknown = select.wanted(batch, table, clocks, file)
                filtered.update(others)
                key, checks = text(batch.columns["key"], "key", file)
                columns, more = canonical(batch, table.features, file, clocks)
                kept, unread = _kept(batch, table.keep, file)
                columns = {"key": key, "row": pa.array(batch.numbers), **columns, **kept}
                found = [*checks, *more, *unread, *unknown]
                accepted, rejected, said = accept(batch, columns, found)
                notices.update(said)
                reject(rejected)
                counts.update(row.reason for row in rejected)
                keys, values = codes.code(accepted["key"].combine_chunks())
                yield table.of, (table_number, Chunk(_without_key(accepted, keys, file_number)))
                if table.catalogue:
                    yield from _list_keys(table.of, values)
        read_counts = facts.ReadCounts(rows, dict(counts), dict(filtered), dict(notices))
        yield TaggedOutput("counts", (table_number, read_counts))


def _without_key(table: pa.Table, keys: pa.DictionaryArray, file: int) -> pa.Table:
    fingerprint = keys.dictionary.to_numpy()[keys.indices.to_numpy()]
    position = table["row"].to_numpy() + (file << POSITION_BITS)
    columns = {name: table[name] for name in table.column_names if name not in ("key", "row")}
    return pa.table({"fingerprint": fingerprint, "position": position, **columns})


def _kept(rows: RawBatch, names: Sequence[str], file: str) -> Columns:
    """The columns that are kept as text, by their roles, and the checks that some rows fail."""
    values: dict[str, pa.Array] = {}
    checks: Checks = []
    for name in names:
        role = keep_role(name)
        values[role], failed = kept_text(rows.columns[role], name, file)
        checks += failed
    return values, [(reason, mask) for reason, mask in checks if mask.any()]


def _list_keys(of: str, values: pa.Table) -> Iterator[TaggedOutput]:
    """Keys as values that the train split has not once."""
    counts = np.zeros(len(values), np.int64)
    none = pa.table({"fingerprint": values["fingerprint"], "count": counts})
    for tag, table in (("values", values), ("none", none)):
        for part, chunk in codes.parts(table):
            yield TaggedOutput(tag, ((of, part), chunk))


def canonical(
    rows: RawBatch, features: Sequence[Transform], file: str, clocks: Mapping[str, Clock]
) -> Columns:
    """The features' values by name (see fit.canonical), and the checks that some fail."""
    values: dict[str, pa.Array] = {}
    checks: Checks = []
    for feature in filter(reads, features):
        clock = clocks.get(feature.name, SECONDS)
        column = rows.columns[feature.name]
        values[feature.name], failed = fit.canonical(column, feature, file, clock)
        checks += failed
        if isinstance(feature, Label):
            missing = values[feature.name].is_null().to_numpy(zero_copy_only=False)
            checks.append((f"missing {feature.name}", missing))
    return values, [(reason, mask) for reason, mask in checks if mask.any()]


@contextlib.contextmanager
def rejects_to(path: epath.Path, file: str) -> Iterator[Any]:
    """A function that writes rejected rows of `file` to `path`, made when there are any."""
    with contextlib.ExitStack() as stack:
        opened: list[Any] = []

        def reject(rejected: Sequence[Rejected]) -> None:
            if rejected and not opened:
                path.parent.mkdir(parents=True, exist_ok=True)
                opened.append(stack.enter_context(path.open("w")))
            for row in rejected:
                record = {"file": file, **dataclasses.asdict(row)}
                print(json.dumps(record, ensure_ascii=False), file=opened[0])

        yield reject
