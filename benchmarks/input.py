"""Input: examples/s of podway.framework.input.batches, against reading one example per record.

usage: python -m benchmarks.input [--examples 1000000]

Sequences of 1 … 100 items in shuffled batches of 512 × 50; ranking rows in batches of 8,192, all
columns (user, item, label, three numbers, a vector of 2, a list padded to 8), the fixed-width ones
alone, and all with two attributes of the item joined to them. Each kind is written twice, as blocks
of 1,024 examples (what the data stage writes) and one example a record, and read in turn by this
process. The ratio is the claim; the absolute figures are this machine's.
"""

import argparse
import tempfile
import time
from collections.abc import Mapping
from typing import Any

import grain
import numpy as np
import pyarrow as pa

from benchmarks import synthetic
from podway.framework.input import columns
from podway.framework.input.batches import Dataset, TrainBatches, read_ahead
from podway.framework.schema.schema import Feature

ITEMS = 50_000
FIXED = {"user": 1, "item": 1, "label": 1, "age": 1, "price": 1, "clicks": 1, "day": 1}
KINDS: dict[str, tuple[str, int, dict[str, int]]] = {
    "sequences": ("sequences", 512, {"item": 50}),
    "rows": ("rows", 8192, FIXED | {"tags": 8}),
    "rows, fixed": ("rows", 8192, FIXED),
    "rows, joined": ("rows", 8192, FIXED | {"tags": 8, "item.genres": 4, "item.weight": 1}),
}
"""Name → the dataset, the batch size, and the columns with their lengths."""


def lists(generator: np.random.Generator, low: int, high: int, rows: int) -> pa.ListArray:
    """Lists of low … high ids."""
    offsets = np.concatenate([[0], np.cumsum(generator.integers(low, high + 1, rows))])
    values = generator.integers(2, ITEMS, offsets[-1]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), pa.array(values))


def examples(kind: str, rows: int) -> pa.Table:
    """Random examples. Numbers are random to the last bit, so they hardly compress."""
    generator = np.random.default_rng(0)
    user = np.arange(rows, dtype=np.int32)
    if kind == "sequences":
        return pa.table({"user": user, "item": lists(generator, 1, 100, rows)})
    numbers = generator.normal(size=(5, rows)).astype(np.float32)
    return pa.table(
        {
            "user": generator.permutation(user),
            "item": generator.integers(2, ITEMS, rows).astype(np.int32),
            "time": np.arange(rows),
            "label": (generator.random(rows) < 0.2).astype(np.float32),
            "age": numbers[0],
            "price": numbers[1],
            "clicks": generator.integers(0, 100, rows).astype(np.int32),
            "day": pa.FixedSizeListArray.from_arrays(pa.array(numbers[2:4].ravel()), 2),
            "tags": lists(generator, 0, 8, rows),
        }
    )


def write(folder: str, kind: str, rows: int, block_rows: int) -> Dataset:
    """A dataset of random examples in four shards, with a table of items."""
    generator = np.random.default_rng(1)
    attributes = {"genres": lists(generator, 0, 6, ITEMS), "weight": generator.random(ITEMS)}
    return synthetic.write(
        f"{folder}/{kind}-{block_rows}",
        examples(kind, rows),
        [
            Feature("item", "item", "int32", kind == "sequences", "item", ITEMS, 100),
            Feature("genres", "feature", "int32", True, max_length=6, table="item"),
            Feature("weight", "feature", "float32", table="item"),
        ],
        block_rows=block_rows,
        shards=4,
        tables={"item": pa.table(attributes)},
    )


def read_blocks(
    dataset: Dataset, lengths: Mapping[str, int], batch_size: int, readers: int
) -> float:
    """Examples/s of podway.framework.input.batches, shuffled: one epoch."""
    steps = dataset.examples("train") // batch_size
    batches = TrainBatches(
        dataset, lengths, batch_size=batch_size, steps=steps, seed=0, window=16, readers=readers
    )
    start = time.perf_counter()
    for batch in read_ahead(batches, 0):
        assert len(batch["item"]) == batch_size
    return steps * batch_size / (time.perf_counter() - start)


def read_records(dataset: Dataset, lengths: Mapping[str, int], batch_size: int) -> float:
    """Examples/s of Grain over one example a record, shuffled, decoded and padded one by one."""
    shards = dataset.manifest.details["splits"]["train"]["shards"]
    source: Any = grain.sources.ArrayRecordDataSource(
        [str(dataset.directory / shard["path"]) for shard in shards]
    )
    own = {name: length for name, length in lengths.items() if "." not in name}

    def decode(record: bytes) -> columns.Arrays:
        example = pa.ipc.open_stream(record).read_next_batch()
        decoded = {}
        for name, length in own.items():
            values = example[name]
            if pa.types.is_list(values.type):
                latest = values.values.to_numpy()[-length:]
                decoded[name] = np.pad(latest, (0, length - len(latest)))
            else:
                decoded[name] = np.asarray(values[0].as_py())
        return decoded

    batches = grain.MapDataset.source(source).shuffle(seed=0).map(decode)
    batches = batches.batch(batch_size, drop_remainder=True)
    start = time.perf_counter()
    for index in range(len(batches)):
        batch: Any = batches[index]
        assert len(batch["item"]) == batch_size
    return len(batches) * batch_size / (time.perf_counter() - start)


def main() -> None:
    """Prints rates and ratio of each kind, three times in turn."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--examples", type=int, default=1_000_000)
    parser.add_argument("--readers", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        datasets = {
            kind: (
                write(folder, kind, options.examples, 1024),
                write(folder, kind, options.examples // 50, 1),
            )
            for kind in ("sequences", "rows")
        }
        for _ in range(3):
            for name, (kind, batch_size, lengths) in KINDS.items():
                blocks, records = datasets[kind]
                fast = read_blocks(blocks, lengths, batch_size, options.readers)
                slow = read_records(records, lengths, batch_size)
                print(
                    f"{name:14} blocks {fast:12,.0f} examples/s   one a record {slow:10,.0f}"
                    f"   ratio {fast / slow:6.1f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
