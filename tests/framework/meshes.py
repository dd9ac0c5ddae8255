"""Losses of the small experiment on several meshes of 8 forced devices, as JSON.

usage: python -m tests.framework.meshes DATASET JSON
JSON: {name: {"mesh": {...}, "trainer": {...}, "model": {...}}}, for SASRec;
{name: {"family": "decoder", "mesh": {...}, "trainer": {...}}} for one of FAMILIES.
"""

import dataclasses
import gc
import json
import os
import sys

from podway.framework import task
from podway.framework.devices import mesh
from podway.framework.embedding.table import Embedding
from podway.framework.input.batches import Dataset, TrainBatches, read_ahead
from podway.framework.input.interactions import train_counts
from podway.framework.models.bert4rec import Bert4Rec
from podway.framework.models.decoder import Decoder
from podway.framework.models.hstu import Hstu
from podway.framework.models.retrieve_rank import RetrieveRank
from podway.framework.models.two_tower import TwoTower
from podway.framework.training.program import build_program
from tests import forked, xla
from tests.framework import rows
from tests.framework.experiments import changed

TOWERS = TwoTower(
    width=16,
    hidden=32,
    attributes=("genres", "year"),
    max_length=8,
    targets=4,
    negatives=6,
    id_dropout=0.2,
)
FAMILIES = {
    "decoder": Decoder(
        width=16, layers=2, heads=4, kv_heads=2, head_width=4, feed_forward=32, max_length=8
    ),
    "hstu": Hstu(width=16, blocks=1, heads=2, max_length=8, dropout=0.0),
    "hstu by time": Hstu(width=16, blocks=1, heads=2, max_length=8, dropout=0.0, time_buckets=30),
    "bert4rec": Bert4Rec(width=16, blocks=1, feed_forward=2, max_length=8, dropout=0.0),
    **rows.MODELS,
    "towers": TOWERS,
    "chain": RetrieveRank(retrieval=TOWERS, candidates=10, targets=2, sampled=4, hidden=8),
    "sparse towers": dataclasses.replace(TOWERS, embedding=Embedding(placement="sharded")),
}


def losses(dataset: Dataset, options: dict) -> list[float]:
    still = {"heads": 2, "dropout": 0.0} | options.get("model", {})
    experiment = changed(options | {"model": still})
    if "family" in options:
        experiment = dataclasses.replace(experiment, model=FAMILIES[options["family"]])
    devices = mesh.build(experiment.mesh)
    model = task.of_kind(experiment.model, task.TrainedModel)
    counts = dict.fromkeys(model.tables(dataset.schema), train_counts(dataset))
    constants = model.constants(dataset)
    program = build_program(experiment, dataset.schema, devices, counts, constants)
    batches = TrainBatches(
        dataset,
        program.lengths,
        batch_size=experiment.trainer.batch_size,
        steps=20,
        seed=0,
        window=2,
        rows=program.place.rows,
        pack=experiment.trainer.pack,
    )
    state, found = program.initialize(), []
    for batch in read_ahead(batches, 0, place=program.place):
        state, metrics = program.step(state, batch)
        found.append(float(metrics["loss"]))
        assert metrics.get("embedding/overflow", 0) == 0
    return found


def on_eight_devices(dataset: Dataset, cases: dict[str, dict]) -> dict[str, list[float]]:
    """{case: losses} of this program, on eight forced devices of the CPU.

    Raises AssertionError where it fails, or the partitioner had to replicate an array.
    """
    command = ["tests.framework.meshes", str(dataset.directory)]
    forced = {
        "XLA_FLAGS": xla.flags(devices=8),
        "JAX_PLATFORMS": "cpu",
    }
    result = forked.run(
        [*command, json.dumps(cases)],
        imports=forked.TRAINING,
        cwd=forked.ROOT,
        env=os.environ | forced,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert "rematerialization" not in result.stderr, "the partitioner replicated an array"
    return json.loads(result.stdout.splitlines()[-1])


def main() -> None:
    gc.disable()  # a sixth of the time, as it traces all the while
    dataset, cases = Dataset.open(sys.argv[1]), json.loads(sys.argv[2])
    print(json.dumps({name: losses(dataset, options) for name, options in cases.items()}))


if __name__ == "__main__":
    main()
