"""Training loop: time of a step with tracking, against the same loop without it.

usage: python -m benchmarks.tracking [--steps 400] [--rounds 3] [--uri sqlite:///FILE] [--workdir w]

Trains the demo's model on its dataset (built if need be) as `podway train` does, in turns without
tracking and with it: with the follower that reads the run's folder and tells the database, which is
ready before the clock starts as in a long training, and with one that is still starting, whose
imports then take processor time of their own. Steps of the same numbers are compared, those after
compilation. The ratios are of the medians of pairs.
"""

import argparse
import contextlib
import dataclasses
import pathlib
import sys
import tempfile
import time
from collections.abc import Iterator

import numpy as np

from podway.configs import movielens_sasrec
from podway.framework import config
from podway.framework.input.dataset import Dataset
from podway.framework.runs import records
from podway.framework.training.loop import train
from podway.launch import stages
from podway.launch.tracking.session import session

READY = 120.0
"""Seconds that a follower may take to start."""


@contextlib.contextmanager
def tracked(experiment: config.Experiment, workdir: str, *, ready: bool) -> Iterator[None]:
    """A session; `ready`: its follower has told of something before the block begins."""
    with session(experiment, workdir) as teller:
        run = pathlib.Path(workdir) / "runs" / experiment.name / "first"
        if ready:
            run.mkdir(parents=True)
            (run / "experiment.json").write_text("{}")
            (run / records.BEGUN).write_text('{"when": "2026-01-01T00:00:00+00:00"}')
            teller.tell("run", run)
            until = time.monotonic() + READY
            while not any((pathlib.Path(workdir) / "tracked").glob("*.json")):
                if time.monotonic() > until:
                    sys.exit("the follower did not start")
                time.sleep(0.1)
        yield


def seconds(experiment: config.Experiment, dataset: Dataset, *, ready: bool) -> float:
    """Seconds per step, the median over the records of metrics.jsonl."""
    with tempfile.TemporaryDirectory() as workdir:
        with tracked(experiment, workdir, ready=ready and bool(experiment.tracking.uri)):
            from podway.framework.runs import run
            from podway.launch.tracking.session import teller

            directory = run.directory(experiment, run.inputs(dataset), workdir)
            with teller().following(directory):
                outcome = train(experiment, dataset, workdir)
        found = records.read(outcome.directory / records.METRICS)
    rates = [each["examples_per_second"] for each in found if "examples_per_second" in each]
    return experiment.trainer.batch_size / float(np.median(rates[1:]))


def main() -> None:
    """Prints the times, and their ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--uri", default="")
    parser.add_argument("--workdir", default="workdir")
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="podway-tracking-")
    uri = options.uri or f"sqlite:///{folder}/mlflow.db"
    experiment = movielens_sasrec.experiment()
    changed = dataclasses.replace(
        experiment.trainer,
        steps=options.steps,
        batch_size=options.batch,
        evaluate_every=options.steps,
        checkpoint_every=options.steps,
    )
    plain = dataclasses.replace(experiment, trainer=changed)
    told = dataclasses.replace(plain, tracking=config.Mlflow(uri))
    dataset = stages.data(plain, options.workdir)
    times: dict[str, list[float]] = {"without": [], "tracked": [], "starting": []}
    for _ in range(options.rounds):
        times["without"].append(seconds(plain, dataset, ready=False))
        times["tracked"].append(seconds(told, dataset, ready=True))
        times["starting"].append(seconds(told, dataset, ready=False))
    for name, said in (
        ("without", "without tracking"),
        ("tracked", "with tracking"),
        ("starting", "while it starts"),
    ):
        pairs = [a / b for a, b in zip(times[name], times["without"], strict=True)]
        print(
            f"{said:18} {1e3 * np.median(times[name]):8.3f} ms   ×{np.median(pairs):.3f}"
            f"   ({min(pairs):.3f} … {max(pairs):.3f} in {options.rounds} pairs)"
        )


if __name__ == "__main__":
    main()
