"""A queue in a file, a lander on it, and what it landed."""

import contextlib
import dataclasses
import pathlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from podway.framework.config import online
from podway.online.events.event import Event, encode
from podway.online.lander import door
from podway.online.lander.lander import Lander
from podway.online.lander.metrics import metrics
from podway.online.queue import open as queues
from podway.online.queue.queue import Message

HOUR = 3600
DOOR = door.of(online.Events())


def now_hour() -> float:
    """The begin of an hour that is long enough ago for no event to be ahead."""
    return float(int(time.time()) // HOUR * HOUR - HOUR)


def event(at: int, time: float, **fields: Any) -> Event:
    return Event("play", f"u{at % 7}", f"i{at % 11}", time, f"e{at}", fields=fields)


def message(one: Event) -> Message:
    return Message(one.user, encode(one))


def landed(root: pathlib.Path) -> pa.Table:
    """All events, shard by shard, in the order of the shards' names."""
    tables = [pq.read_table(path, partitioning=None) for path in shards(root)]
    return pa.concat_tables(tables) if tables else DOOR.schema.empty_table()


def shards(root: pathlib.Path) -> list[pathlib.Path]:
    return sorted(root.glob("date=*/hour=*/*.parquet"))


@dataclasses.dataclass
class Place:
    """A queue and a folder."""

    folder: pathlib.Path
    config: online.SqliteQueue
    topics: online.Topics

    @property
    def root(self) -> pathlib.Path:
        return self.folder / "landed"

    @contextlib.contextmanager
    def queue(self) -> Iterator[Any]:
        queue = queues.opened(self.config, self.topics)
        try:
            yield queue
        finally:
            queue.close()

    def publish(self, messages: Sequence[Message]) -> None:
        with self.queue() as queue:
            producer = queue.producer()
            producer.publish(self.topics.events, messages)
            producer.close()

    def dead(self) -> list[Any]:
        """All that is among the dead."""
        with self.queue() as queue:
            consumer = queue.consumer("test", self.topics.dead)
            found = []
            while batch := consumer.poll(1000, 0.5):
                found += batch
            consumer.close()
            return found

    @contextlib.contextmanager
    def lander(self, **fields: Any) -> Iterator["Running"]:
        """A lander in a thread, which ends in good order at the end of the block."""
        config = online.Lander(**{"seconds": 0.2, **fields})
        with self.queue() as queue:
            consumer = queue.consumer(config.group, self.topics.events)
            numbers = metrics()
            mine = Lander(consumer, str(self.root), self.topics.events, config, DOOR, numbers, True)
            stop, errors = threading.Event(), []

            def run() -> None:
                try:
                    mine.run(stop)
                except BaseException as error:
                    errors.append(error)

            thread = threading.Thread(target=run)
            thread.start()
            try:
                yield Running(mine, numbers)
            finally:
                stop.set()
                thread.join(60)
            if errors:
                raise errors[0]


@dataclasses.dataclass
class Running:
    lander: Lander
    metrics: Any

    def count(self, kind: str) -> int:
        return int(self.metrics.events.labels(kind)._value.get())


def until(true: Callable[[], Any], seconds: float = 8.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.02)


@pytest.fixture
def place(tmp_path) -> Place:
    return Place(
        tmp_path,
        online.SqliteQueue(path=str(tmp_path / "queue.sqlite"), durable=False),
        online.Topics(partitions=3),
    )
