"""Input: examples/s of the block reader, against reading one example per record.

usage: python -m benchmarks.input [--users 200000] [--length 50] [--batch 512]

Writes synthetic sequences twice, as columnar blocks of 1,024 examples (what the data stage writes)
and one example a record, and reads both into padded batches, in turn, in one process. The ratio is
the claim; the absolute figures are this machine's.
"""

import argparse
import tempfile
import time

import grain
import numpy as np
import pyarrow as pa
from array_record.python.array_record_module import ArrayRecordWriter
from etils import epath

from framework import artifact, input
from framework.schema import Feature, Schema


def write(directory: epath.Path, users: int, block_rows: int) -> input.Dataset:
    """A dataset of random histories of 1 … 100 items, in one shard."""
    generator = np.random.default_rng(0)
    path = "train/part-00000-of-00001.array_record"
    (directory / "train").mkdir(parents=True)
    writer = ArrayRecordWriter(str(directory / path), "group_size:1")
    blocks = []
    for start in range(0, users, block_rows):
        rows = min(block_rows, users - start)
        lengths = generator.integers(1, 101, rows)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        items = generator.integers(2, 50_000, offsets[-1]).astype(np.int32)
        batch = pa.RecordBatch.from_pydict(
            {
                "user": pa.array(np.arange(start, start + rows, dtype=np.int32)),
                "item": pa.ListArray.from_arrays(pa.array(offsets), pa.array(items)),
            }
        )
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as stream:
            stream.write_batch(batch)
        writer.write(sink.getvalue().to_pybytes())
        blocks.append(rows)
    writer.close()
    Schema((Feature("item", "item", "int32", True, "item", 50_000, 100),)).write(
        directory / "schema.json"
    )
    artifact.commit(
        directory,
        kind="dataset",
        name="synthetic",
        version="0",
        config={},
        inputs={},
        code="",
        details={
            "splits": {"train": {"examples": users, "shards": [{"path": path, "blocks": blocks}]}}
        },
    )
    return input.Dataset.open(directory)


def read_blocks(dataset: input.Dataset, length: int, batch_size: int, steps: int) -> float:
    """Examples/s of framework.input, shuffled."""
    batches = input.TrainBatches(
        dataset, {"item": length}, batch_size=batch_size, steps=steps, seed=0, window=16
    )
    start = time.perf_counter()
    for batch in input.read_ahead(batches, 0):
        assert batch["item"].shape == (batch_size, length)
    return steps * batch_size / (time.perf_counter() - start)


def read_records(dataset: input.Dataset, length: int, batch_size: int, steps: int) -> float:
    """Examples/s of Grain over one example a record, shuffled, decoded and padded one by one."""
    shard = dataset.manifest.details["splits"]["train"]["shards"][0]["path"]
    source = grain.sources.ArrayRecordDataSource([str(dataset.directory / shard)])

    def decode(record: bytes) -> np.ndarray:
        items = pa.ipc.open_stream(record).read_next_batch()["item"].values.to_numpy()[-length:]
        return np.pad(items, (0, length - len(items)))

    batches = grain.MapDataset.source(source).shuffle(seed=0).map(decode).batch(batch_size)
    start = time.perf_counter()
    for index in range(steps):
        assert batches[index].shape == (batch_size, length)
    return steps * batch_size / (time.perf_counter() - start)


def main() -> None:
    """Prints both rates and their ratio, three times in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=200_000)
    parser.add_argument("--length", type=int, default=50)
    parser.add_argument("--batch", type=int, default=512)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        blocks = write(epath.Path(folder) / "blocks", options.users, 1024)
        records = write(epath.Path(folder) / "records", options.users // 10, 1)
        steps = options.users // options.batch
        for _ in range(3):
            fast = read_blocks(blocks, options.length, options.batch, steps)
            slow = read_records(records, options.length, options.batch, steps // 10)
            print(
                f"blocks {fast:12,.0f} examples/s   one a record {slow:10,.0f} examples/s"
                f"   ratio {fast / slow:6.1f}"
            )


if __name__ == "__main__":
    main()
