"""A short form of `python -m benchmarks.serving_load --minutes 10`."""

import argparse

import pytest
import uvloop

from benchmarks import serving, serving_load


@pytest.mark.slow
def test_above_capacity_requests_are_refused_and_memory_is_kept(tmp_path):
    options = argparse.Namespace(version_folder=None, items=100_000, batch=4, queue=1, threads=1)
    with serving_load.served(tmp_path, options) as server:
        histories = serving.sample_histories(server.grpc, serving_load.MODEL)
        capacity = serving_load.measured(server, histories, options.batch, 3.0)
        # Memory grows to its size first.
        uvloop.run(serving_load.open_loop(server, histories, 2 * capacity, 5.0))
        load = uvloop.run(serving_load.open_loop(server, histories, 2 * capacity, 20.0))
    assert set(load.refused) == {"RESOURCE_EXHAUSTED"}
    answered = len(load.latencies)
    assert answered > 0.25 * capacity * 20, "it goes on answering while it refuses"
    assert load.refused["RESOURCE_EXHAUSTED"] > 0.1 * answered
    # Nobody waits for more than the run in progress, the batch in the queue, and its own.
    assert max(load.latencies) < serving_load.DEADLINE / 2
    first, last = load.growth()
    assert last < 1.05 * first
