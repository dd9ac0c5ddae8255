"""Data stage against plain polars, in rows a second: python -m benchmarks.data --rows 5000000.

Polars does the least that any such stage must: vocabularies, ids, sort, one sequence per user,
written once as Parquet. The data stage does that and more: checks, three splits written as shards,
statistics, hashes of all files. Both run in this process, one after the other, with all cores.
"""

import dataclasses
import pathlib
import tempfile
import time
from collections.abc import Callable

import numpy as np
import polars as pl
import tyro

from beam import dataset
from framework.config import Csv, Data, Parquet


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """Compares the data stage with plain polars."""

    rows: int = 1_000_000
    """Raw events."""
    items: int = 50_000
    """Distinct items; how often each occurs follows Zipf's law. There is a user per 25 rows."""
    repeats: int = 3
    """Runs of each; the quickest counts."""


def events(rows: int, items: int) -> pl.DataFrame:
    """Synthetic events with text ids and times in seconds."""
    random = np.random.default_rng(0)
    user = random.integers(0, max(rows // 25, 1), rows)
    item = (random.zipf(1.2, rows) - 1) % items
    columns = {"user": user, "item": item, "time": random.integers(1.5e9, 1.6e9, rows)}
    return pl.DataFrame(columns).with_columns(
        user=pl.format("u{}", "user"), item=pl.format("i{}", "item")
    )


def plain_polars(path: pathlib.Path) -> None:
    """User id → items and times, in order, in a file."""
    frame = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path)
    for feature in ("user", "item"):
        ranked = frame[feature].value_counts().sort(["count", feature], descending=[True, False])
        ids = ranked.select(feature, pl.int_range(pl.len(), dtype=pl.Int32).alias(f"{feature}_id"))
        frame = frame.join(ids, on=feature)
    frame = frame.sort("user_id", "time", "item")
    sequences = frame.group_by("user_id", maintain_order=True).agg("item_id", "time")
    with tempfile.TemporaryDirectory() as folder:
        sequences.write_parquet(pathlib.Path(folder) / "sequences.parquet")


def data_stage(path: pathlib.Path) -> None:
    """Builds a dataset from scratch."""
    format = Parquet() if path.suffix == ".parquet" else Csv()
    with tempfile.TemporaryDirectory() as workdir:
        data = Data(
            name="benchmark", path=str(path), format=format, min_user_events=1, min_item_events=1
        )
        dataset.build(data, workdir)


def quickest(repeats: int, *runs: Callable[[], object]) -> list[float]:
    """Seconds of each, taken in turns so that a busy machine slows all alike."""
    seconds = []
    for _ in range(repeats):
        for run in runs:
            start = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - start)
    return [min(seconds[at :: len(runs)]) for at in range(len(runs))]


def main(benchmark: Benchmark) -> None:
    """Prints a line per format."""
    with tempfile.TemporaryDirectory() as folder:
        frame = events(benchmark.rows, benchmark.items)
        frame.write_parquet(parquet := pathlib.Path(folder) / "events.parquet")
        frame.write_csv(csv := pathlib.Path(folder) / "events.csv")
        for path in (parquet, csv):
            polars, ours = quickest(
                benchmark.repeats,
                lambda path=path: plain_polars(path),
                lambda path=path: data_stage(path),
            )
            print(
                f"{path.suffix[1:]:>8}: data stage {benchmark.rows / ours:12,.0f} rows/s,"
                f" plain polars {benchmark.rows / polars:12,.0f} rows/s, ratio {polars / ours:.2f}"
            )


if __name__ == "__main__":
    main(tyro.cli(Benchmark))
