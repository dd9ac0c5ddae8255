"""How near an epoch's order is to a uniform permutation, for several shuffle windows.

usage: python -m benchmarks.shuffle [--rows 1048576] [--block-rows 1024] [--batch 512 8192]
       python -m benchmarks.shuffle --dataset DIRECTORY --column label [--batch 512]

The first form reads the worst case through podway.framework.input.batches: rows that lie sorted by
their label. The second one reads a dataset's own column (of lists, their length), in the order in
which the data stage stored it. What a training step sees of a bad shuffle is batches that differ
more from each other than random batches do; `excess` says how much more (see docs/input.md).
"""

import argparse
import tempfile
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from benchmarks import synthetic
from podway.framework.input.columns import Ragged
from podway.framework.input.dataset import Dataset
from podway.framework.input.epochs import Epochs
from podway.framework.schema.schema import Feature

WINDOWS = (1, 4, 16, 64, 256, 1024)


def excess(values: np.ndarray, batch_size: int) -> float:
    """Variance of the batches' means over what it would be in a uniform permutation: about 1.

    `values` in the epoch's order. The variance of the mean of n rows drawn without replacement
    from N is σ²/n · (N − n)/(N − 1) (Cochran, Sampling Techniques, 1977, theorem 2.2).
    """
    count = len(values) // batch_size
    means = values[: count * batch_size].reshape(count, batch_size).mean(1, dtype=np.float64)
    expected = values.var(dtype=np.float64) / batch_size
    expected *= (len(values) - batch_size) / (len(values) - 1)
    return float(((means - values.mean(dtype=np.float64)) ** 2).mean() / expected)


def predicted(share: float, batch_size: int, window: int, blocks: int, block_rows: int) -> float:
    """The excess that the block shuffle should have: 1 + ρ · B/W · (1 − W/blocks).

    The blocks of a window are a sample of all blocks, so its mean varies by ρ σ²/W, where ρ is the
    share of the variance that lies between blocks. A batch longer than a window has more blocks.
    """
    drawn = min(max(window, batch_size / block_rows), blocks)
    return 1 + share * batch_size / drawn * (1 - drawn / blocks)


def correlation(values: np.ndarray, block_rows: int) -> float:
    """ρ: the share of the variance of stored values that lies between blocks, beyond chance."""
    count = len(values) // block_rows
    blocks = values[: count * block_rows].reshape(count, block_rows).astype(np.float64)
    within = blocks.var(axis=1, ddof=1).mean()
    between = blocks.mean(1).var(ddof=1) - within / block_rows
    return float(between / (between + within))


def rank_correlation(order: np.ndarray) -> float:
    """Spearman's ρ between the place of a row in storage and in the epoch: about 0."""
    return float(np.corrcoef(np.arange(len(order)), order)[0, 1])


def neighbours(order: np.ndarray, block_rows: int) -> tuple[float, float]:
    """Of rows that follow each other in the epoch: mean distance in storage and share in one block.

    The distance is in shares of the dataset; 1/3 in a uniform permutation. The share of pairs from
    one block is relative to what it is there; about 1.
    """
    distance = np.abs(np.diff(order)).mean() / len(order)
    same = (np.diff(order // block_rows) == 0).mean()
    return float(distance), float(same / ((block_rows - 1) / (len(order) - 1)))


def sorted_rows(folder: str, rows: int, block_rows: int) -> Dataset:
    """A dataset whose row r holds r."""
    return synthetic.write(
        f"{folder}/sorted",
        pa.table({"row": np.arange(rows, dtype=np.int32)}),
        [Feature("row", "feature", "int32")],
        block_rows=block_rows,
    )


def orders(dataset: Dataset, column: str, window: int, epochs: int) -> Iterator[np.ndarray]:
    """One column in the order of each of the first epochs."""
    sequence = Epochs(dataset, {column: 1}, seed=0, window=window)
    for start in range(0, epochs * sequence.examples, sequence.examples):
        yield sequence.read(start, start + sequence.examples)[column]


def stored(dataset: Dataset, column: str) -> tuple[np.ndarray, np.ndarray]:
    """A column in the order of the shards, and the rows of each block."""
    blocks = dataset.blocks("train")
    values = blocks.read(np.arange(len(blocks.rows)), [column])[column]
    return np.diff(values.offsets) if isinstance(values, Ragged) else values, blocks.rows


def measure_sorted(options: argparse.Namespace) -> None:
    """Prints a line for each window: means over the epochs."""
    rows, size = options.rows, options.block_rows
    head = "".join(f"   B={batch:<6} predicted" for batch in options.batch)
    print(
        f"{rows:,} rows in {rows // size} blocks of {size}, sorted by label; excess by batch size"
    )
    print(f"{'window':>8}   rank corr.   distance   same block{head}")
    generator = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        dataset = sorted_rows(folder, rows, size)
        for window in WINDOWS:
            sequence = orders(dataset, "row", window, options.epochs)
            _print_line(str(window), list(sequence), window, options)
    uniform = [generator.permutation(rows) for _ in range(options.epochs)]
    _print_line("uniform", uniform, rows, options)


def _print_line(
    name: str, epochs: list[np.ndarray], window: int, options: argparse.Namespace
) -> None:
    size, blocks = options.block_rows, options.rows // options.block_rows
    distance, same = np.mean([neighbours(order, size) for order in epochs], axis=0)
    rank = np.abs([rank_correlation(order) for order in epochs]).max()
    line = f"{name:>8}   {rank:10.4f}   {distance:8.4f}   {same:10.1f}"
    for batch in options.batch:
        found = np.mean([excess(order, batch) for order in epochs])
        line += f"   {found:8.2f} {predicted(1, batch, window, blocks, size):9.2f}"
    print(line, flush=True)


def measure_dataset(options: argparse.Namespace) -> None:
    """Prints ρ of a dataset's column, and the excess to be expected of each window."""
    values, rows = stored(Dataset.open(options.dataset), options.column)
    found = correlation(values, int(rows.max()))
    print(f"{options.column}: {len(values):,} rows in {len(rows)} blocks, ρ = {found:.5f}")
    for window in WINDOWS:
        parts = [
            f"B={size}: {predicted(max(found, 0), size, window, len(rows), rows.max()):.2f}"
            for size in options.batch
        ]
        print(f"  window {window:>5}   excess to be expected   {'   '.join(parts)}")


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=1 << 20)
    parser.add_argument("--block-rows", type=int, default=1024)
    parser.add_argument("--batch", type=int, nargs="+", default=[512, 8192])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--dataset")
    parser.add_argument("--column", default="item")
    options = parser.parse_args()
    if options.dataset:
        measure_dataset(options)
    else:
        measure_sorted(options)


if __name__ == "__main__":
    main()
