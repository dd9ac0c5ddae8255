"""The embedded queue: a file on one machine, for any number of processes.

A log as the larger queues have: topics of partitions, offsets of groups, members that share a
group's partitions. SQLite's transactions make each publish and each commit whole or not there.
"""

import json
import pathlib
import time
from collections.abc import Sequence

from podway.framework.config.online import SqliteQueue
from podway.online.error import QueueError
from podway.online.queue.dead import Policy
from podway.online.queue.queue import (
    Message,
    Place,
    check_offset,
    check_partitions,
    partition_of,
)
from podway.online.queue.sqlite_consumer import SqliteConsumer
from podway.online.queue.sqlite_file import File
from podway.online.queue.sqlite_file import topic as found_topic
from podway.online.queue.sqlite_members import ended

_WAIT = 0.05
_SWEEP = 60.0


class SqliteLog:
    """The queue of a file."""

    offsets = True
    forgets = ""

    def __init__(self, config: SqliteQueue, dead: str):
        self._config = config
        self._path = pathlib.Path(config.path).absolute()
        self._policy = Policy(dead, config.attempts, config.retry_seconds)
        self._file = self._open()

    def create(self, topic: str, partitions: int) -> None:
        """Makes the topic where there is none."""
        with self._file.written():
            statement = "INSERT OR IGNORE INTO topic (name, partitions) VALUES (?, ?)"
            if self._file.run(statement, (topic, partitions)) == 0:
                return
            (number,) = self._file.row("SELECT id FROM topic WHERE name = ?", (topic,))
            rows = [(number, index, 0) for index in range(partitions)]
            self._file.many("INSERT INTO head VALUES (?, ?, ?)", rows)

    def producer(self) -> "SqliteProducer":
        """A new producer."""
        return SqliteProducer(self._open(), self._config, self._policy.topic)

    def consumer(self, group: str, topic: str, start: str = "earliest") -> SqliteConsumer:
        """A new member of the group."""
        producer = self.producer()
        config = self._config
        return SqliteConsumer(
            self._open(), producer, group, topic, start, self._policy, config.lease_seconds
        )

    def lags(self, topic: str) -> dict[str, int]:
        """Group → messages of the topic that wait for it."""
        return {team: waiting for waiting, team in waiting_of(self._file, topic)}

    def rewind(self, group: str, topic: str, to: Place) -> None:
        """Begins the group again at a time or at offsets."""
        number, partitions = found_topic(self._file, topic)
        offsets = None if isinstance(to, int | float) else to
        check_partitions(topic, offsets or {}, partitions)
        with self._file.written():
            named = (number, group)
            owners = self._file.rows(
                "SELECT DISTINCT owner FROM progress WHERE topic = ? AND team = ? AND owner IS NOT"
                " NULL",
                named,
            )
            if not all(ended(self._path, owner) for (owner,) in owners):
                raise QueueError(
                    f"group {group!r} of {topic} has members: stop its services before it is"
                    " rewound"
                )
            self._file.run("DELETE FROM failed WHERE topic = ? AND team = ?", named)
            for index in range(partitions) if offsets is None else offsets:
                end = self._file.row(
                    "SELECT next FROM head WHERE topic = ? AND partition = ?", (number, index)
                )[0]
                first = self._file.row(
                    "SELECT MIN(offset) FROM message WHERE topic = ? AND partition = ? AND"
                    " published >= ?",
                    (number, index, to if offsets is None else 0.0),
                )[0]
                found = end if first is None else first
                if offsets is not None:
                    check_offset(topic, index, offsets[index], found, end)
                    found = offsets[index]
                self._file.run(
                    "INSERT OR REPLACE INTO progress VALUES (?, ?, ?, ?, NULL)",
                    (number, group, index, found),
                )

    def close(self) -> None:
        """Closes the file; producers and consumers have connections of their own."""
        self._file.close()

    def _open(self) -> File:
        return File(self._path, self._config.durable, self._config.publish_seconds)


class SqliteProducer:
    """Publishes into the file."""

    def __init__(self, file: File, config: SqliteQueue, dead: str):
        self._file, self._config, self._dead = file, config, dead
        self._swept = time.monotonic()

    def publish(
        self, topic: str, messages: Sequence[Message], timeout: float | None = None
    ) -> None:
        """Returns when the file has all of them; raises QueueError, and it has none."""
        if not messages:
            return
        end = time.monotonic() + (self._config.publish_seconds if timeout is None else timeout)
        while not self._publish(topic, messages):
            if time.monotonic() >= end:
                waiting, team = max(waiting_of(self._file, topic), default=(0, ""))
                raise QueueError(
                    f"topic {topic} of {self._file.path} is full: {waiting} messages wait for"
                    f" {f'group {team!r}' if team else 'a first group'}, and queue.most_waiting is"
                    f" {self._config.most_waiting}; start more of its consumers, or raise it"
                )
            time.sleep(_WAIT)

    def _publish(self, topic: str, messages: Sequence[Message]) -> bool:
        file = self._file
        with file.written():
            number, partitions = found_topic(file, topic)
            if topic != self._dead and self._full(topic, len(messages)):
                return False
            heads = dict(file.rows("SELECT partition, next FROM head WHERE topic = ?", (number,)))
            now = time.time()
            rows = []
            for message in messages:
                index = partition_of(message.key, partitions)
                headers = json.dumps(dict(message.headers)) if message.headers else "{}"
                rows.append((number, index, heads[index], now, message.key, headers, message.value))
                heads[index] += 1
            file.many("INSERT INTO message VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            file.many(
                "UPDATE head SET next = ? WHERE topic = ? AND partition = ?",
                [(offset, number, index) for index, offset in heads.items()],
            )
            if time.monotonic() > self._swept + _SWEEP:
                self._swept = time.monotonic()
                self._sweep(number, now - 3600 * self._config.keep_hours)
        return True

    def _full(self, topic: str, more: int) -> bool:
        """Whether so many more are too many; into an empty topic any batch goes."""
        waiting = max((waiting for waiting, _ in waiting_of(self._file, topic)), default=0)
        return waiting > 0 and waiting + more > self._config.most_waiting

    def _sweep(self, number: int, before: float) -> None:
        """Drops what is older than `before` and was read by each group; what none reads stays."""
        self._file.run(
            "DELETE FROM message WHERE topic = :topic AND published < :before AND offset < ("
            "SELECT MIN(next) FROM progress WHERE topic = :topic"
            " AND progress.partition = message.partition)",
            {"topic": number, "before": before},
        )

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def waiting_of(file: File, name: str) -> list[tuple[int, str]]:
    """Messages that wait for a group of the topic, and the group; "": all, where there is none."""
    number, _ = found_topic(file, name)
    found = file.rows(
        "SELECT SUM(head.next - progress.next), team FROM progress JOIN head USING (topic,"
        " partition) WHERE topic = ? GROUP BY team",
        (number,),
    )
    return found or file.rows("SELECT SUM(next), '' FROM head WHERE topic = ?", (number,))
