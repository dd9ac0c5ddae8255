"""A member of a group that reads Kafka.

The group's commit of a partition says beside the offset, as its metadata, whether a member has the
partition and how often the first message that is not done has failed: so the next member knows what
the one before ended in the midst of.
"""

import json
import logging
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from podway.framework.config.online import KafkaQueue
from podway.online.error import QueueError
from podway.online.queue import dead, progress
from podway.online.queue.dead import Policy
from podway.online.queue.progress import Progress
from podway.online.queue.queue import Producer, Received
from podway.online.queue.window import Window

_LOG = logging.getLogger(__name__)
_LOST = (
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.FENCED_INSTANCE_ID,
    KafkaError._ASSIGNMENT_LOST,
)
"""Said of a commit: what it is of belongs to another by now."""
_SLICE = 0.1
_PATIENCE = 30.0


class KafkaConsumer:
    """Shares the partitions with the group's other members."""

    def __init__(
        self,
        common: dict[str, Any],
        producer: Producer,
        group: str,
        topic: str,
        partitions: int,
        start: str,
        policy: Policy,
        config: KafkaQueue,
    ):
        if start not in ("earliest", "latest"):
            raise QueueError(f"start is {start!r}; give earliest or latest")
        self._producer, self._group, self._topic = producer, group, topic
        self._policy, self._config, self._start = policy, config, start
        self._partitions = partitions
        self._consumer = Consumer(
            {
                **common,
                "group.id": group,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": start,
                "partition.assignment.strategy": "cooperative-sticky",
                "session.timeout.ms": int(1000 * config.session_seconds),
                "heartbeat.interval.ms": int(1000 * min(3.0, config.session_seconds / 4)),
                "isolation.level": "read_committed",
                "queued.min.messages": 10_000,
            }
        )
        self._closed = False
        self._windows: dict[int, Window] = {}
        self._unsaved: set[int] = set()
        self._paused: set[int] = set()
        self._begin()
        self._consumer.subscribe(
            [topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
        )

    def poll(self, most: int, timeout: float) -> list[Received]:
        """Up to `most` further messages."""
        end = time.monotonic() + timeout
        while True:
            found = self._take(most)
            left = end - time.monotonic()
            if len(found) < most:
                self._fetch(most - len(found), 0 if found else max(0.0, min(left, _SLICE)))
                found += self._take(most - len(found))
            if found or left <= 0:
                return found

    def _take(self, most: int) -> list[Received]:
        found: list[Received] = []
        now = time.monotonic()
        for window in list(self._windows.values()):
            for message in window.take(most - len(found), now):
                if message.attempt > self._policy.attempts:
                    self.dead(message, dead.ended(message.attempt - 1))
                else:
                    found.append(message)
        return found

    def _fetch(self, most: int, timeout: float) -> None:
        """Fetches into the windows, except those whose next delivery is to wait."""
        self._pause()
        for message in self._consumer.consume(most, timeout):
            if (error := message.error()) is not None:
                if error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC):
                    raise self._problem(error, f"there is no topic {self._topic}")
                if error.fatal():
                    raise self._problem(error, f"group {self._group} can't be read on")
                continue  # a broker is away: the client goes on to look for it
            if (window := self._windows.get(message.partition() or 0)) is not None:
                window.add(self._received(message))

    def _pause(self) -> None:
        waits = {index for index, window in self._windows.items() if window.ahead}
        if more := waits - self._paused:
            self._consumer.pause(self._places(more))
        if less := (self._paused - waits) & self._windows.keys():
            self._consumer.resume(self._places(less))
        self._paused = waits

    def _received(self, message: Message) -> Received:
        index, offset = message.partition() or 0, message.offset() or 0
        headers = message.headers() or []
        return Received(
            self._topic,
            index,
            offset,
            f"{index}-{offset}",
            _text(message.key()),
            message.value() or b"",
            {name: _text(value) for name, value in headers},
            message.timestamp()[1] / 1000,
        )

    def commit(self, messages: Iterable[Received]) -> None:
        """These are done, and all before them."""
        for index, offset in progress.last(messages).items():
            window = self._windows.get(index)
            if window is not None and window.progress.commit(offset):
                window.trim()
                self._unsaved.add(index)
        self._save()

    def retry(self, message: Received, reason: str) -> None:
        """Delivers it again, later."""
        if (window := self._windows.get(message.partition)) is None:
            return
        failed = window.progress.failed.get(message.offset, 0) + 1
        if failed >= self._policy.attempts:
            self.dead(message, reason)
            return
        until = time.monotonic() + progress.delay(self._policy.seconds, failed)
        if window.again(message.offset, until):
            self._unsaved.add(message.partition)
            self._save()

    def dead(self, message: Received, reason: str) -> None:
        """To the topic of dead messages at once."""
        window = self._windows.get(message.partition)
        if window is None or not window.progress.waits(message.offset):
            return
        gone = dead.message(message, self._group, reason, self._policy.topic)
        self._producer.publish(self._policy.topic, [gone])
        if window.progress.dead(message.offset):
            window.trim()
            self._unsaved.add(message.partition)
            self._save()

    def lag(self) -> int:
        """Messages that wait for this group."""
        total = 0
        try:
            for of in self._consumer.committed(self._places(range(self._partitions)), _PATIENCE):
                low, high = self._consumer.get_watermark_offsets(of, _PATIENCE)
                total += high - max(of.offset, low)
        except KafkaException as error:
            raise self._problem(error.args[0], "it does not say what waits") from None
        return total

    def close(self) -> None:
        """Leaves the group."""
        if not self._closed:
            self._closed = True
            try:
                self._consumer.close()
            except:  # noqa: E722
                # What a callback raised comes as a KafkaError, which is no exception of Python's.
                error = sys.exc_info()[1]
                if isinstance(error, BaseException) and not isinstance(error, KafkaException):
                    raise
                _LOG.debug("left %s with %s", self._group, error)
            self._producer.close()

    def _begin(self) -> None:
        """Writes down where a new group begins, so that this is when it was opened and not when a
        member gets its first partition."""

        def write() -> None:
            places = self._consumer.committed(self._places(range(self._partitions)), _PATIENCE)
            new = [of for of in places if of.offset < 0]
            for of in new:
                low, high = self._consumer.get_watermark_offsets(of, _PATIENCE)
                of.offset = low if self._start == "earliest" else high
            if new:
                self._consumer.commit(offsets=new, asynchronous=False)

        self._patiently(write, f"group {self._group} can't begin", lambda: time.sleep(_SLICE))

    def _save(self, owned: bool = True) -> None:
        """Commits what is not yet; what others have by now is left out."""

        def write() -> None:
            self._unsaved &= self._windows.keys()
            if self._unsaved:
                places = [self._place(index, owned) for index in sorted(self._unsaved)]
                for of in self._consumer.commit(offsets=places, asynchronous=False) or []:
                    if of.error is not None:
                        raise KafkaException(of.error)
                self._unsaved.clear()

        self._patiently(write, f"{self._topic} takes no commit", lambda: self._fetch(1, _SLICE))

    def _patiently(self, act: Callable[[], None], what: str, between: Callable[[], None]) -> None:
        """Acts until it is done; what belongs to others by now needs nothing done."""
        end = time.monotonic() + max(_PATIENCE, self._config.publish_seconds)
        while True:
            try:
                act()
                return
            except KafkaException as error:
                said = error.args[0]
                if said.code() in _LOST:
                    self._unsaved.clear()
                    return
                if said.fatal() or time.monotonic() >= end:
                    raise self._problem(said, what) from None
            between()

    def _place(self, index: int, owned: bool) -> TopicPartition:
        at = self._windows[index].progress
        told = {"owned": int(owned), "failed": at.failed.get(at.committed, 0)}
        metadata = json.dumps(told) if any(told.values()) else ""
        return TopicPartition(self._topic, index, at.committed, metadata=metadata)

    def _places(self, indices: Iterable[int]) -> list[TopicPartition]:
        return [TopicPartition(self._topic, index) for index in sorted(indices)]

    def _assigned(self, consumer: Consumer, given: list[TopicPartition]) -> None:
        """Begins where the group is; who had it before may have ended in its midst."""
        if not given or self._closed:  # the coordinator says nothing more to who is leaving
            consumer.incremental_assign([])
            return
        for of in consumer.committed(given, _PATIENCE):
            told = _told(of.metadata)
            mine = Progress(max(0, of.offset))
            failed = told.get("failed", 0) + told.get("owned", 0)
            if failed:
                mine.failed[mine.committed] = failed
            if told.get("owned"):
                mine.width = 1
            self._windows[of.partition] = Window(mine)
            self._unsaved.add(of.partition)
        starts = [self._place(of.partition, owned=True) for of in given]
        consumer.incremental_assign(starts)
        consumer.commit(offsets=starts, asynchronous=True)

    def _revoked(self, consumer: Consumer, taken: list[TopicPartition]) -> None:
        """Gives them in good order."""
        places = [self._place(of.partition, False) for of in taken if of.partition in self._windows]
        try:
            if places:
                consumer.commit(offsets=places, asynchronous=False)
        except KafkaException:
            pass  # then it is as if this member had ended
        self._lost(consumer, taken)

    def _lost(self, _: Consumer, taken: list[TopicPartition]) -> None:
        for of in taken:
            self._windows.pop(of.partition, None)
            self._unsaved.discard(of.partition)
            self._paused.discard(of.partition)

    def _problem(self, error: KafkaError, what: str) -> QueueError:
        return QueueError(
            f"Kafka at {self._config.servers}: {what}: {error.str()} ({error.name()}); see that"
            " queue.servers are its brokers, and that they run"
        )


def _told(metadata: str | None) -> dict[str, int]:
    """What the last member wrote beside its commit; nothing where others wrote."""
    try:
        found = json.loads(metadata or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _text(value: str | bytes | None) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value or ""
