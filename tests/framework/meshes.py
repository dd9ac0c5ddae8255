"""Losses of the small experiment on several meshes of 8 forced devices, as JSON.

usage: python -m tests.framework.meshes DATASET JSON
JSON: {name: {"mesh": {...}, "trainer": {...}, "model": {...}}}
"""

import dataclasses
import json
import sys

from framework import config, mesh, step
from framework.baselines import train_counts
from framework.input import Dataset, TrainBatches, read_ahead
from framework.table import Embedding
from tests.framework.experiments import walks


def losses(dataset: Dataset, options: dict) -> list[float]:
    experiment = walks(**options.get("trainer", {}))
    changes = options.get("model", {})
    if "embedding" in changes:
        changes = changes | {"embedding": Embedding(**changes["embedding"])}
    model = dataclasses.replace(experiment.model, heads=2, dropout=0.0, **changes)
    experiment = dataclasses.replace(experiment, model=model)
    devices = mesh.build(config.Mesh(**options.get("mesh", {})))
    counts = {"item/embedding": train_counts(dataset)} if model.embedding else None
    program = step.build(experiment, dataset.schema, devices, counts)
    batches = TrainBatches(
        dataset,
        program.lengths,
        batch_size=experiment.trainer.batch_size,
        steps=20,
        seed=0,
        window=2,
        rows=program.place.rows,
    )
    state, found = program.initialize(), []
    for batch in read_ahead(batches, 0, place=program.place):
        state, metrics = program.step(state, batch)
        found.append(float(metrics["loss"]))
        assert metrics.get("embedding/overflow", 0) == 0
    return found


def main() -> None:
    dataset, cases = Dataset.open(sys.argv[1]), json.loads(sys.argv[2])
    print(json.dumps({name: losses(dataset, options) for name, options in cases.items()}))


if __name__ == "__main__":
    main()
