"""The lander: polls, lands, commits; in this order, so that a kill at any moment loses nothing.

One thread polls and commits, another one reads messages and writes shards, so that one load is
written while the next is polled. What is held is bounded by these two loads.
"""

import concurrent.futures
import dataclasses
import logging
import threading
import time
from concurrent.futures import Future

import pyarrow as pa

from podway.framework.config import online
from podway.online.error import QueueError
from podway.online.lander import load
from podway.online.lander.door import Door
from podway.online.lander.load import Batch
from podway.online.lander.metrics import Metrics
from podway.online.lander.repeats import Repeats
from podway.online.lander.shard import Range, Written
from podway.online.lander.sift import LANDED, LATE, REPEATED, THERE
from podway.online.queue.queue import Consumer, Received
from podway.online.queue.run import Run, polled

_LOG = logging.getLogger(__name__)

_MOST = 10_000
"""Messages of one poll."""
_WAIT, _SHORT_WAIT = 0.2, 0.02
"""Seconds of a poll; of one after which a queue is asked whether it holds something back."""
_CAREFUL = 12
"""Flushes after a start, or after a message that comes again, in which a queue may deliver a few
messages at a time until these are committed."""
_LOOK = 2.0
"""Seconds between two looks at how much waits."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0
"""Seconds before what failed is tried again."""


@dataclasses.dataclass
class _Load:
    """What is polled and not yet committed."""

    since: float
    oldest: float
    batches: list[Future[Batch]] = dataclasses.field(default_factory=list)
    first: dict[int, int] = dataclasses.field(default_factory=dict)
    last: dict[int, Received] = dataclasses.field(default_factory=dict)
    messages: list[Received] = dataclasses.field(default_factory=list)
    rows: int = 0
    bytes: int = 0


@dataclasses.dataclass(frozen=True)
class _Landed:
    written: list[Written]
    batches: list[Batch]
    repeated: int


class Lander:
    """One member of the group of landers."""

    def __init__(
        self,
        consumer: Consumer,
        root: str,
        topic: str,
        config: online.Lander,
        door: Door,
        metrics: Metrics,
        offsets: bool,
    ):
        """Takes over the consumer, which it closes at its end.

        Args:
          consumer: of the topic.
          root: folder of the shards.
          topic: as shards are called.
          config: when to write, and what to take in.
          door: what an event is.
          metrics: that it tells.
          offsets: whether messages have the same offset at each delivery.
        """
        self._consumer, self._root, self._topic = consumer, root, topic
        self._config, self._door, self._metrics = config, door, metrics
        self._offsets = offsets
        self._load: _Load | None = None
        self._flushed: _Load | None = None
        self._flush: Future[_Landed] | None = None
        self._began = self._looked = 0.0
        self._seen: set[tuple[int, int]] = set()
        self._next: dict[int, int] = {}
        self._careful = _CAREFUL
        self._repeats = Repeats()
        self._problem = "has not polled yet"

    def problem(self) -> str:
        """Why it is not ready; "": it is."""
        return self._problem

    def run(self, stop: threading.Event, *, drain: bool = False) -> None:
        """Lands until it is asked to stop; then lands what it has, and leaves the group.

        Args:
          stop: set: it is asked.
          drain: it ends by itself when nothing waits any more.

        Raises:
          QueueError, OSError: at the end something could be neither landed nor committed. It will
            be delivered again.
        """
        with concurrent.futures.ThreadPoolExecutor(1, "lander") as self._worker:
            try:
                pause = _FIRST_PAUSE
                while not stop.is_set():
                    try:
                        polled = self._turn(stop)
                        self._problem, pause = "", _FIRST_PAUSE
                        if drain and not polled and self._is_drained():
                            break
                    except (QueueError, OSError) as error:
                        pause = self._failed(error, pause, stop)
                self._write()
            finally:
                self._consumer.close()

    def _write(self) -> None:
        """Writes and commits all that is held."""
        self._finish()
        if self._load is not None:
            self._begin_flush()
            self._finish()

    def _is_drained(self) -> bool:
        """Whether nothing waits, once all that is held is written."""
        self._write()
        return self._consumer.lag() <= 0

    def _failed(self, error: Exception, pause: float, stop: threading.Event) -> float:
        """Says what is wrong, once, and waits; how long to wait the next time."""
        if str(error) != self._problem:
            _LOG.warning("%s; it is tried again", error)
        self._problem = str(error)
        stop.wait(pause)
        return min(2 * pause, _LONGEST_PAUSE)

    def _turn(self, stop: threading.Event) -> bool:
        """One poll, and what is due after it; whether there was anything."""
        wait = _SHORT_WAIT if self._careful else _WAIT
        found = polled(self._consumer, _MOST, wait)
        if found:
            self._take(found)
        if self._flush is not None and self._flush.done():
            self._finish()
        self._tell()
        if self._load is not None and self._due(bool(found)):
            self._finish(beat=True)
            self._begin_flush()
        return bool(found)

    def _take(self, found: list[Run]) -> None:
        if self._load is None:
            self._load = _Load(time.monotonic(), found[0].published[0])
        mine = self._load
        for run in found:
            mine.oldest = min(mine.oldest, run.published[0])
            mine.rows += len(run)
            mine.bytes += sum(map(len, run.values))
            if run.again:
                self._careful = _CAREFUL
            if self._offsets:
                self._follow(mine, run)
            else:
                mine.messages += map(run.message, range(len(run)))
        mine.batches.append(self._worker.submit(load.batch, found, self._door, self._config))

    def _follow(self, mine: _Load, run: Run) -> None:
        """Which offsets of a partition the load has."""
        index, first, last = run.partition, run.offsets[0], run.offsets[-1]
        if self._next.get(index) != first or last - first + 1 != len(
            run
        ):  # others had it meanwhile
            self._seen = {place for place in self._seen if place[0] != index}
        self._next[index] = last + 1
        mine.first[index] = min(first, mine.first.get(index, first))
        before = mine.last.get(index)
        if before is None or last > before.offset:
            mine.last[index] = run.message(len(run) - 1)

    def _due(self, polled: bool) -> bool:
        """Whether the load is to be written."""
        mine, config = self._load, self._config
        assert mine is not None
        if mine.rows >= config.rows or mine.bytes >= 1e6 * config.megabytes:
            return True
        if time.monotonic() >= mine.since + config.seconds:
            return True
        if polled or not self._careful or self._flush is not None:
            return False
        self._careful -= 1
        return self._consumer.lag() > mine.rows

    def _begin_flush(self) -> None:
        self._began, self._flushed, self._load = time.monotonic(), self._load, None
        assert self._flushed is not None
        self._flush = self._worker.submit(self._land, self._flushed)

    def _land(self, mine: _Load) -> _Landed:
        """Writes the shards of a load. In the worker's thread."""
        batches = [future.result() for future in mine.batches]
        table = pa.concat_tables([one.table for one in batches])
        ranges = {
            partition: Range(self._topic, partition, first, mine.last[partition].offset)
            for partition, first in mine.first.items()
        }
        written = load.land(self._root, self._topic, table, ranges, self._seen)
        return _Landed(written, batches, self._repeats.count(table["id"]))

    def _finish(self, beat: bool = False) -> None:
        """Waits for the flush under way, and commits it. Raises QueueError, OSError: it is still
        under way, and the next call tries again."""
        if self._flush is None:
            return
        assert self._flushed is not None
        if beat:  # a member that is silent for long is taken for dead
            while not concurrent.futures.wait([self._flush], 1.0).done:
                self._consumer.poll(0, 0.0)
        try:
            landed = self._flush.result()
        except OSError:
            self._flush = self._worker.submit(self._land, self._flushed)
            raise
        dead = [one for batch in landed.batches for one in batch.dead]
        for run, at, _, reason in dead:
            self._consumer.dead(run.message(at), reason)
        self._consumer.commit(self._flushed.messages or self._flushed.last.values())
        self._flush = self._flushed = None
        self._count(landed, [kind for _, _, kind, _ in dead])

    def _count(self, landed: _Landed, dead: list[str]) -> None:
        metrics = self._metrics
        for kind in dead:
            metrics.events.labels(kind).inc()
        metrics.events.labels(LATE).inc(sum(one.late for one in landed.batches))
        metrics.events.labels(REPEATED).inc(landed.repeated)
        metrics.events.labels(LANDED).inc(sum(one.rows for one in landed.written))
        metrics.events.labels(THERE).inc(sum(one.there for one in landed.written))
        metrics.shards.inc(sum(bool(one.path) for one in landed.written))
        metrics.bytes.inc(sum(one.bytes for one in landed.written))
        metrics.flush.observe(time.monotonic() - self._began)

    def _tell(self) -> None:
        under_way = [one.oldest for one in (self._flushed, self._load) if one is not None]
        self._metrics.age.set(max(0.0, time.time() - min(under_way)) if under_way else 0.0)
        if time.monotonic() >= self._looked + _LOOK:
            self._looked = time.monotonic()
            self._metrics.waiting.set(self._consumer.lag())
