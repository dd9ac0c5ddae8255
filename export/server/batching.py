"""Dynamic batching that waits for nothing.

While one run of the model is in progress, requests queue up; the next run takes as many of them as
fit, as one batch. A lone request runs at once, and under load the batches grow by themselves.
"""

import asyncio
import dataclasses
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

import numpy as np

from export.server.error import RequestError
from export.server.servable import Signature

Arrays = Sequence[np.ndarray]


@dataclasses.dataclass(frozen=True)
class _Call:
    """A request in the queue; calls of one key can share a run."""

    inputs: Arrays
    rows: int
    key: tuple | None
    answer: asyncio.Future
    arrived: float = dataclasses.field(default_factory=time.perf_counter)


class Batcher:
    """The queue of one signature. Belongs to the event loop's thread."""

    def __init__(
        self,
        signature: Signature,
        executor: Executor,
        *,
        rows: int,
        runs: int,
        on_start: Callable[[float], None] = lambda seconds: None,
    ):
        """Merges up to `rows` rows; up to `runs` runs are in progress at once.

        Calls `on_start` with the time that a request has waited when its run begins.
        """
        self._signature = signature
        self._executor = executor
        self._rows = rows
        self._runs = runs
        self._on_start = on_start
        self._waiting: list[_Call] = []
        self._running: set[asyncio.Future] = set()
        self._scheduled = False

    async def run(self, inputs: Arrays) -> Arrays:
        """The signature's outputs for these inputs. Raises RequestError."""
        loop = asyncio.get_running_loop()
        call = _Call(inputs, _rows(inputs), self._key(inputs), loop.create_future())
        self._waiting.append(call)
        if not self._scheduled:  # after what has arrived in the same turn of the loop
            self._scheduled = True
            loop.call_soon(self._start)
        return await call.answer

    async def drain(self) -> None:
        """Returns when no run is in progress."""
        while self._running or self._waiting:
            await asyncio.sleep(0.01)

    def _start(self) -> None:
        self._scheduled = False
        loop = asyncio.get_running_loop()
        while self._waiting and len(self._running) < self._runs:
            if calls := self._take():
                run = loop.run_in_executor(self._executor, _run, self._signature, calls)
                self._running.add(run)
                run.add_done_callback(lambda run, calls=calls: self._finish(run, calls))

    def _finish(self, run: asyncio.Future, calls: list[_Call]) -> None:
        self._running.discard(run)
        error = run.exception()
        answers = [error] * len(calls) if error else run.result()
        for call, answer in zip(calls, answers, strict=True):
            if call.answer.done():  # the client has gone
                continue
            if isinstance(answer, BaseException):
                call.answer.set_exception(answer)
            else:
                call.answer.set_result(answer)
        self._start()

    def _take(self) -> list[_Call]:
        """The oldest call, and those that fit into a batch with it, in order."""
        waiting = [call for call in self._waiting if not call.answer.done()]
        taken, left, rows = [], [], 0
        for call in waiting:
            fits = not taken or (
                call.key is not None and call.key == taken[0].key and rows + call.rows <= self._rows
            )
            if fits:
                taken.append(call)
                rows += call.rows
                self._on_start(time.perf_counter() - call.arrived)
            else:
                left.append(call)
        self._waiting = left
        return taken

    def _key(self, inputs: Arrays) -> tuple | None:
        """What must be equal to share a run; None: nothing can be shared.

        Inputs that may be padded need only be of like length, which bounds the waste to ×2.
        """
        rows = {array.shape[0] if array.ndim else -1 for array in inputs}
        if not self._signature.batched or len(rows) != 1:
            return None
        return tuple(
            (_octave(array.shape[1]), *array.shape[2:])
            if name in self._signature.padding and array.ndim > 1
            else array.shape[1:]
            for name, array in zip(self._signature.inputs, inputs, strict=True)
        )


def _run(signature: Signature, calls: list[_Call]) -> list[Arrays | RequestError]:
    """Answers, or what went wrong, for each call. Runs in a worker thread."""
    if len(calls) > 1:
        try:
            return _run_merged(signature, calls)
        except (RequestError, ValueError):
            pass  # each alone, so that only those at fault fail
    answers: list[Arrays | RequestError] = []
    for call in calls:
        try:
            answers.append(signature.run(call.inputs))
        except RequestError as error:
            answers.append(error)
    return answers


def _run_merged(signature: Signature, calls: list[_Call]) -> list[Arrays | RequestError]:
    merged = [
        _concatenate(arrays, signature.padding.get(name))
        for name, arrays in zip(
            signature.inputs, zip(*(call.inputs for call in calls), strict=True), strict=True
        )
    ]
    outputs = signature.run(merged)
    ends = np.cumsum([call.rows for call in calls])
    if any(output.shape[0] != ends[-1] for output in outputs):
        raise ValueError("the outputs' rows are not those of the inputs")
    return [
        [output[end - call.rows : end] for output in outputs]
        for call, end in zip(calls, ends.tolist(), strict=True)
    ]


def _concatenate(arrays: Arrays, fill: object) -> np.ndarray:
    """Along dimension 0, after padding dimension 1 to the longest."""
    if len({array.shape[1:] for array in arrays}) == 1:
        return np.concatenate(arrays)
    length = max(array.shape[1] for array in arrays)
    rows = sum(len(array) for array in arrays)
    merged = np.full((rows, length, *arrays[0].shape[2:]), fill, arrays[0].dtype)
    start = 0
    for array in arrays:
        merged[start : start + len(array), : array.shape[1]] = array
        start += len(array)
    return merged


def _rows(inputs: Arrays) -> int:
    return inputs[0].shape[0] if inputs and inputs[0].ndim else 1


def _octave(length: int) -> int:
    """The power of two at or above."""
    return 1 << max(length - 1, 0).bit_length()
