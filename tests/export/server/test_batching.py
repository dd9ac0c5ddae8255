"""The queue, with a stand-in for the model that records what it is given."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tensorflow.core.framework import types_pb2

from export.server.batching import Batcher
from export.server.error import INTERNAL, RequestError
from export.server.servable import Signature
from export.server.tensors import TensorSpec


class Model:
    """Doubles x, after the gate has opened; fails on negative values."""

    def __init__(self):
        self.seen, self.gate = [], threading.Event()

    def __call__(self, x):
        self.gate.wait(10)
        self.seen.append(x)
        if x.size and x.min() < 0:
            raise RequestError(INTERNAL, "negative")
        return [x * 2]


def signature(model, shape=(None, None), padding=None):
    spec = TensorSpec("x:0", types_pb2.DT_INT32, shape)
    return Signature("s", {"x": spec}, {"y": spec}, padding or {}, model)


def run(inputs, *, rows=64, shape=(None, None), padding=None):
    """Answers (or errors) for inputs that arrive while a first request is still running."""
    model = Model()

    async def main():
        with ThreadPoolExecutor(1) as executor:
            batcher = Batcher(signature(model, shape, padding), executor, rows=rows, runs=1)
            first = asyncio.create_task(batcher.run([np.zeros((1, 1), int)]))
            await asyncio.sleep(0.05)
            rest = [asyncio.create_task(batcher.run([np.array(x)])) for x in inputs]
            await asyncio.sleep(0.05)
            model.gate.set()
            await first
            answers = await asyncio.gather(*rest, return_exceptions=True)
            await batcher.drain()
            return answers

    return asyncio.run(main()), [x.tolist() for x in model.seen[1:]]


def test_what_queued_up_shares_a_run_and_each_gets_its_own():
    answers, seen = run([[[1, 2]], [[3, 4], [5, 6]], [[7, 8]]])
    assert seen == [[[1, 2], [3, 4], [5, 6], [7, 8]]]
    assert [a[0].tolist() for a in answers] == [[[2, 4]], [[6, 8], [10, 12]], [[14, 16]]]


def test_no_run_exceeds_the_row_limit_and_none_is_left_behind():
    answers, seen = run([[[i]] * 3 for i in range(5)], rows=7)
    assert [len(x) for x in seen] == [6, 6, 3]
    assert [a[0].tolist() for a in answers] == [[[2 * i]] * 3 for i in range(5)]


def test_a_request_above_the_limit_runs_alone():
    _, seen = run([[[1]] * 9, [[2]]], rows=4)
    assert [len(x) for x in seen] == [9, 1]


def test_only_equal_shapes_share_a_run():
    answers, seen = run([[[1]], [[2, 3]], [[4]]])
    assert seen == [[[1], [4]], [[2, 3]]]
    assert answers[1][0].tolist() == [[4, 6]]


def test_padding_merges_like_lengths_only():
    answers, seen = run([[[1, 2, 3]], [[4] * 4], [[5] * 9], [[6, 7, 8]]], padding={"x": 0})
    assert seen == [[[1, 2, 3, 0], [4, 4, 4, 4], [6, 7, 8, 0]], [[5] * 9]]
    assert answers[0][0].tolist() == [[2, 4, 6, 0]]


def test_the_one_at_fault_fails_alone():
    answers, _ = run([[[1]], [[-1]], [[3]]])
    assert answers[0][0].tolist() == [[2]]
    assert isinstance(answers[1], RequestError)
    assert answers[2][0].tolist() == [[6]]


def test_signatures_without_rows_are_never_merged():
    _, seen = run([5, 6], shape=())
    assert seen == [5, 6]


def test_an_unexpected_error_reaches_the_caller_and_the_queue_goes_on():
    model = Model()
    model.gate.set()

    async def main():
        with ThreadPoolExecutor(1) as executor:
            batcher = Batcher(signature(model), executor, rows=4, runs=1)
            with pytest.raises(TypeError):
                await asyncio.wait_for(batcher.run([np.array([["a"]], object)]), 5)
            return await asyncio.wait_for(batcher.run([np.array([[2]])]), 5)

    assert asyncio.run(main())[0].tolist() == [[4]]


def test_a_client_that_left_does_not_stop_the_queue():
    model = Model()

    async def main():
        with ThreadPoolExecutor(1) as executor:
            batcher = Batcher(signature(model), executor, rows=4, runs=1)
            gone = asyncio.create_task(batcher.run([np.array([[1]])]))
            waiting = asyncio.create_task(batcher.run([np.array([[1, 1]])]))
            last = asyncio.create_task(batcher.run([np.array([[5]])]))
            await asyncio.sleep(0.05)
            gone.cancel()
            waiting.cancel()
            await asyncio.sleep(0)
            model.gate.set()
            answer = await asyncio.wait_for(last, 5)
            await asyncio.wait_for(batcher.drain(), 5)
            return answer

    assert asyncio.run(main())[0].tolist() == [[10]]
    assert [x.tolist() for x in model.seen] == [[[1], [5]]]
