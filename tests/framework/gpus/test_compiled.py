"""What XLA makes of training steps for an H200, without one."""

import functools
import json
import os
import subprocess
import sys

import pytest

from tests.framework.gpus import plugin
from tests.test_walls import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(plugin.WITHOUT in os.environ, reason="JAX's plugin for CUDA"),
    pytest.mark.skipif(sys.platform != "linux", reason="NVIDIA's assembler is Linux'"),
]

OPTIMIZERS = ("sgd", "adagrad", "row-wise", "adam")
GOLDEN = {
    "sasrec": {"kernels": 312, "gigaflops": 54.0, "megabytes": 5623, "temporary": 795},
    "bert4rec": {"kernels": 235, "gigaflops": 29.8, "megabytes": 3618, "temporary": 537},
    "hstu": {"kernels": 251, "gigaflops": 45.2, "megabytes": 5217, "temporary": 668},
    "decoder": {"kernels": 292, "gigaflops": 336.8, "megabytes": 11425, "temporary": 1365},
}
"""One step of a batch of 128 × 200 among 3,416 items, f32: jax 0.10.2. A change to a model, to the
loss or to the optimizer that makes it start more kernels or move more bytes is seen here."""


@functools.cache
def compiled(*cases: str) -> dict:
    command = [sys.executable, "-m", "tests.framework.gpus.compiled", *cases]
    done = subprocess.run(
        command, cwd=ROOT, env=plugin.environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("gpus", [1, 8])
def test_a_sparse_table_is_changed_in_place(gpus):
    cases = [f"{optimizer}:{gpus}" for optimizer in OPTIMIZERS]
    for case, found in compiled(*cases).items():
        assert found["copies"] == [], case
        assert found["aliased"] > 1, case
        # Of eight GPUs each moves the rows that all of them ask for, and an eighth of the table.
        assert found["moved"] < (0.2 if gpus == 1 else 1.0), (case, found)
        assert found["temporary"] < 0.1, (case, found)


@pytest.mark.parametrize("family", GOLDEN)
def test_a_step_starts_no_more_kernels_and_moves_no_more_bytes(family):
    assert compiled(*GOLDEN)[family] == GOLDEN[family]
