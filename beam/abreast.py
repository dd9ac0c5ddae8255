"""Buckets that are worked on side by side, where the pipeline runs in this process.

A local runner gives one bucket after the other. NumPy and Arrow let go of Python's lock, so threads
keep a second core busy; more of them would only hold more buckets in memory.
"""

import collections
import concurrent.futures
import contextlib
from collections.abc import Iterator
from typing import Any

import apache_beam
from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

WIDTH = 2
"""Buckets at a time."""

_pool: concurrent.futures.ThreadPoolExecutor | None = None


@contextlib.contextmanager
def threads() -> Iterator[None]:
    """Workers that run in this process, while the block does, take WIDTH buckets at a time."""
    global _pool
    before, _pool = _pool, concurrent.futures.ThreadPoolExecutor(WIDTH)
    try:
        yield
    finally:
        _pool.shutdown(cancel_futures=True)
        _pool = before


class Abreast(apache_beam.DoFn):
    """A DoFn over the buckets of a global window; subclasses say in `work` what becomes of one.

    Results come in the order of the buckets, whatever ends first.
    """

    def work(self, element: Any, *side: Any) -> Iterator[Any]:
        """What `process` would do, in any thread."""
        raise NotImplementedError

    def start_bundle(self) -> None:
        """None are under way."""
        self._running: collections.deque[concurrent.futures.Future] = collections.deque()

    def process(self, element: Any, *side: Any) -> Iterator[Any]:
        """Starts one; yields what came of an earlier one, once WIDTH are under way."""
        if _pool is None:
            yield from self.work(element, *side)
            return
        self._running.append(_pool.submit(lambda: list(self.work(element, *side))))
        if len(self._running) == WIDTH:
            yield from self._running.popleft().result()

    def finish_bundle(self) -> Iterator[Any]:
        """Yields the rest."""
        while self._running:
            for result in self._running.popleft().result():
                yield _windowed(result)


def _windowed(result: Any) -> Any:
    window = GlobalWindow()
    if isinstance(result, TaggedOutput):
        return TaggedOutput(result.tag, _windowed(result.value))
    return WindowedValue(result, window.max_timestamp(), (window,))
