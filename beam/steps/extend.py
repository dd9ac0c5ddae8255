"""The steps that only an extension has: what its base stored comes in beside the new raw files."""

import json
import tempfile
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam
import numpy as np
import pyarrow as pa
from array_record.python.array_record_module import ArrayRecordReader
from etils import epath

from podway.beam.error import portable
from podway.beam.features.fingerprint import fingerprints
from podway.beam.steps import arrange, codes, facts, masks, split, stored
from podway.beam.steps.chunk import Chunk
from podway.beam.steps.number import Key
from podway.beam.steps.write import numbers_of, path_of
from podway.framework import artifact
from podway.framework.config import Data
from podway.framework.schema.schema import FIRST_VALUE, SPLITS, VOCABULARY_ROWS, vocabulary_file


class Arrange(apache_beam.DoFn):
    """(bucket, {"new": Chunks, "stored": files}) → as arrange.Arrange.

    A bucket without new events remains as it is stored.
    """

    def __init__(self, data: Data):
        self._arrange = arrange.Arrange(data)

    def process(self, element: tuple[int, dict[str, Iterable[Any]]]) -> Iterator[Any]:
        """One bucket."""
        bucket, found = element
        new = list(found["new"])
        with portable():
            before = [stored.read(file) for file in found["stored"]]
        if not new:
            yield bucket, Chunk(before[0])
            return
        events = [Chunk(table.drop_columns([stored.KEPT])) for table in before]
        yield from self._arrange.process((bucket, [*events, *new]))


def values(key: Key, file: str) -> tuple[Key, Chunk]:
    """(key, file of values) → (key, Chunk of fingerprint and value)."""
    with portable():
        return key, Chunk(stored.read(file))


def vocabulary_files(base: str) -> Iterator[tuple[str, int, str]]:
    """(feature, number, file) of the vocabularies of users and items of a committed dataset."""
    paths = {file.path for file in artifact.read_manifest(base, "dataset").files}
    for name in ("user", "item"):
        number = 0
        while (path := str(vocabulary_file(f"vocabulary/{name}.jsonl", number))) in paths:
            yield name, number, str(artifact.resolve(base, path))
            number += 1


def ids(name: str, number: int, file: str) -> Iterator[tuple[Key, Chunk]]:
    """One file of a vocabulary → ((feature, part), Chunk of fingerprint and id)."""
    with portable():
        lines = epath.Path(file).read_text().rstrip("\n")
    rows = json.loads(f"[{lines.replace(chr(10), ',')}]")  # five times as quick as line by line
    words = [value for value, _ in rows]
    hashes = fingerprints(pa.array(words, pa.string()))
    ids = np.arange(len(words), dtype=np.int32) + np.int32(number * VOCABULARY_ROWS)
    order = np.argsort(hashes)
    order = order[ids[order] >= FIRST_VALUE]
    table = pa.table({"fingerprint": hashes[order], "id": ids[order]})
    yield from (((name, part), chunk) for part, chunk in codes.parts(table))


class Refer(apache_beam.DoFn):
    """(bucket, the events of which the base made shards) → facts.ShardFacts of these shards."""

    def __init__(self, data: Data, base: str):
        self._data, self._base = data, base
        self._blocks: dict[str, tuple[str, list[int]]] = {}

    def setup(self) -> None:
        """Looks where the shards are."""
        manifest = artifact.read_manifest(self._base, "dataset")
        for name in SPLITS:
            for shard in manifest.details["splits"][name]["shards"]:
                path = artifact.reference(shard["path"], manifest.version)
                self._blocks[artifact.place(path)] = path, shard["blocks"]

    def process(self, element: tuple[int, Chunk], cuts: Any) -> Iterator[facts.ShardFacts]:
        """One bucket."""
        bucket, chunk = element
        events = split.events(chunk.table())
        shown = masks.of_splits(self._data, events, cuts)
        with portable():
            splits = {name: self._shard(bucket, name, events, shown[name]) for name in SPLITS}
        trained = int(shown["train"].sum())
        yield facts.of_shard(bucket, self._data, events, cuts, trained, splits)

    def _shard(
        self, bucket: int, name: str, events: split.Events, mask: np.ndarray
    ) -> facts.SplitFacts:
        found = self._blocks.get(path_of(name, bucket, self._data.shards))
        if found is None:
            return facts.SplitFacts(None, [], {}, None, np.array([], np.int64), {})
        path, blocks = found
        batch = _read(artifact.resolve(self._base, path))
        return facts.of_split(path, blocks, batch, numbers_of(self._data, events.features, mask))


def _read(path: epath.Path) -> pa.RecordBatch:
    """All examples of a shard."""
    if "://" not in str(path):
        records = ArrayRecordReader(str(path)).read_all()
    else:  # ArrayRecord reads local files only
        with tempfile.NamedTemporaryFile() as local:
            path.copy(local.name, overwrite=True)
            records = ArrayRecordReader(local.name).read_all()
    table = pa.concat_tables([pa.ipc.open_stream(record).read_all() for record in records])
    (batch,) = table.combine_chunks().to_batches()
    return batch
