"""Losses of a student of states on several meshes of 8 forced devices, as JSON.

usage: python -m tests.framework.compression.students DATASET TEACHER
"""

import dataclasses
import json
import sys
import tempfile

from etils import epath

from podway.framework import config
from podway.framework.compression.distil import Distil
from podway.framework.input.batches import Dataset
from podway.framework.losses import chunks
from podway.framework.models.sasrec import SasRec
from podway.framework.training import loop
from tests.framework import experiments

MESHES = {
    "1": config.Mesh(data=1),
    "8": config.Mesh(data=8),
    "2 2 2": config.Mesh(data=2, fsdp=2, tensor=2),
}
CHUNKS = {"whole": 1 << 20, "blocks": 600}
"""Logits at once on a device: all, or those of some rows of one position of each example."""


def losses(dataset: Dataset, teacher: epath.Path, mesh: config.Mesh) -> list[float]:
    """Those of each step; two teachers, which are one."""
    small = SasRec(width=8, blocks=1, heads=2, feed_forward=2, max_length=8, dropout=0.0)
    step = Distil(
        model=small, top=None, hidden_weight=0.5, teachers=("first", "first"), temperature=2.0
    )
    step = dataclasses.replace(step, steps=6)
    experiment = config.compressed(experiments.walks(), step)
    experiment = dataclasses.replace(experiment, mesh=mesh)
    with tempfile.TemporaryDirectory() as workdir:
        outcome = loop.train(experiment, dataset, workdir, before=teacher)
        lines = (outcome.directory / "metrics.jsonl").read_text().splitlines()
    return [line["loss"] for line in map(json.loads, lines) if "loss" in line]


if __name__ == "__main__":
    dataset, teacher = Dataset.open(sys.argv[1]), epath.Path(sys.argv[2])
    found = {}
    for name, chunk in CHUNKS.items():
        chunks.CHUNK_ELEMENTS["cpu"] = chunk
        for mesh, devices in MESHES.items():
            found[f"{mesh} {name}"] = losses(dataset, teacher, devices)
    print(json.dumps(found))
