"""Training loop: time of a step with tracking, against the same loop without it.

usage: python -m benchmarks.mlops.tracking [--steps 200] [--rounds 3] [--uri URI] [--workdir w]

Trains the demo's model on its dataset (built if need be) as `podway train` does, in turns without
tracking and with it. The follower, which reads the run's folder and tells the database, is there
before the clock starts, as in a long training; what it takes to start, once, is said by itself. On
a machine whose processors train, too, the two share them: so the follower's processor time is said
beside the ratio, which is of the medians of pairs.
"""

import argparse
import dataclasses
import pathlib
import sys
import tempfile
import threading
import time

import numpy as np

from podway.configs import movielens_sasrec
from podway.framework import config
from podway.framework.input.dataset import Dataset
from podway.framework.runs import records, run
from podway.framework.training.loop import train
from podway.launch import stages
from podway.launch.tracking.session import Teller, session

READY = 300.0
"""Seconds that a follower may take to start."""


@dataclasses.dataclass(frozen=True)
class Times:
    """Of a training.

    Attributes:
      step: seconds, the median over the records of metrics.jsonl.
      whole: seconds of the training.
      started: of the processor, that the follower took until it was ready.
      followed: of the processor, that it took from then on until the last step.
    """

    step: float
    whole: float
    started: float = 0.0
    followed: float = 0.0


def measured(experiment: config.Experiment, dataset: Dataset) -> Times:
    """A training in a workdir of its own."""
    with tempfile.TemporaryDirectory() as workdir:
        with session(experiment, workdir) as teller:
            if experiment.tracking.uri:
                _wait(teller, pathlib.Path(workdir), experiment.name)
            started = sum(map(_of_process, _children()))
            directory = run.directory(experiment, run.inputs(dataset), workdir)
            begun = time.perf_counter()
            with teller.following(directory):
                outcome = train(experiment, dataset, workdir)
                whole = time.perf_counter() - begun
                followed = sum(map(_of_process, _children())) - started
        found = records.read(outcome.directory / records.METRICS)
    rates = [each["examples_per_second"] for each in found if "examples_per_second" in each]
    step = experiment.trainer.batch_size / float(np.median(rates[1:]))
    return Times(step, whole, started, followed)


def _wait(teller: Teller, workdir: pathlib.Path, name: str) -> None:
    """Tells of a run that is none, and returns when that has arrived."""
    first = workdir / "runs" / name / "first"
    first.mkdir(parents=True)
    (first / "experiment.json").write_text("{}")
    (first / records.BEGUN).write_text('{"when": "2026-01-01T00:00:00+00:00"}')
    teller.tell("run", first)
    until = time.monotonic() + READY
    while not any((workdir / "tracked").glob("*.json")):
        if time.monotonic() > until:
            sys.exit("the follower did not start")
        time.sleep(0.1)


def _children() -> list[int]:
    path = pathlib.Path(f"/proc/self/task/{threading.get_native_id()}/children")
    return [int(pid) for pid in path.read_text().split()]


def _of_process(pid: int) -> float:
    """Seconds of the processor that a process has taken."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def main() -> None:
    """Prints the times, and their ratio."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--uri", default="")
    parser.add_argument("--workdir", default="workdir")
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="podway-tracking-")
    experiment = movielens_sasrec.experiment()
    never = {"evaluate_every": options.steps, "checkpoint_every": options.steps}
    changes = {"steps": options.steps, "batch_size": options.batch, **never}
    plain = dataclasses.replace(
        experiment, trainer=dataclasses.replace(experiment.trainer, **changes)
    )
    uri = options.uri or f"sqlite:///{folder}/mlflow.db"
    told = dataclasses.replace(plain, tracking=config.Mlflow(uri))
    dataset = stages.data(plain, options.workdir)
    pairs = []
    for round_ in range(options.rounds):
        order = (plain, told) if round_ % 2 == 0 else (told, plain)
        found = {bool(each.tracking.uri): measured(each, dataset) for each in order}
        pairs.append((found[False], found[True]))
    ratios = [with_.step / without.step for without, with_ in pairs]
    alone = np.median([without.step for without, _ in pairs])
    tracked = np.median([with_.step for _, with_ in pairs])
    share = np.median([100 * with_.followed / with_.whole for _, with_ in pairs])
    started = np.median([with_.started for _, with_ in pairs])
    print(f"without tracking {1e3 * alone:9.2f} ms a step")
    print(f"with tracking    {1e3 * tracked:9.2f} ms a step   ×{np.median(ratios):.3f}", end="")
    print(f"   ({min(ratios):.3f} … {max(ratios):.3f} in {len(ratios)} pairs)")
    print(f"follower: {started:.1f} s of a processor to start; while training {share:.2f} % of one")


if __name__ == "__main__":
    main()
