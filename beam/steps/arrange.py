"""The middle steps: a bucket's events sorted, filtered, split, and its train split counted."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam
import numpy as np
import pyarrow as pa
from apache_beam.pvalue import TaggedOutput

from podway.beam.error import portable
from podway.beam.features import fit
from podway.beam.formats.rows import reads
from podway.beam.statistics import quantiles
from podway.beam.steps import codes, masks, progress, split, stored
from podway.beam.steps.chunk import Chunk
from podway.beam.steps.kcore import k_core
from podway.beam.steps.read import NO_TIME
from podway.framework.config import Data

KeptIds = Mapping[str, Chunk] | None
"""Fingerprints of the users and items that stay, rising; None: all of them."""

_NOTHING = pa.array([], pa.int64())

ONE = 0
"""The key of what goes to one worker."""

TIMES = 1 << 16
"""Distinct times that are told apart; of more, some neighbours count as one (see quantiles.py)."""


class Arrange(apache_beam.DoFn):
    """(bucket, Chunks of events) → (bucket, sorted Chunk).

    Tagged outputs: "duplicates" and "old", how many events were dropped as such.
    """

    def __init__(self, data: Data):
        self._data = data

    def process(self, element: tuple[int, Iterable[Chunk]]) -> Iterator[Any]:
        """One bucket."""
        bucket, chunks = element
        table, dropped = split.arrange(chunks, self._data.seed, self._data.duplicates)
        progress.advance("arrange", after="read", rows=len(table) + dropped)
        yield TaggedOutput("duplicates", dropped)
        if self._data.max_user_events is not None:
            table, dropped = split.latest(table, self._data.max_user_events)
            yield TaggedOutput("old", dropped)
        yield bucket, Chunk(table)


def edges(bucket: int, chunk: Chunk) -> tuple[int, Chunk]:
    """Users and items alone, for one worker."""
    return ONE, Chunk(chunk.table().select(["user", "item"]))


class KCore(apache_beam.DoFn):
    """All events → ("user", Chunk) and ("item", Chunk): who stays."""

    def __init__(self, min_user_events: int, min_item_events: int):
        self._minima = min_user_events, min_item_events

    def process(self, element: tuple[int, Iterable[Chunk]]) -> Iterator[tuple[str, Chunk]]:
        """All of them."""
        users, items = k_core(element[1], *self._minima)
        yield "user", Chunk(pa.table({"fingerprint": users}))
        yield "item", Chunk(pa.table({"fingerprint": items}))


def mask_of_kept(table: pa.Table, kept_ids: KeptIds) -> pa.Array | None:
    """Mask of the events that stay; None: all of them. Events as they are stored say it."""
    if stored.KEPT in table.column_names:
        return table[stored.KEPT].combine_chunks()
    if kept_ids is None:
        return None
    users, items = (kept_ids[name].table()["fingerprint"].to_numpy() for name in ("user", "item"))
    return split.of_these(table, users, items)


class Times(apache_beam.DoFn):
    """(bucket, events) → quantiles.Sketch of the kept events' times."""

    def process(self, element: tuple[int, Chunk], kept_ids: KeptIds) -> Iterator[quantiles.Sketch]:
        """One bucket."""
        table = element[1].table()
        mask = mask_of_kept(table, kept_ids)
        times = (table if mask is None else table.filter(mask))["time"].to_numpy()
        if len(times):
            yield quantiles.of(times, limit=TIMES)


class Strata(apache_beam.DoFn):
    """(bucket, events) → {class: quantiles.Sketch of the places of its rows} (see masks.py)."""

    def __init__(self, data: Data):
        self._data = data

    def process(
        self, element: tuple[int, Chunk], kept_ids: KeptIds
    ) -> Iterator[dict[int, quantiles.Sketch]]:
        """One bucket."""
        table = element[1].table()
        mask = mask_of_kept(table, kept_ids)
        events = split.events(table if mask is None else table.filter(mask))
        with portable():
            yield masks.strata(self._data, events)


def cut_strata(sketches: Sequence[Any], data: Data) -> list[list[int]]:
    """See masks.cut."""
    with portable():
        return masks.cut(sketches, data)


def cut(sketches: Sequence[quantiles.Sketch], shares: tuple[float, ...]) -> list[int]:
    """The times at these shares of the events; exact up to TIMES distinct times."""
    if not sketches:
        return [0 for _ in shares]
    whole = quantiles.merge(sketches)
    return split.quantiles(whole.low.astype(np.int64), whole.counts, shares)


class Count(apache_beam.DoFn):
    """(bucket, events) → (bucket, the events that stay); all of them are stored on the way.

    Events that come as they are stored already have the tag "untouched" instead.

    Further tags, of the train split: "counts": ((feature, part), Chunk of fingerprint and count);
    "states": (feature, what fit.observe says of its numbers). And "filtered": events that the
    k-core dropped.
    """

    def __init__(self, data: Data, stage: str):
        self._data, self._stage = data, stage

    def process(self, element: tuple[int, Chunk], kept_ids: KeptIds, cuts: Any) -> Iterator[Any]:
        """One bucket."""
        bucket, chunk = element
        everything = chunk.table()
        kept = mask_of_kept(everything, kept_ids)
        table = everything if kept is None else everything.filter(kept)
        if stored.KEPT in everything.column_names:
            table = table.drop_columns([stored.KEPT])
            yield TaggedOutput("untouched", (bucket, Chunk(table)))
        else:
            if self._data.extendable:
                with portable():
                    stored.write_events(self._stage, bucket, self._data.shards, everything, kept)
            yield bucket, chunk if kept is None else Chunk(table)
        yield TaggedOutput("filtered", len(everything) - len(table))
        found = split.events(table)
        train = masks.of_train(self._data, found, cuts)
        for name in table.column_names:
            column = table[name].combine_chunks()
            if pa.types.is_dictionary(column.type) and name not in self._data.columns.absent:
                for part, counts in codes.parts(_count(column, train)):
                    yield TaggedOutput("counts", ((name, part), counts))
        for feature in self._data.features:
            if not reads(feature):
                yield TaggedOutput("states", (feature.name, fit.observe(feature, _NOTHING)))
            elif fit.kind(feature) in ("number", "time"):
                values = number(table[feature.name].combine_chunks().filter(pa.array(train)))
                yield TaggedOutput("states", (feature.name, fit.observe(feature, values)))


def _count(column: pa.DictionaryArray, train: np.ndarray) -> pa.Table:
    """(fingerprint, count) of the values that occur, in the order of their fingerprints."""
    values = column.dictionary.to_numpy()
    counts = np.bincount(column.indices.to_numpy()[train], minlength=len(values))
    order = np.argsort(values)
    order = order[counts[order] > 0]
    return pa.table({"fingerprint": values[order], "count": counts[order]})


def number(values: pa.Array) -> pa.Array:
    """Numbers or times as the transforms take them: what is missing is null."""
    if pa.types.is_floating(values.type):
        return pa.array(values.to_numpy(zero_copy_only=False), from_pandas=True)
    array = values.to_numpy()
    return pa.array(array, mask=array == NO_TIME)
