"""Runs whose item table is sparse: stopped, resumed on other devices, loaded."""

import signal

import numpy as np

from podway.framework.runs import run
from tests.framework.experiments import changed
from tests.framework.training.test_loop import finish, losses, start, wait_for_steps

MODEL = {
    "objective": {"type": "SampledSoftmax", "negatives": 16},
    "embedding": {"placement": "sharded"},
}


def test_a_sharded_table_goes_on_on_fewer_devices_and_is_loaded_whole(dataset, tmp_path):
    alone = finish(start(dataset, tmp_path / "alone", model=MODEL))
    mesh = {"data": 2, "fsdp": 2, "tensor": 2}
    moved = tmp_path / "moved"
    process = start(dataset, moved, devices=8, mesh=mesh, model=MODEL, pause=0.05)
    wait_for_steps(moved, 7, process)
    process.send_signal(signal.SIGTERM)
    assert not finish(process)["finished"]
    assert len(losses(moved)) < 20
    result = finish(start(dataset, moved, devices=2, mesh={"data": 2}, model=MODEL))
    np.testing.assert_allclose(losses(moved), losses(tmp_path / "alone"), atol=1e-5, rtol=0)
    assert losses(moved)[-1] < 0.9 * losses(moved)[0]

    experiment, _, ours = run.load(result["directory"])
    _, _, theirs = run.load(alone["directory"])
    assert experiment == changed({"model": MODEL, "mesh": {"data": 2}})
    table = ours["item/embedding"]
    assert (type(table), table.shape) == (np.ndarray, (128, 16))
    assert (table[0] == 0).all(), "the row of PADDING"
    np.testing.assert_allclose(table, theirs["item/embedding"], atol=1e-4)
