"""The queue, with a stand-in for the model that records what it is given."""
# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

import asyncio
import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from tensorflow.core.framework import types_pb2

from podway.export.server.batching import queue
from podway.export.server.batching.parameters import BatchingParameters, Large
from podway.export.server.batching.queue import Batcher
from podway.export.server.error import INTERNAL, INVALID_ARGUMENT, RESOURCE_EXHAUSTED, RequestError
from podway.export.server.runtime.servable import Signature
from podway.export.server.runtime.tensors import TensorSpec


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


def parameters(rows=64, threads=1, **more):
    return BatchingParameters(rows, rows, threads=threads, **more)


def run(inputs, *, shape=(None, None), padding=None, **more):
    """Answers (or errors) for inputs that arrive while a first request is still running."""
    model = Model()

    async def main():
        with ThreadPoolExecutor(1) as executor:
            batcher = Batcher(signature(model, shape, padding), executor, parameters(**more))
            first = asyncio.create_task(batcher.run([np.zeros((1, 1), int)]))
            await asyncio.sleep(0.05)
            rest = [asyncio.create_task(batcher.run([np.array(x)])) for x in inputs]
            await asyncio.sleep(0.05)
            model.gate.set()
            await first
            answers: list[Any] = await asyncio.gather(*rest, return_exceptions=True)
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


def test_a_short_run_is_alone_and_a_long_one_gets_others_beside_it(monkeypatch):
    """Two threads: what comes right behind a run shares the next, and does not wait for its end."""
    monkeypatch.setattr(queue, "_ALONE", 0.3)
    model = Model()

    async def main():
        with ThreadPoolExecutor(2) as executor:
            batcher = Batcher(signature(model), executor, parameters(threads=2))
            calls = []
            for number in range(3):
                calls.append(asyncio.create_task(batcher.run([np.array([[number]])])))
                await asyncio.sleep(0.01)
            waiting = batcher.queued
            await asyncio.sleep(0.5)
            beside = batcher.queued
            model.gate.set()
            await asyncio.gather(*calls)
            return waiting, beside

    assert asyncio.run(main()) == (2, 0)
    assert sorted(len(x) for x in model.seen) == [1, 2]


def test_signatures_without_rows_are_never_merged():
    _, seen = run([5, 6], shape=())
    assert seen == [5, 6]


def test_an_unexpected_error_reaches_the_caller_and_the_queue_goes_on():
    model = Model()
    model.gate.set()

    async def main():
        with ThreadPoolExecutor(1) as executor:
            batcher = Batcher(signature(model), executor, parameters(4))
            with pytest.raises(TypeError):
                await asyncio.wait_for(batcher.run([np.array([["a"]], object)]), 5)
            return await asyncio.wait_for(batcher.run([np.array([[2]])]), 5)

    assert asyncio.run(main())[0].tolist() == [[4]]


def test_a_client_that_left_does_not_stop_the_queue():
    model = Model()

    async def main():
        with ThreadPoolExecutor(1) as executor:
            batcher = Batcher(signature(model), executor, parameters(4))
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


def test_batches_are_filled_up_to_an_allowed_size_and_answers_are_cut_back():
    answers, seen = run([[[1]], [[2]], [[3]]], rows=8, allowed_batch_sizes=(1, 4, 8))
    assert seen == [[[1], [2], [3], [3]]]
    assert [a[0].tolist() for a in answers] == [[[2]], [[4]], [[6]]]
    answers, seen = run([[[1], [2]]], rows=8, allowed_batch_sizes=(1, 4, 8))
    assert seen == [[[1], [2], [2], [2]]]
    assert answers[0][0].tolist() == [[2], [4]]


def test_padding_fills_the_rows_of_unequal_lengths_too():
    _, seen = run([[[1, 2, 3]], [[4] * 4]], padding={"x": 0}, rows=4, allowed_batch_sizes=(4,))
    assert seen == [[[1, 2, 3, 0], [4] * 4, [4] * 4, [4] * 4]]


def test_variable_lengths_are_padded_by_the_first_value_when_asked_for():
    _, seen = run([[[7, 2]], [[4] * 9]], pad_variable_length_inputs=True)
    assert seen == [[[7, 2, *[7] * 7], [4] * 9]]
    _, seen = run([[[7, 2]], [[4] * 9]])
    assert len(seen) == 2


def test_a_large_request_is_split_and_others_do_not_wait_for_its_parts():
    answers, seen = run([[[i] for i in range(7)], [[8]]], rows=3, large=Large.SPLIT)
    assert sorted(len(x) for x in seen) == [1, 1, 3, 3]
    assert seen.index([[8]]) < 2
    assert answers[0][0].tolist() == [[2 * i] for i in range(7)]
    assert answers[1][0].tolist() == [[16]]


def test_a_large_request_is_split_by_itself_where_its_rows_are_independent():
    async def sizes(rows_alone):
        model = Model()
        model.gate.set()
        served = dataclasses.replace(signature(model), rows_alone=rows_alone)
        with ThreadPoolExecutor(2) as executor:
            batcher = Batcher(served, executor, parameters(rows=3))
            answer = await batcher.run([np.arange(7)[:, np.newaxis]])
        assert answer[0].tolist() == [[2 * i] for i in range(7)]
        return [len(x) for x in model.seen]

    assert asyncio.run(sizes(True)) == [3, 3, 1]
    assert asyncio.run(sizes(False)) == [7]


def test_large_requests_leave_threads_to_the_others():
    """Whatever large requests run: one of few rows runs beside them, at once."""

    class Slow(Model):
        def __call__(self, x):
            if len(x) > 1:
                self.gate.wait(10)
            return [x * 2]

    async def main():
        model = Slow()
        options = parameters(rows=1)
        with ThreadPoolExecutor(options.threads + options.large_threads) as executor:
            batcher = Batcher(signature(model), executor, options)
            large = [asyncio.create_task(batcher.run([np.ones((9, 1))])) for _ in range(5)]
            await asyncio.sleep(0.05)
            async with asyncio.timeout(2):
                answer = await batcher.run([np.ones((1, 1))])
            assert answer[0].tolist() == [[2.0]]
            model.gate.set()
            await asyncio.gather(*large)
            await batcher.drain()

    asyncio.run(main())


def test_the_parts_that_nobody_waits_for_do_not_run():
    async def main():
        model = Model()
        with ThreadPoolExecutor(2) as executor:
            batcher = Batcher(signature(model), executor, parameters(rows=1, large=Large.SPLIT))
            large = asyncio.create_task(batcher.run([np.ones((100, 1))]))
            await asyncio.sleep(0.05)
            large.cancel()
            await asyncio.gather(large, return_exceptions=True)
            model.gate.set()
            await batcher.drain()
            assert len(model.seen) == 1
            await batcher.run([np.ones((100, 1))])  # there is room again

    asyncio.run(main())


def test_a_large_request_fails_as_a_whole():
    answers, _ = run([[[1], [2], [-3]], [[4]]], rows=1, large=Large.SPLIT)
    assert isinstance(answers[0], RequestError)
    assert answers[1][0].tolist() == [[8]]


def test_a_large_request_is_refused_when_splitting_is_off():
    answers, seen = run([[[1]] * 5, [[2]]], rows=4, large=Large.REFUSE)
    assert answers[0].code is INVALID_ARGUMENT
    assert "5 rows are more than max_batch_size, 4" in answers[0].message
    assert len(seen) == 1


def test_a_full_queue_refuses_and_takes_again_when_it_has_emptied():
    answers, seen = run([[[i]] * 2 for i in range(8)], rows=2, max_enqueued_batches=3)
    refused = [a for a in answers if isinstance(a, RequestError)]
    assert [a[0].tolist() for a in answers[:3]] == [[[2 * i]] * 2 for i in range(3)]
    assert len(seen) == 3
    assert len(refused) == 5
    assert {a.code for a in refused} == {RESOURCE_EXHAUSTED}
    assert "max_enqueued_batches 3" in refused[0].message


def test_requests_that_cannot_share_a_run_fill_the_queue_as_batches():
    answers, _ = run(list(range(9)), shape=(), rows=64, max_enqueued_batches=4)
    assert sum(isinstance(a, RequestError) for a in answers) == 5


def test_who_left_leaves_room_in_the_queue_and_is_never_run():
    model = Model()

    async def main():
        with ThreadPoolExecutor(1) as executor:
            batcher = Batcher(signature(model), executor, parameters(1, max_enqueued_batches=3))
            tasks = [asyncio.create_task(batcher.run([np.array([[1]])]))]
            await asyncio.sleep(0.05)  # it runs
            for _ in range(20):  # as clients do whose time is over: none fills the queue
                tasks.append(asyncio.create_task(batcher.run([np.array([[2]])])))
                await asyncio.sleep(0)
                tasks[-1].cancel()
                await asyncio.sleep(0)
            assert batcher.queued == 0
            last = asyncio.create_task(batcher.run([np.array([[5]])]))
            await asyncio.sleep(0.01)
            model.gate.set()
            answer = await asyncio.wait_for(last, 5)
            await asyncio.wait_for(batcher.drain(), 5)
            return answer

    assert asyncio.run(main())[0].tolist() == [[10]]
    assert [x.tolist() for x in model.seen] == [[[1]], [[5]]]


def test_a_timeout_waits_for_a_full_batch_and_no_longer():
    model = Model()
    model.gate.set()

    async def main():
        with ThreadPoolExecutor(1) as executor:
            batcher = Batcher(signature(model), executor, parameters(3, timeout=0.4))
            loop = asyncio.get_running_loop()

            async def took(*inputs, apart=0.0):
                start = loop.time()
                runs = []
                for each in inputs:
                    runs.append(asyncio.create_task(batcher.run([np.array(each)])))
                    await asyncio.sleep(apart)
                await asyncio.gather(*runs)
                return loop.time() - start

            full = await took([[1]], [[2]], [[3]])
            alone = await took([[4]])
            late = await took([[5]], [[6]], apart=0.2)
            other = await took([[7]], [[8]], [[9]], [[1, 1]])  # the full one does not wait for it
            return full, alone, late, other

    full, alone, late, other = asyncio.run(main())
    assert full < 0.3
    assert 0.35 < alone < 0.8
    assert 0.35 < late < 0.8
    assert 0.35 < other < 0.8
    assert [len(x) for x in model.seen] == [3, 1, 2, 3, 1]


def test_by_default_nothing_waits():
    model = Model()
    model.gate.set()

    async def main():
        with ThreadPoolExecutor(1) as executor:
            batcher = Batcher(signature(model), executor, parameters(64))
            start = asyncio.get_running_loop().time()
            for _ in range(50):
                await batcher.run([np.array([[1]])])
            return asyncio.get_running_loop().time() - start

    assert asyncio.run(main()) < 1


def test_a_request_without_rows_runs_alone_and_is_never_padded():
    answers, seen = run([np.zeros((0, 2), int), [[1, 2]], [[3, 4]]], allowed_batch_sizes=(3, 64))
    assert seen == [[], [[1, 2], [3, 4], [3, 4]]]
    assert answers[0][0].shape == (0, 2)
