"""Trains the small experiment in a process of its own, so that it can be killed.

usage: python -m tests.framework.worker DATASET WORKDIR JSON
JSON: {"trainer": {...}, "mesh": {...}, "model": {...}, "cluster": {...},
       "pause": seconds before each batch, "hang": the batch that is never read,
       "break": the batch that can't be read, "compiled": folder of compiled programs,
       "rate": of learning, "prepare": seconds before the program is built}
"""

import json
import os
import pathlib
import sys
import time

import jax

from podway.framework import termination
from podway.framework.devices import compilation
from podway.framework.input.batches import Dataset, TrainBatches
from podway.framework.training import distributed, loop
from tests.framework.experiments import changed

CACHE_HIT = "/jax/compilation_cache/cache_hits"


def main() -> None:
    dataset, workdir, text = sys.argv[1:]
    options = json.loads(text)
    experiment = changed(options)
    if rate := options.get("rate"):
        object.__setattr__(experiment.optimizer, "learning_rate", rate)
    read = TrainBatches.__getitem__

    def slowly(self, index):
        time.sleep(options.get("pause", 0))
        while index == options.get("hang"):
            time.sleep(1)
        if index == options.get("break"):
            raise OSError("the disk is broken")
        return read(self, index)

    TrainBatches.__getitem__ = slowly
    check_mesh = distributed.check_mesh

    def prepared(devices):
        if seconds := options.get("prepare"):
            (pathlib.Path(workdir) / f"preparing {os.getpid()}").touch()
            time.sleep(seconds)
        check_mesh(devices)

    distributed.check_mesh = prepared
    found = []
    if cache := options.get("compiled"):
        compilation.keep(cache)
        jax.monitoring.register_event_listener(
            lambda event, **_: found.append(event) if event == CACHE_HIT else None
        )
    with distributed.join(distributed.Cluster(**options.get("cluster", {}))) as peers:
        outcome = loop.train(experiment, Dataset.open(dataset), workdir, peers=peers)
    print(
        json.dumps(
            {
                "directory": str(outcome.directory),
                "finished": outcome.finished,
                "step": outcome.step,
                "programs": len(found),  # that were found compiled
            }
        )
    )


if __name__ == "__main__":
    with termination.ending():
        main()
