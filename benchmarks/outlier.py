"""What one user with half of all events costs: builds with and without that user, in one run.

usage: python -m benchmarks.outlier [--rows 1000000]

Prints CPU seconds and peak memory of three builds of as many rows: all users have as many; one user
has half of them; and the same with data.max_user_events. Each is a process of its own.
"""

import dataclasses
import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np
import polars as pl
import tyro


@dataclasses.dataclass(frozen=True)
class Options:
    """How much to build."""

    rows: int = 1_000_000
    """Rows of each dataset."""


def write(path: pathlib.Path, rows: int, bot: bool) -> None:
    """Events of 1 user for each 100 rows, or with half of the rows of one user."""
    draw = np.random.default_rng(0)
    user = draw.integers(1, rows // 100, rows)
    user[: rows // 2 if bot else 0] = 0
    order = draw.permutation(rows)
    pl.DataFrame(
        {
            "user": user[order],
            "item": draw.zipf(1.3, rows).clip(max=20_000),
            "time": draw.integers(1_600_000_000, 1_700_000_000, rows),
        }
    ).write_parquet(path)


def build(path: str, most: str) -> None:
    """In a process of its own: builds, and prints what it took."""
    from podway.beam import dataset
    from podway.framework.config import Data, Parquet

    data = Data(
        name="outlier",
        path=path,
        format=Parquet(),
        max_user_events=int(most) if most != "None" else None,
        min_user_events=1,
        min_item_events=1,
    )
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        dataset.build(data, folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(json.dumps({"seconds": time.process_time() - began, "gigabytes": peak}))


def main(options: Options) -> None:
    """Builds all three."""
    with tempfile.TemporaryDirectory() as folder:
        found = {}
        for name, bot, most in (
            ("even", False, None),
            ("one user with half", True, None),
            ("the same, max_user_events=1000", True, 1000),
        ):
            path = pathlib.Path(folder) / f"{bot}.parquet"
            write(path, options.rows, bot)
            command = [sys.executable, "-m", "benchmarks.outlier", "build", str(path), str(most)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found[name] = json.loads(done.stdout.splitlines()[-1])
        even = found["even"]
        for name, took in found.items():
            ratio = took["seconds"] / even["seconds"]
            print(
                f"{name:<32}{took['seconds']:>8.2f} s CPU{took['gigabytes']:>8.2f} GB"
                f"   {ratio:.2f} x the time of even users"
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["build"]:
        build(*sys.argv[2:])
    else:
        main(tyro.cli(Options))
