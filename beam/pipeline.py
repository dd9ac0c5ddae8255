"""The Beam pipeline: raw files → shards, vocabularies, statistics and a summary.

Elements are Arrow tables of many rows. Text becomes integer codes early; users are spread over
buckets by a hash; each bucket is sorted, split and written by itself.

    read ─▶ events ─▶ encode ─▶ group by bucket ─▶ arrange, split, write ─▶ summarise
              │         ▲ └─▶ k-core ┐                ▲
              └─▶ codes ┴────────────┴─▶ number ──────┘

One worker must be able to hold the distinct values of a feature, one bucket's events and, where
k-core is on, 16 bytes for every event.
"""

import collections
import contextlib
import dataclasses
import json
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam
import numpy as np
import polars as pl
import pyarrow as pa
from apache_beam.pvalue import AsList, AsSingleton, TaggedOutput
from etils import epath

from beam import progress, shards, summary, table_coder, vocabulary
from beam.error import portable
from beam.kcore import k_core
from beam.parse import parse
from beam.read import read
from beam.split import arrange, examples, quantiles
from framework.config import Data, GlobalTime
from framework.schema import SPLITS

POSITION_BITS = 40
"""Without a time column, an event's time is its file's number, then its row in so many bits."""

Bucketed = tuple[int, pa.Table]
Node = Any
"""A PCollection; Beam types the results of its operators more loosely than its arguments."""

assert table_coder.TableCoder  # imported to register it


def assemble(pipeline: apache_beam.Pipeline, data: Data, files: list[str], stage: str) -> Node:
    """Adds the whole pipeline, which writes below the directory `stage`.

    Returns one element, when all is written: {"splits": …, "report": …}, the manifest's details
    (see summary.layout and summary.report).
    """
    events, read_counts = (
        pipeline
        | "files" >> apache_beam.Create(list(enumerate(files)))
        | "spread" >> apache_beam.Reshuffle()
        | "read"
        >> apache_beam.ParDo(_Read(data, len(files), stage))
        .with_output_types(pa.Table)
        .with_outputs("counts", main="events")
    )
    users = _codes(events, "user") | "bucket users" >> apache_beam.Map(
        _bucket, data
    ).with_output_types(pa.Table)
    items = _codes(events, "item")
    encoded = events | "encode" >> apache_beam.ParDo(
        _Encode(), AsSingleton(users), AsSingleton(items)
    ).with_output_types(Bucketed)

    user_counts, item_counts = _k_core(encoded, users, items, data)
    user_ids, user_totals = _number("user", users, user_counts, None, stage)
    item_ids, item_totals = _number("item", items, item_counts, data.max_items, stage)
    ids = AsSingleton(user_ids), AsSingleton(item_ids)

    cuts = _cuts(encoded, ids, data.split) if isinstance(data.split, GlobalTime) else None
    facts = (
        encoded
        | "group by bucket" >> apache_beam.GroupByKey()
        | "write" >> apache_beam.ParDo(_Write(data, stage), AsSingleton(users), *ids, cuts)
        | "all facts" >> apache_beam.combiners.ToList()
    )
    totals = (user_totals, item_totals) | "totals" >> apache_beam.Flatten()
    return facts | "summarise" >> apache_beam.ParDo(
        _Summarise(data, stage), AsList(read_counts), AsList(totals)
    )


class _Read(apache_beam.DoFn):
    """(number, file) → events; rejected rows go to a file of their own, counts to "counts"."""

    def __init__(self, data: Data, files: int, stage: str):
        self._data, self._files, self._stage = data, files, stage

    def process(self, element: tuple[int, str]) -> Iterator[Any]:
        number, file = element
        with portable():
            yield from self._read(number, file)

    def _read(self, number: int, file: str) -> Iterator[Any]:
        path = epath.Path(self._stage) / "rejected" / f"part-{number:05}-of-{self._files:05}.jsonl"
        rows, reasons = 0, collections.Counter()
        with contextlib.ExitStack() as stack:
            letters = None
            for batch in read(file, self._data):
                events, rejected = parse(batch, file, number << POSITION_BITS)
                if rejected and letters is None:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    letters = stack.enter_context(path.open("w"))
                for row in rejected:
                    letter = {"file": file, **dataclasses.asdict(row)}
                    print(json.dumps(letter, ensure_ascii=False), file=letters)
                reasons.update(row.reason for row in rejected)
                rows += len(events) + len(rejected)
                progress.read(number, batch.fraction, len(events) + len(rejected), len(events))
                if len(events):
                    yield events
        yield TaggedOutput("counts", summary.ReadCounts(rows, dict(reasons)))


def _codes(events: Node, feature: str) -> Node:
    """One table (value, count) of a feature, row = code."""
    return (
        events
        | f"count {feature}s"
        >> apache_beam.CombineGlobally(vocabulary.CountValues(feature)).with_output_types(pa.Table)
        | f"code {feature}s" >> apache_beam.Map(vocabulary.codes).with_output_types(pa.Table)
    )


def _bucket(users: pa.Table, data: Data) -> pa.Table:
    """Adds each user's bucket, and its place in the bucket's shuffled order."""
    checksum = vocabulary.checksums(users["value"])
    users = users.append_column("bucket", pa.array(checksum % data.shards, pa.int32()))
    return users.append_column("order", pa.array(vocabulary.scatter(checksum, data.seed)))


class _Encode(apache_beam.DoFn):
    """Events with text → (bucket, events with codes)."""

    def process(self, element: pa.Table, users: pa.Table, items: pa.Table) -> Iterator[Bucketed]:
        user = vocabulary.encode(element["user"], users["value"])
        item = vocabulary.encode(element["item"], items["value"])
        bucket = users["bucket"].to_numpy()[user]
        encoded = pl.DataFrame(
            {"user": user, "item": item, "time": element["time"], "bucket": bucket}
        )
        progress.advance("encode", after="read", rows=len(encoded))
        for (key,), part in encoded.partition_by("bucket", as_dict=True).items():
            yield int(key), part.drop("bucket").to_arrow()


def _k_core(encoded: Node, users: Node, items: Node, data: Data) -> tuple[Node, Node]:
    """Tables with the column "count" of kept events, by user code and by item code."""
    if data.min_user_events == 1 and data.min_item_events == 1:
        return users, items
    return (
        encoded
        | "to one worker" >> apache_beam.Map(_edges).with_output_types(Bucketed)
        | "gather" >> apache_beam.GroupByKey()
        | "k-core"
        >> apache_beam.ParDo(_KCore(data.min_user_events, data.min_item_events))
        .with_output_types(pa.Table)
        .with_outputs("items", main="users")
    )


def _edges(element: Bucketed) -> Bucketed:
    return 0, element[1].select(["user", "item"])


class _KCore(apache_beam.DoFn):
    """All events → kept events per code."""

    def __init__(self, min_user_events: int, min_item_events: int):
        self._minima = min_user_events, min_item_events

    def process(self, element: tuple[int, Iterable[pa.Table]]) -> Iterator[Any]:
        edges = pa.concat_tables(element[1])
        user_counts, item_counts = k_core(
            edges["user"].to_numpy(), edges["item"].to_numpy(), *self._minima
        )
        yield pa.table({"count": user_counts})
        yield TaggedOutput("items", pa.table({"count": item_counts}))


def _number(
    feature: str, codes: Node, counts: Node, max_values: int | None, stage: str
) -> tuple[Node, Node]:
    """A table with the column "id" by code, and summary.VocabularyTotals."""
    nothing = pa.table({"count": pa.array([], pa.int64())})
    return codes | f"number {feature}s" >> apache_beam.ParDo(
        _Number(feature, max_values, stage), AsSingleton(counts, default_value=nothing)
    ).with_output_types(pa.Table).with_outputs("totals", main="ids")


class _Number(apache_beam.DoFn):
    """Codes and their kept events → ids; writes the vocabulary."""

    def __init__(self, feature: str, max_values: int | None, stage: str):
        self._feature, self._max_values, self._stage = feature, max_values, stage

    def process(self, element: pa.Table, counts: pa.Table) -> Iterator[Any]:
        ids, kept = vocabulary.number(
            element["value"], counts["count"].to_numpy(), self._max_values
        )
        with portable():
            path = epath.Path(self._stage) / "vocabulary" / f"{self._feature}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            kept.write(path)
        yield pa.table({"id": ids})
        totals = summary.VocabularyTotals(self._feature, len(kept), sum(kept.counts))
        yield TaggedOutput("totals", totals)


def _cuts(encoded: Node, ids: tuple[AsSingleton, AsSingleton], split: GlobalTime) -> AsSingleton:
    """The two points in time of a global split, over the kept events."""
    return AsSingleton(
        encoded
        | "kept times" >> apache_beam.Map(_kept_times, *ids).with_output_types(pa.Table)
        | "count times"
        >> apache_beam.CombineGlobally(vocabulary.CountValues("time")).with_output_types(pa.Table)
        | "cut" >> apache_beam.Map(_cut, split)
    )


def _kept_times(element: Bucketed, user_ids: pa.Table, item_ids: pa.Table) -> pa.Table:
    events = element[1]
    return events.select(["time"]).filter(pa.array(_kept(events, user_ids, item_ids)))


def _kept(events: pa.Table, user_ids: pa.Table, item_ids: pa.Table) -> np.ndarray:
    user, item = events["user"].to_numpy(), events["item"].to_numpy()
    kept_user = user_ids["id"].to_numpy() != vocabulary.DROPPED
    kept_item = item_ids["id"].to_numpy() != vocabulary.DROPPED
    return kept_user[user] & kept_item[item]


def _cut(counts: pa.Table, split: GlobalTime) -> list[int]:
    if not len(counts):
        return [0, 0]
    times = vocabulary.codes(counts)
    shares = split.validation, split.test
    return quantiles(times["value"].to_numpy(), times["count"].to_numpy(), shares)


class _Write(apache_beam.DoFn):
    """(bucket, events) → one shard per split; yields their facts."""

    def __init__(self, data: Data, stage: str):
        self._data, self._stage = data, stage

    def process(
        self,
        element: tuple[int, Iterable[pa.Table]],
        users: pa.Table,
        user_ids: pa.Table,
        item_ids: pa.Table,
        cuts: list[int] | None,
    ) -> Iterator[summary.ShardFacts]:
        bucket, tables = element
        table = pa.concat_tables(tables)
        progress.advance("write", after="encode", rows=len(table))
        rows = len(table)
        table = table.filter(pa.array(_kept(table, user_ids, item_ids)))
        events = arrange(
            table["user"].to_numpy(),
            table["item"].to_numpy(),
            table["time"].to_numpy(),
            order=users["order"].to_numpy(),
            user_ids=user_ids["id"].to_numpy(),
            item_ids=item_ids["id"].to_numpy(),
        )
        parts = examples(self._data.split, events, cuts)
        with portable():
            splits = {split: self._write(bucket, split, events, parts[split]) for split in SPLITS}
        yield summary.of_shard(bucket, events, rows - len(table), splits)

    def _write(self, bucket: int, split: str, events: Any, part: Any) -> summary.SplitFacts:
        path = f"{split}/part-{bucket:05}-of-{self._data.shards:05}.array_record"
        batch = shards.columns(events, part)
        if not batch.num_rows:
            return summary.of_split(None, [], batch)
        blocks = shards.write(epath.Path(self._stage) / path, batch, self._data.block_rows)
        return summary.of_split(path, blocks, batch)


class _Summarise(apache_beam.DoFn):
    """Facts of all shards → schema.json, statistics.json and the manifest's details."""

    def __init__(self, data: Data, stage: str):
        self._data, self._stage = data, stage

    def process(
        self,
        element: list[summary.ShardFacts],
        reads: list[summary.ReadCounts],
        totals: list[summary.VocabularyTotals],
    ) -> Iterator[dict[str, Any]]:
        facts = sorted(element, key=lambda shard: shard.bucket)
        sizes = {total.feature: total.size for total in totals}
        statistics = json.dumps(summary.statistics(facts), indent=1)
        with portable():
            stage = epath.Path(self._stage)
            summary.schema(facts, sizes["user"], sizes["item"]).write(stage / "schema.json")
            (stage / "statistics.json").write_text(statistics + "\n")
        yield {
            "splits": summary.layout(facts),
            "report": summary.report(self._data, facts, reads, totals),
        }
