"""Data stage against plain polars and element-wise Beam: python -m benchmarks.data

Prints, for each number of rows, rows a second, the ratio to polars, and the peak of memory (the
resident set of the process that did the work; files that are mapped count). Then, if asked, the
same with nearly as many distinct items as rows.

Polars does the least that any such stage must: vocabularies, ids, sort, one sequence per user,
written once as Parquet. The data stage does that and more: checks, splits, vocabularies of the
train split, shards, statistics, hashes of all files. Element-wise Beam does what polars does, on
fewer rows. Each run is a process of its own, its imports not counted; they take turns.
"""

import dataclasses
import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time
from typing import Any

import apache_beam
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import tyro
from apache_beam.pvalue import AsDict
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner

from podway.beam import dataset
from podway.beam.engines import run
from podway.framework.config import Csv, Data, Parquet


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """Compares the data stage with plain polars and with element-wise Beam."""

    rows: tuple[int, ...] = (5_000_000,)
    """Raw events, one benchmark each; 5000000 50000000 shows how time and memory grow."""
    csv: bool = True
    """Whether to measure CSV too."""
    items: int = 50_000
    """Distinct items; how often each occurs follows Zipf's law. There is a user per 25 rows."""
    distinct: int = 0
    """With so many rows, each of an item of its own but for one in twenty: a huge vocabulary."""
    elements: int = 200_000
    """Rows for element-wise Beam; 0: leave it out."""
    shards: int = 4
    """Shards of the data stage: one shard's events must fit into memory."""
    repeats: int = 3
    """Runs of each; the quickest counts."""


BATCH = 5_000_000


def write(folder: pathlib.Path, rows: int, items: int, csv: bool) -> list[pathlib.Path]:
    """Synthetic events with text ids and times in seconds, in row groups; items 0: all differ."""
    parquet = folder / f"events-{rows}-{items}.parquet"
    random = np.random.default_rng(0)
    users = max(rows // 25, 1)
    with pq.ParquetWriter(parquet, SCHEMA) as writer:
        for start in range(0, rows, BATCH):
            count = min(BATCH, rows - start)
            if items:
                item = (random.zipf(1.2, count) - 1) % items
            else:
                item = np.where(random.random(count) < 0.05, 0, start + np.arange(count))
            frame = pl.DataFrame(
                {
                    "user": random.integers(0, users, count),
                    "item": item,
                    "time": random.integers(1_500_000_000, 1_600_000_000, count),
                }
            ).with_columns(user=pl.format("u{}", "user"), item=pl.format("i{}", "item"))
            writer.write_table(frame.to_arrow().cast(SCHEMA), row_group_size=1 << 20)
    if not csv:
        return [parquet]
    pl.scan_parquet(parquet).sink_csv(parquet.with_suffix(".csv"))
    return [parquet, parquet.with_suffix(".csv")]


assert run  # imported here, so that it is not measured

SCHEMA = pa.schema({"user": pa.string(), "item": pa.string(), "time": pa.int64()})


def plain_polars(path: pathlib.Path, folder: str) -> None:
    """User id → items and times, in order, in a file."""
    frame = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path)
    for feature in ("user", "item"):
        ranked = frame[feature].value_counts().sort(["count", feature], descending=[True, False])
        ids = ranked.select(feature, pl.int_range(pl.len(), dtype=pl.Int32).alias(f"{feature}_id"))
        frame = frame.join(ids, on=feature)
    frame = frame.sort("user_id", "time", "item")
    sequences = frame.group_by("user_id", maintain_order=True).agg("item_id", "time")
    sequences.write_parquet(pathlib.Path(folder) / "sequences.parquet")


def element_wise(path: pathlib.Path, folder: str) -> None:
    """The same with a DoFn per row, as Beam's guides have it."""
    frame = pl.read_parquet(path)
    with apache_beam.Pipeline(runner=FnApiRunner()) as pipeline:
        rows = pipeline | apache_beam.Create(list(frame.iter_rows()))
        ids = []
        for at, feature in enumerate(("user", "item")):
            counted: Any = (
                rows
                | f"{feature} of" >> apache_beam.Map(lambda row, at=at: row[at])
                | f"count {feature}" >> apache_beam.combiners.Count.PerElement()
                | f"all {feature}" >> apache_beam.combiners.ToList()
            )
            ids.append(
                AsDict(
                    counted
                    | f"rank {feature}"
                    >> apache_beam.FlatMap(
                        lambda all: [
                            (value, id)
                            for id, (value, _) in enumerate(
                                sorted(all, key=lambda c: (-c[1], c[0]))
                            )
                        ]
                    )
                )
            )
        _ = (
            rows
            | "key"
            >> apache_beam.Map(
                lambda row, users, items: (users[row[0]], (row[2], items[row[1]])), *ids
            )
            | apache_beam.GroupByKey()
            | "sequence"
            >> apache_beam.MapTuple(lambda user, events: json.dumps([user, sorted(events)]))
            | apache_beam.io.WriteToText(f"{folder}/sequences")  # pyright: ignore[reportPrivateImportUsage]
        )


def data_stage(path: pathlib.Path, folder: str, shards: int) -> None:
    """Builds a dataset from scratch."""
    format = Parquet() if path.suffix == ".parquet" else Csv()
    data = Data(
        name="benchmark",
        path=str(path),
        format=format,
        min_user_events=1,
        min_item_events=1,
        shards=shards,
    )
    dataset.build(data, folder)


def measure(what: str, path: pathlib.Path, shards: int) -> tuple[float, float]:
    """Seconds and peak GiB of one run in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.data", "--worker", what, str(path), str(shards)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{what} failed:\n{done.stderr[-2000:]}")
    seconds, peak = json.loads(done.stdout.splitlines()[-1])
    return seconds, peak


def worker(what: str, path: str, shards: str) -> None:
    """Runs one and prints [seconds, peak GiB]."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        if what == "data stage":
            data_stage(pathlib.Path(path), folder, int(shards))
        else:
            {"polars": plain_polars, "elements": element_wise}[what](pathlib.Path(path), folder)
        seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps([seconds, peak]))


def compare(path: pathlib.Path, rows: int, benchmark: Benchmark) -> float:
    """Prints one line; returns the data stage's seconds."""
    runs: dict[str, list[tuple[float, float]]] = {"polars": [], "data stage": []}
    for _ in range(benchmark.repeats):
        for what, found in runs.items():
            found.append(measure(what, path, benchmark.shards))
    (polars, polars_peak), (ours, peak) = (
        (min(s for s, _ in found), max(p for _, p in found)) for found in runs.values()
    )
    print(
        f"{rows:>12,} {path.suffix[1:]:>8}  data stage {rows / ours:>11,.0f} rows/s {peak:5.2f} GiB"
        f"   polars {rows / polars:>11,.0f} rows/s {polars_peak:5.2f} GiB"
        f"   ratio {polars / ours:.2f}",
        flush=True,
    )
    return ours


def main(benchmark: Benchmark) -> None:
    """Prints a line per size and format."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        seconds = {}
        for rows in benchmark.rows:
            for path in write(folder, rows, benchmark.items, benchmark.csv):
                seconds[path.suffix, rows] = compare(path, rows, benchmark)
                path.unlink()
        parquet = {rows: taken for (kind, rows), taken in seconds.items() if kind == ".parquet"}
        few, many = min(parquet), max(parquet)
        if many > few:
            grown = parquet[many] / parquet[few]
            print(f"{many / few:g} times the rows take {grown:.1f} times as long")
        if benchmark.elements:
            (path,) = write(folder, benchmark.elements, benchmark.items, False)
            taken, _ = measure("elements", path, 0)
            rate, ours = benchmark.elements / taken, few / parquet[few]
            print(
                f"{benchmark.elements:>12,}  parquet  element-wise Beam {rate:,.0f} rows/s;"
                f" the data stage is {ours / rate:.0f} times as fast"
            )
        if benchmark.distinct:
            (path,) = write(folder, benchmark.distinct, 0, False)
            print(f"{benchmark.distinct * 0.95:,.0f} distinct items:")
            compare(path, benchmark.distinct, dataclasses.replace(benchmark, repeats=1))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        worker(*sys.argv[2:])
    else:
        main(tyro.cli(Benchmark, description=__doc__))
