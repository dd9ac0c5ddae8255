"""Dynamic batching: the queue of a signature.

While one run of the model is in progress, requests queue up; the next run takes as many of them as
fit, as one batch. By default nothing waits for company: a lone request runs at once, and under load
the batches grow by themselves. A run that takes long gets others beside it. With a batching
parameters file a batch that is not full waits for a while. The queue is bounded, and forgets
whoever no longer waits for an answer: a client that has left, and a request whose time is over.

A request of more rows than a run has room for stands in a lane of its own, beside the others: it
has threads of its own, so that none of them waits for it. Where it may be split, its parts queue up
a few at a time, and those that are left are dropped with it.
"""

import asyncio
import collections
import dataclasses
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

from podway.export.server.batching import merge
from podway.export.server.batching.merge import Arrays
from podway.export.server.batching.parameters import BatchingParameters, Large
from podway.export.server.error import INVALID_ARGUMENT, RESOURCE_EXHAUSTED, RequestError
from podway.export.server.runtime.servable import Signature

_LARGE = ("large",)
"""The key of all that has more rows than a run has room for; nothing of it is merged."""
_ALONE = 0.002
"""Seconds for which a run is the only one: what comes meanwhile shares the next. The runs of small
models are over sooner; beside each other they would cost more and answer no sooner."""


@dataclasses.dataclass(eq=False)
class _Call:
    """A request in the queue, or a part of one; calls of one key can share a run.

    Attributes:
      weight: how much of the queue it takes, in rows.
      since: when it came, by the loop's clock.
      waits: whether it is in the queue.
    """

    inputs: Arrays
    rows: int
    key: object
    weight: int
    since: float
    answer: asyncio.Future
    waits: bool = False


class Batcher:
    """The queue of one signature. Belongs to the event loop's thread."""

    def __init__(
        self,
        signature: Signature,
        executor: Executor,
        parameters: BatchingParameters = BatchingParameters(),  # noqa: B008 (frozen)
        on_start: Callable[[float], None] = lambda seconds: None,
    ):
        """Runs batches in the executor, `parameters.threads` at once, and so many more of large
        requests as `parameters.large_threads`.

        Calls `on_start` with the time that a request has waited when its run begins.
        """
        self._on_start = on_start
        self._signature = signature
        self._executor = executor
        self._parameters = parameters
        self._groups: dict[object, collections.deque[_Call]] = {}
        self._rows: collections.Counter[object] = collections.Counter()
        self._queued = self._queued_large = 0
        self._running: set[asyncio.Future] = set()
        self._running_large: set[asyncio.Future] = set()
        self._begun = 0.0
        self._soon = False
        self._timer: asyncio.TimerHandle | None = None

    async def run(self, inputs: Arrays) -> Arrays:
        """The signature's outputs for these inputs. Raises RequestError.

        Cancelling it takes the request out of the queue.
        """
        key = merge.key_of(inputs, self._signature, self._parameters)
        if key is None or merge.rows_of(inputs) <= self._parameters.max_execution_batch_size:
            call = self._call(inputs, key)
            self._check_room(self._queued, call.weight)
            try:
                self._admit(call)
                return await call.answer
            finally:
                self._forget(call)
        calls = [self._call(part, _LARGE) for part in self._parts(inputs)]
        rows = merge.rows_of(inputs)
        self._check_room(self._queued_large, rows)
        self._queued_large += rows
        try:
            return await self._answers(calls, self._parameters.large_threads)
        finally:
            self._queued_large -= rows

    async def _answers(self, calls: Sequence[_Call], at_once: int) -> Arrays:
        """The answers to the parts of a request, joined; so many of them are in the queue."""
        answers: list[Arrays] = []
        try:
            for call in calls[:at_once]:
                self._admit(call)
            for number, call in enumerate(calls):
                answers.append(await call.answer)
                if number + at_once < len(calls):
                    self._admit(calls[number + at_once])
        finally:
            for call in calls:
                self._forget(call)
        return answers[0] if len(answers) == 1 else merge.join(answers, self._signature.outputs)

    async def drain(self) -> None:
        """Returns when no run is in progress."""
        while self._running or self._running_large or self._groups:
            await asyncio.sleep(0.01)

    @property
    def queued(self) -> int:
        """Rows that wait for a run, but for those of large requests."""
        return self._queued

    def _parts(self, inputs: Arrays) -> Sequence[Arrays]:
        rows, large = merge.rows_of(inputs), self._parameters.large
        if large is Large.REFUSE and rows > self._parameters.max_batch_size:
            raise RequestError(
                INVALID_ARGUMENT,
                f"{rows} rows are more than max_batch_size, {self._parameters.max_batch_size};"
                " send several requests",
            )
        if large is Large.SPLIT or (large is Large.ALONE and self._signature.rows_alone):
            return merge.split(inputs, self._parameters.max_execution_batch_size)
        return [inputs]

    def _call(self, inputs: Arrays, key: tuple | None) -> _Call:
        loop, rows = asyncio.get_running_loop(), merge.rows_of(inputs)
        # What cannot be merged is a batch of its own, whatever its rows.
        weight = rows if key is not None else self._parameters.max_execution_batch_size
        group = key if key is not None else object()
        return _Call(inputs, rows, group, weight, loop.time(), loop.create_future())

    def _check_room(self, queued: int, weight: int) -> None:
        """Raises RequestError when there is no room for this weight beside what is queued."""
        batches = self._parameters.max_enqueued_batches
        idle = self._parameters.threads - len(self._running)  # that room is left at once
        room = (batches + idle) * self._parameters.max_execution_batch_size
        if queued and queued + weight > room:
            raise RequestError(
                RESOURCE_EXHAUSTED,
                f"signature {self._signature.name!r}: the queue is full"
                f" (max_enqueued_batches {batches}); try again later",
            )

    def _admit(self, call: _Call) -> None:
        """Queues a call."""
        call.waits, call.since = True, asyncio.get_running_loop().time()
        self._groups.setdefault(call.key, collections.deque()).append(call)
        self._rows[call.key] += call.rows
        self._queued += call.weight if call.key is not _LARGE else 0
        if not self._soon:  # after what has arrived in the same turn of the loop
            self._soon = True
            asyncio.get_running_loop().call_soon(self._start)

    def _forget(self, call: _Call) -> None:
        """Takes a call out of the queue, if it is there still."""
        if call.waits:
            self._groups[call.key].remove(call)
            self._leave(call)
        if not call.answer.cancel() and not call.answer.cancelled():
            call.answer.exception()  # has been seen: another part's was raised

    def _leave(self, call: _Call) -> None:
        call.waits = False
        self._queued -= call.weight if call.key is not _LARGE else 0
        self._rows[call.key] -= call.rows
        if not self._groups[call.key]:
            del self._groups[call.key], self._rows[call.key]

    def _start(self) -> None:
        """Starts as many runs as there may be, of the batches that need not wait."""
        self._soon = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        loop = asyncio.get_running_loop()
        while _LARGE in self._groups and len(self._running_large) < self._parameters.large_threads:
            self._begin(_LARGE, self._running_large)
        while len(self._running) < self._parameters.threads:
            key, due = self._next(loop.time())
            if key is None:
                return
            if due > 0:
                self._timer = loop.call_later(due, self._start)
                return
            self._begun = loop.time()
            self._begin(key, self._running)

    def _begin(self, key: object, among: set[asyncio.Future]) -> None:
        """Starts a run of this group."""
        calls = self._take(key)
        run = asyncio.get_running_loop().run_in_executor(
            self._executor, _run, self._signature, calls, self._parameters
        )
        among.add(run)
        run.add_done_callback(lambda run: self._finish(run, calls, among))

    def _next(self, now: float) -> tuple[object, float]:
        """The group to run next, and in how many seconds; None where there is none."""
        limit, timeout = self._parameters.max_execution_batch_size, self._parameters.timeout
        alone = self._begun + _ALONE - now if self._running else 0.0
        soonest: tuple[object, float] = (None, float("inf"))
        for key, group in self._groups.items():
            if key is _LARGE:
                continue
            full = self._rows[key] >= limit
            waits = group[0].since + timeout - now if timeout else 0.0
            due = 0.0 if full else max(alone, waits)
            if due <= 0:
                return key, 0.0
            soonest = min(soonest, (key, due), key=lambda group: group[1])
        return soonest

    def _take(self, key: object) -> list[_Call]:
        """The group's oldest calls that fit into a batch; what is left goes behind the others."""
        group, calls, rows = self._groups[key], [], 0
        limit = self._parameters.max_execution_batch_size
        while group and (not calls or (key is not _LARGE and rows + group[0].rows <= limit)):
            call = group.popleft()
            calls.append(call)
            self._on_start(asyncio.get_running_loop().time() - call.since)
            rows += call.rows
            self._leave(call)
        if group:
            self._groups[key] = self._groups.pop(key)
        return calls

    def _finish(self, run: asyncio.Future, calls: list[_Call], among: set[asyncio.Future]) -> None:
        among.discard(run)
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


def _run(
    signature: Signature, calls: list[_Call], parameters: BatchingParameters
) -> list[Arrays | Exception | None]:
    """Answers, or what went wrong, for each call. Runs in a worker thread.

    None for a client that left while the run waited for its thread.
    """
    waiting = [call for call in calls if not call.answer.done()]
    answers = dict(zip(waiting, _outputs(signature, waiting, parameters), strict=True))
    return [answers.get(call) for call in calls]


def _outputs(
    signature: Signature, calls: list[_Call], parameters: BatchingParameters
) -> list[Arrays | Exception]:
    if len(calls) > 1:
        try:
            size = parameters.padded(sum(call.rows for call in calls))
            return list(merge.run(signature, [call.inputs for call in calls], size))
        except (RequestError, ValueError):
            pass  # each alone, so that only those at fault fail
    answers: list[Arrays | Exception] = []
    for call in calls:
        size = parameters.padded(call.rows) if isinstance(call.key, tuple) else call.rows
        try:
            if size > call.rows:
                answers += merge.run(signature, [call.inputs], size)
            else:
                answers.append(signature.run(call.inputs))
        except (RequestError, ValueError) as error:
            answers.append(error)
    return answers
