"""The last step of a bucket: its events, as the transforms have them, become shards."""

import concurrent.futures
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import apache_beam
import numpy as np
import pyarrow as pa
from etils import epath

from podway.beam.error import portable
from podway.beam.features import fit
from podway.beam.formats.rows import reads
from podway.beam.steps import codes, facts, masks, progress, shards, split
from podway.beam.steps.arrange import number
from podway.beam.steps.chunk import Chunk
from podway.beam.steps.number import Learnt
from podway.framework.config import Data, RowExamples
from podway.framework.config.features import Gap
from podway.framework.schema.schema import EVENT_WEIGHT, OUT_OF_VOCABULARY, SPLITS


class Write(apache_beam.DoFn):
    """(bucket, events) → one shard per split; yields facts.ShardFacts."""

    def __init__(self, data: Data, stage: str):
        self._data, self._stage = data, stage

    def process(
        self,
        element: tuple[int, Chunk],
        cuts: Any,
        index: Mapping[str, Chunk],
        learnt: Sequence[Learnt],
        results: Mapping[str, Chunk],
    ) -> Iterator[facts.ShardFacts]:
        """One bucket."""
        bucket, chunk = element
        table = chunk.table()
        progress.advance("write", after="arrange", rows=len(table))
        events = split.events(table)
        users = _ids(events.user, index, "user")
        columns = {
            "item": _ids(events.items, index, "item")[events.item],
            "time": events.time,
            **({} if events.weights is None else {EVENT_WEIGHT: events.weights}),
            **self._features(events, learnt, results),
        }

        def describe(name: str) -> facts.SplitFacts:
            numbers = numbers_of(self._data, events.features, shown[name])
            return facts.of_split(None, [], batches[name], numbers)

        # Filtering and sorting leave Python's lock to others; ArrayRecord, which compresses, does
        # not, so the shards are written one by one, beside all else.
        with portable(), concurrent.futures.ThreadPoolExecutor(len(SPLITS)) as threads:
            batches, shown = self._examples(bucket, events, users, columns, cuts, threads)
            described = threads.map(describe, SPLITS)
            written = [self._write(bucket, name, batches[name]) for name in SPLITS]
            splits = {
                name: dataclasses.replace(found, path=path, blocks=blocks)
                for name, found, (path, blocks) in zip(SPLITS, described, written, strict=True)
            }
        trained = int(shown["train"].sum())
        yield facts.of_shard(bucket, self._data, events, cuts, trained, splits)

    def _examples(
        self,
        bucket: int,
        events: split.Events,
        users: np.ndarray,
        columns: Mapping[str, Any],
        cuts: Any,
        threads: concurrent.futures.Executor,
    ) -> tuple[dict[str, pa.RecordBatch], dict[str, np.ndarray]]:
        """The examples of each split, and the mask of the events that they show."""
        if isinstance(self._data.examples, RowExamples):
            shown = masks.rows(self._data, events, cuts)
            absent = self._data.columns.absent
            columns = {"user": np.repeat(users, np.diff(events.offsets)), **columns}
            columns = {name: part for name, part in columns.items() if name not in absent}
            generator = np.random.default_rng((self._data.seed, bucket))
            batches = {}
            for name in SPLITS:
                batch = shards.of_rows(columns, shown[name])
                batches[name] = batch.take(pa.array(generator.permutation(batch.num_rows)))
            return batches, shown
        examples = split.examples(self._data.split, events, cuts)
        batches = threads.map(
            lambda name: shards.of_sequences(users, events, columns, examples[name]), SPLITS
        )
        shown = {name: split.histories(events, examples[name]) for name in SPLITS}
        return dict(zip(SPLITS, batches, strict=True)), shown

    def _features(
        self, events: split.Events, learnt: Sequence[Learnt], results: Mapping[str, Chunk]
    ) -> dict[str, pa.Array]:
        """The features' values per event."""
        fitted = {one.transform.name: one for one, _ in learnt}
        columns = {}
        for feature in self._data.features:
            if isinstance(feature, Gap):
                columns[feature.name] = pa.array(fit.gaps(events.time, events.offsets))
            elif feature.name in results:
                columns[feature.name] = _results(
                    events.features[feature.name], results[feature.name].table()
                )
            else:
                values = number(events.features[feature.name])
                columns[feature.name] = fit.apply(fitted[feature.name], None, values)
        return columns

    def _write(self, bucket: int, name: str, batch: pa.RecordBatch) -> tuple[str | None, list[int]]:
        """The shard's path, None where it would be empty, and its blocks."""
        if not batch.num_rows:
            return None, []
        path = path_of(name, bucket, self._data.shards)
        return path, shards.write(epath.Path(self._stage) / path, batch, self._data.block_rows)


def path_of(split: str, bucket: int, shards: int) -> str:
    """A shard's path in the dataset."""
    return f"{split}/part-{bucket:05}-of-{shards:05}.array_record"


def numbers_of(data: Data, raw: Mapping[str, pa.Array], mask: np.ndarray) -> dict[str, pa.Array]:
    """The features that are numbers or times, of the events of the mask, before the transforms."""
    return {
        feature.name: number(raw[feature.name]).filter(pa.array(mask))
        for feature in data.features
        if reads(feature) and fit.kind(feature) in ("number", "time")
    }


def _ids(fingerprints: np.ndarray, index: Mapping[str, Chunk], name: str) -> np.ndarray:
    """int32 ids; what the train split does not have is out of vocabulary."""
    if name not in index:
        return np.full(len(fingerprints), OUT_OF_VOCABULARY, np.int32)
    table = index[name].table()
    keys, ids = table["fingerprint"].to_numpy(), table["id"].to_numpy()
    return codes.look_up(fingerprints, keys, ids, OUT_OF_VOCABULARY)


def _results(column: pa.DictionaryArray, table: pa.Table) -> pa.Array:
    """The result for each row's fingerprint; the table knows all of them, sorted."""
    index = np.searchsorted(table["fingerprint"].to_numpy(), column.dictionary.to_numpy())
    results = table["result"].combine_chunks().take(pa.array(index))
    return results.take(column.indices)
