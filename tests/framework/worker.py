"""Trains the small experiment in a process of its own, so that it can be killed.

usage: python -m tests.framework.worker DATASET WORKDIR JSON
JSON: {"trainer": {...}, "mesh": {...}, "pause": seconds before each step}
"""

import dataclasses
import json
import sys
import time

from framework import config, trainer
from framework.input import Dataset, TrainBatches
from tests.framework.experiments import walks


def main() -> None:
    dataset, workdir, text = sys.argv[1:]
    options = json.loads(text)
    experiment = dataclasses.replace(
        walks(**options.get("trainer", {})), mesh=config.Mesh(**options.get("mesh", {}))
    )
    if pause := options.get("pause"):
        read = TrainBatches.__getitem__

        def slowly(self, index):
            time.sleep(pause)
            return read(self, index)

        TrainBatches.__getitem__ = slowly
    outcome = trainer.train(experiment, Dataset.open(dataset), workdir)
    print(json.dumps({"directory": str(outcome.directory), "finished": outcome.finished}))


if __name__ == "__main__":
    main()
