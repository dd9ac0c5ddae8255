"""The first step: raw files → events as integers, distinct values, dead letters and counts."""

import collections
import contextlib
import dataclasses
import json
from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam
import numpy as np
import pyarrow as pa
from apache_beam.pvalue import TaggedOutput
from etils import epath

from beam import codes, facts, progress, transform
from beam.chunk import Chunk
from beam.error import portable
from beam.parse import Checks, Columns, accept, parse, text
from beam.read import read
from beam.rows import Rejected, Rows, reads
from framework.config import Data, SideTable
from framework.features import Label, Transform

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

    def __init__(self, data: Data, files: int, stage: str, latest: int):
        self._data, self._files, self._stage, self._latest = data, files, stage, latest

    def process(self, element: tuple[int, str]) -> Iterator[Any]:
        """One file."""
        number, file = element
        name = f"part-{number:05}-of-{self._files:05}.jsonl"
        with portable(), letters(epath.Path(self._stage) / "rejected" / name, file) as reject:
            counts = collections.Counter()
            rows = 0
            for batch in read(file, self._data):
                features = canonical(batch, self._data.features, file)
                events, rejected = parse(
                    batch, file, number << POSITION_BITS, self._latest, features
                )
                reject(rejected)
                counts.update(row.reason for row in rejected)
                rows += len(events) + len(rejected)
                progress.read(number, batch.fraction, len(events) + len(rejected), len(events))
                if len(events):
                    yield from self._encode(events)
        yield TaggedOutput("counts", facts.ReadCounts(rows, dict(counts)))

    def _encode(self, events: pa.Table) -> Iterator[Any]:
        columns: dict[str, Any] = {}
        for name in events.column_names:
            column = events[name].combine_chunks()
            if pa.types.is_string(column.type) or pa.types.is_dictionary(column.type):
                columns[name], values = codes.code(column)
                for part, chunk in codes.parts(values):
                    yield TaggedOutput("values", ((name, part), chunk))
            elif pa.types.is_floating(column.type):
                columns[name] = column.fill_null(np.nan)
            else:
                columns[name] = column.fill_null(NO_TIME)
        for bucket, part in _partition(columns, self._data.shards):
            yield bucket, Chunk(part)


def _partition(columns: dict[str, Any], buckets: int) -> Iterator[tuple[int, pa.Table]]:
    """(bucket, its events); a user's events all have one bucket."""
    user = columns["user"]
    of_user = (user.dictionary.to_numpy() % np.uint64(buckets)).astype(np.int32)
    of_row = of_user[user.indices.to_numpy()]
    table = pa.table(columns)
    for bucket in range(buckets):
        if not (mine := of_row == bucket).any():
            continue
        part = table.filter(pa.array(mine))
        arrays = [column.combine_chunks() for column in part.columns]
        yield (
            bucket,
            pa.table(
                [
                    codes.compact(array) if isinstance(array, pa.DictionaryArray) else array
                    for array in arrays
                ],
                names=part.column_names,
            ),
        )


class ReadTable(apache_beam.DoFn):
    """(number of the side table, number of the file, file) → (of, (table's number, Chunk)).

    The chunk has the key's fingerprint, the row's position and the canonical features.

    Tagged outputs: "counts": (table's number, facts.ReadCounts); where the table is a catalogue,
    "values": ((of, part), Chunk of fingerprint and value), and "none": the same with a count of 0
    instead of the value.
    """

    def __init__(self, tables: Sequence[SideTable], stage: str):
        self._tables, self._stage = tables, stage

    def process(self, element: tuple[int, int, str]) -> Iterator[Any]:
        """One file."""
        at, number, file = element
        table = self._tables[at]
        path = epath.Path(self._stage) / "rejected" / f"table-{at}-{number:05}.jsonl"
        with portable(), letters(path, file) as reject:
            counts = collections.Counter()
            rows = 0
            for batch in read(file, table):
                key, checks = text(batch.columns["key"], "key", file)
                columns, more = canonical(batch, table.features, file)
                columns = {"key": key, "row": pa.array(batch.numbers), **columns}
                accepted, rejected = accept(batch, columns, [*checks, *more])
                reject(rejected)
                counts.update(row.reason for row in rejected)
                rows += len(accepted) + len(rejected)
                keys, values = codes.code(accepted["key"].combine_chunks())
                yield table.of, (at, Chunk(_keyed(accepted, keys, number)))
                if table.catalogue:
                    yield from _listed(table.of, values)
        yield TaggedOutput("counts", (at, facts.ReadCounts(rows, dict(counts))))


def _keyed(table: pa.Table, keys: pa.DictionaryArray, file: int) -> pa.Table:
    fingerprint = keys.dictionary.to_numpy()[keys.indices.to_numpy()]
    position = table["row"].to_numpy() + (file << POSITION_BITS)
    columns = {name: table[name] for name in table.column_names if name not in ("key", "row")}
    return pa.table({"fingerprint": fingerprint, "position": position, **columns})


def _listed(of: str, values: pa.Table) -> Iterator[TaggedOutput]:
    """Keys as values that the train split has not once."""
    counts = np.zeros(len(values), np.int64)
    none = pa.table({"fingerprint": values["fingerprint"], "count": counts})
    for tag, table in (("values", values), ("none", none)):
        for part, chunk in codes.parts(table):
            yield TaggedOutput(tag, ((of, part), chunk))


def canonical(rows: Rows, features: Sequence[Transform], file: str) -> Columns:
    """The features' values by name (see transform.canonical), and the checks that some fail."""
    values: dict[str, pa.Array] = {}
    checks: Checks = []
    for feature in filter(reads, features):
        values[feature.name], failed = transform.canonical(
            rows.columns[feature.name], feature, file
        )
        checks += failed
        if isinstance(feature, Label):
            missing = values[feature.name].is_null().to_numpy(zero_copy_only=False)
            checks.append((f"missing {feature.name}", missing))
    return values, [(reason, mask) for reason, mask in checks if mask.any()]


@contextlib.contextmanager
def letters(path: epath.Path, file: str) -> Iterator[Any]:
    """A function that writes rejected rows of `file` to `path`, made when there are any."""
    with contextlib.ExitStack() as stack:
        opened: list[Any] = []

        def reject(rejected: Sequence[Rejected]) -> None:
            if rejected and not opened:
                path.parent.mkdir(parents=True, exist_ok=True)
                opened.append(stack.enter_context(path.open("w")))
            for row in rejected:
                letter = {"file": file, **dataclasses.asdict(row)}
                print(json.dumps(letter, ensure_ascii=False), file=opened[0])

        yield reject
