"""Users a second of `podway predict`, beside the plain exported function in a loop.

    python -m benchmarks.online.batch movielens_sasrec --workdir w --users 20000

Both answer the same histories, of 1 to 50 random items each. The plain loop calls the SavedModel's
signature with 256 histories of text at a time, and drops what it says; `podway predict` starts
Beam, writes who is asked for, answers, writes Parquet with titles, hashes it, and commits the
folder. They take turns. The ratio is theirs of one round; what is printed is the median. The second
column is of processor time, all threads together: on a busy machine that is the figure to go by.
"""

import argparse
import os
import pathlib
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # read when TensorFlow is imported

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

import podway
from podway.framework import progress
from podway.launch.batch import file, predict

BATCH, LONGEST = 256, 50


def histories(model: podway.LoadedModel, users: int) -> list[list[str]]:
    draw = np.random.default_rng(0)
    names = np.array(model.items, object)
    return [
        names[draw.integers(0, len(names), length)].tolist()
        for length in draw.integers(1, LONGEST + 1, users)
    ]


def seconds() -> np.ndarray:
    """By the wall, and of this process's threads."""
    return np.array([time.perf_counter(), time.process_time()])


def plain(function, given: list[list[str]]) -> np.ndarray:
    """Seconds of the loop."""
    start = seconds()
    for first in range(0, len(given), BATCH):
        part = given[first : first + BATCH]
        longest = max(map(len, part))
        padded = [row + [""] * (longest - len(row)) for row in part]
        function(history=tf.constant(padded))["score"].numpy()
    return seconds() - start


def beam(
    model: podway.LoadedModel, source: pathlib.Path, output: pathlib.Path, k: int
) -> np.ndarray:
    """Seconds of the whole, from the file of histories to the folder."""
    start = seconds()
    of = file.OfFile(str(source), model.engine.items, timed=False)
    predict.predict(model, of, output, k=k)
    return seconds() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", help="name or folder of a published model that reads no times")
    parser.add_argument("--workdir", default="workdir")
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--k", type=int, default=10)
    options = parser.parse_args()
    os.environ.pop(progress.BARS, None)
    model = podway.load(options.model, options.workdir)
    loaded = tf.saved_model.load(str(model.place.directory))
    function = loaded.signatures["serving_default"]  # pyright: ignore[reportAttributeAccessIssue]
    given = histories(model, options.users)
    plain(function, given[: 4 * BATCH])
    rates: dict[str, list[np.ndarray]] = {"plain loop": [], "podway predict": []}
    with tempfile.TemporaryDirectory() as name:
        home = pathlib.Path(name)
        names = [f"u{number}" for number in range(len(given))]
        pq.write_table(pa.table({"user": names, "history": given}), home / "h.parquet")
        beam(model, home / "h.parquet", home / "warm", options.k)
        for round_ in range(options.rounds):
            rates["plain loop"].append(len(given) / plain(function, given))
            took = beam(model, home / "h.parquet", home / f"x{round_}", options.k)
            rates["podway predict"].append(len(given) / took)
    for what, found in rates.items():
        wall, processor = np.median(found, axis=0)
        print(f"{what:<16}{wall:>10,.0f} users/s{processor:>10,.0f} users per CPU-s")
    ratios = np.divide(rates["podway predict"], rates["plain loop"])
    (wall, processor), least, most = np.median(ratios, 0), ratios.min(0), ratios.max(0)
    print(f"ratio by the wall: {wall:.2f} (from {least[0]:.2f} to {most[0]:.2f})")
    print(f"ratio by processor time: {processor:.2f} (from {least[1]:.2f} to {most[1]:.2f})")


if __name__ == "__main__":
    main()
