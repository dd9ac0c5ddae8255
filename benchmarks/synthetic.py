"""Datasets from tables in memory, in the layout that the data stage writes."""

from collections.abc import Mapping, Sequence

import pyarrow as pa
from array_record.python.array_record_module import ArrayRecordWriter
from etils import epath

from podway.framework import artifact
from podway.framework.input.dataset import Dataset
from podway.framework.schema.schema import Feature, Schema, Vocabulary


def write(
    directory: epath.PathLike,
    examples: pa.Table,
    features: Sequence[Feature],
    *,
    block_rows: int = 1024,
    shards: int = 1,
    vocabularies: Mapping[str, Vocabulary] | None = None,
    tables: Mapping[str, pa.Table] | None = None,
    others: Mapping[str, pa.Table] | None = None,
) -> Dataset:
    """A dataset whose train split holds `examples` in their order; `others` are further splits."""
    directory = epath.Path(directory)
    splits = {"train": examples} | dict(others or {})
    for folder in (*splits, "vocabulary", "features"):
        (directory / folder).mkdir(parents=True)
    layouts = {}
    for split, rows in splits.items():
        layout, size = [], -(-rows.num_rows // shards)
        for shard in range(shards):
            path = f"{split}/part-{shard:05}-of-{shards:05}.array_record"
            part = rows.slice(shard * size, size).combine_chunks()
            blocks = _write_shard(directory / path, part, block_rows)
            layout.append({"path": path, "blocks": blocks})
        layouts[split] = {"examples": rows.num_rows, "shards": layout}
    Schema(tuple(features)).write(directory / "schema.json")
    for name, vocabulary in (vocabularies or {}).items():
        vocabulary.write(directory / "vocabulary" / f"{name}.jsonl")
    for name, table in (tables or {}).items():
        with pa.ipc.new_file(str(directory / "features" / f"{name}.arrow"), table.schema) as file:
            file.write_table(table)
    artifact.commit(
        directory,
        kind="dataset",
        name=directory.name,
        version=directory.name,
        config={},
        inputs={},
        code="",
        details={"splits": layouts},
    )
    return Dataset.open(directory)


def _write_shard(path: epath.Path, examples: pa.Table, block_rows: int) -> list[int]:
    """Writes one file; returns the rows of its blocks."""
    writer = ArrayRecordWriter(str(path), "group_size:1,zstd:1")
    rows = []
    for start in range(0, examples.num_rows, block_rows):
        block = examples.slice(start, block_rows)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, block.schema) as stream:
            stream.write_table(block)
        writer.write(sink.getvalue().to_pybytes())
        rows.append(block.num_rows)
    writer.close()
    return rows
