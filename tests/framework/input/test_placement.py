"""Each process reads and places the rows of its own devices; together they are the whole batch."""

import json
import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest

from tests import xla

ROOT = pathlib.Path(__file__).parents[3]
PROGRAM = """
import json, sys
import jax, numpy as np
port, rank, processes, dataset, reverse = sys.argv[1:]
if int(processes) > 1:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"localhost:{port}", int(processes), int(rank))
from podway.framework.input.batches import Dataset, TrainBatches, read_ahead
from podway.framework.devices import mesh
from podway.framework.input.placement import Placement
devices = np.array(jax.devices())
if reverse == "woven":  # devices of the processes in turn, as a torus may lay them out
    devices = devices.reshape(int(processes), -1).T.ravel()
grid = jax.sharding.Mesh(devices.reshape(1, -1, 1, 1), mesh.AXES)
place = Placement(mesh.batch_sharding(grid), 24)
batches = TrainBatches(
    Dataset.open(dataset), {"user": 1, "item": 6},
    batch_size=24, steps=9, seed=0, window=2, rows=place.rows,
)
rows = {}
for step, batch in enumerate(read_ahead(batches, 0, place=place)):
    assert batch["item"].shape == (24, 6)
    shards = [batch[name].addressable_shards for name in ("user", "item")]
    for user, item in zip(*shards, strict=True):
        assert user.index[0] == item.index[0]
        start = item.index[0].indices(24)[0]
        for at, values in enumerate(zip(np.array(user.data), np.array(item.data))):
            rows[f"{step} {start + at}"] = [int(values[0]), values[1].tolist()]
print(json.dumps({"held": place.rows, "rows": rows}))
"""


def read(dataset, processes: int, devices: int, order: str) -> list[dict]:
    """What each of `processes` found on its devices."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "XLA_FLAGS": xla.flags(devices),
        "JAX_PLATFORMS": "cpu",
    }
    arguments = [str(processes), str(dataset.directory), order]
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(port), str(rank), *arguments],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]
    found = []
    for process in started:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err[-3000:]
        found.append(json.loads(out.splitlines()[-1]))
    return found


@pytest.mark.parametrize(("order", "held"), [("plain", [[0, 12]]), ("woven", [[0, 6], [12, 18]])])
def test_two_processes_hold_what_one_would(dataset, order, held):
    whole = read(dataset, 1, 1, "plain")[0]["rows"]
    assert len(whole) == 9 * 24
    first, second = read(dataset, 2, 2, order)
    assert np.concatenate([np.arange(*rows) for rows in first["held"]]).tolist() == (
        np.concatenate([np.arange(*rows) for rows in held]).tolist()
    )
    assert not first["rows"].keys() & second["rows"].keys()
    assert first["rows"] | second["rows"] == whole
