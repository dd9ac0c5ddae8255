"""Training loop: time of a step in `podway train`, against the bare compiled function.

usage: python -m benchmarks.overhead [--steps 100] [--rounds 3] [--batch 64] [--workdir workdir]

Trains the demo's model on its dataset (built if need be) with the trainer as it is: batches read,
shuffled and placed, metrics logged every ten steps. Then calls the same compiled step as often on
one batch that already lies on the device. The two take turns; the ratio is that of the medians.
"""

import argparse
import dataclasses
import tempfile
import time

import jax
import numpy as np

from podway.configs import movielens_sasrec
from podway.framework import config
from podway.framework.devices import mesh
from podway.framework.input.batches import TrainBatches
from podway.framework.input.dataset import Dataset
from podway.framework.runs import records
from podway.framework.training.loop import train
from podway.framework.training.program import Program, build_program
from podway.launch import stages


def in_the_loop(experiment: config.Experiment, dataset: Dataset) -> float:
    """Seconds per step, the median over the records of metrics.jsonl."""
    with tempfile.TemporaryDirectory() as workdir:
        outcome = train(experiment, dataset, workdir)
        found = records.read(outcome.directory / records.METRICS)
    rates = [each["examples_per_second"] for each in found if "examples_per_second" in each]
    return experiment.trainer.batch_size / float(np.median(rates[1:]))


def bare(program: Program, batch: dict[str, jax.Array], steps: int, every: int) -> float:
    """Seconds per step, the median over stretches of `every` steps."""
    state, metrics, times = program.initialize(), None, []
    for _ in range(steps // every):
        start = time.perf_counter()
        for _ in range(every):
            state, metrics = program.step(state, batch)
        jax.block_until_ready(metrics)
        times.append((time.perf_counter() - start) / every)
    return float(np.median(times[1:]))


def main() -> None:
    """Prints both, and their ratio."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--workdir", default="workdir")
    options = parser.parse_args()
    experiment = movielens_sasrec.experiment()
    changes = {"steps": options.steps, "batch_size": options.batch}
    never = {"evaluate_every": options.steps, "checkpoint_every": options.steps}
    changed = dataclasses.replace(experiment.trainer, **changes, **never)
    experiment = dataclasses.replace(experiment, trainer=changed)
    dataset = stages.data(experiment, options.workdir)
    program = build_program(experiment, dataset.schema, mesh.build(experiment.mesh))
    batches = TrainBatches(
        dataset, program.lengths, batch_size=options.batch, steps=1, seed=0, window=16
    )
    batch = program.place(batches[0])
    loop, alone = [], []
    for _ in range(options.rounds):
        loop.append(in_the_loop(experiment, dataset))
        alone.append(bare(program, batch, options.steps, experiment.trainer.log_every))
    pairs = [ours / theirs for ours, theirs in zip(loop, alone, strict=True)]
    print(f"bare step     {1e3 * np.median(alone):8.2f} ms")
    print(f"in the loop   {1e3 * np.median(loop):8.2f} ms   ×{np.median(pairs):.3f}", end="")
    print(f"   ({min(pairs):.3f} … {max(pairs):.3f} in {options.rounds} pairs)")


if __name__ == "__main__":
    main()
