"""Kafka as a queue."""

import functools
import pathlib
import threading
import time
from collections.abc import Sequence
from typing import Any

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka import (
    Message as Sent,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from podway.framework.config.online import KafkaQueue
from podway.online.error import QueueError
from podway.online.queue.dead import Policy
from podway.online.queue.kafka_consumer import KafkaConsumer
from podway.online.queue.queue import Message, Place, check_offset, check_partitions

_SLICE = 0.05
_ADMIN = 30.0


class Kafka:
    """The queue of a cluster."""

    offsets = True
    forgets = ""

    def __init__(self, config: KafkaQueue, dead: str):
        if not config.servers:
            raise QueueError("queue.servers is empty; give HOST:PORT of some of Kafka's brokers")
        self._config = config
        self._policy = Policy(dead, config.attempts, config.retry_seconds)
        self._common = {
            "bootstrap.servers": config.servers,
            "client.id": "podway",
            "log_level": 2,
            "reconnect.backoff.max.ms": 1000,
            **settings(config.settings_file),
        }
        self._admin = AdminClient(self._common)
        self._known: dict[str, int] = {}
        self._given: list[KafkaConsumer] = []

    def create(self, topic: str, partitions: int) -> None:
        """Makes the topic where there is none."""
        new = NewTopic(
            topic,
            partitions,
            self._config.replication or -1,
            config={"message.timestamp.type": "LogAppendTime"},
        )
        try:
            self._admin.create_topics(
                [new], request_timeout=min(_ADMIN, max(1.0, self._config.publish_seconds))
            )[topic].result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise self._error(error.args[0], f"topic {topic} can't be created") from None

    def producer(self) -> "KafkaProducer":
        """A new producer."""
        return KafkaProducer(self._common, self._config, self.partitions)

    def consumer(self, group: str, topic: str, start: str = "earliest") -> KafkaConsumer:
        """A new member of the group."""
        given = KafkaConsumer(
            self._common,
            self.producer(),
            group,
            topic,
            self.partitions(topic),
            start,
            self._policy,
            self._config,
        )
        # What is left to Python's garbage collection has no callbacks when it leaves its group, and
        # hangs there: nothing is left to it.
        self._given.append(given)
        return given

    def partitions(self, topic: str) -> int:
        """Of a topic. Raises QueueError: there is none."""
        if topic not in self._known:
            try:
                found = self._admin.list_topics(timeout=self._config.publish_seconds).topics
            except KafkaException as error:
                raise self._error(error.args[0], "its topics can't be listed") from None
            self._known = {name: len(of.partitions) for name, of in found.items()}
        if topic not in self._known:
            names = ", ".join(sorted(name for name in self._known if not name.startswith("__")))
            raise QueueError(
                f"Kafka at {self._config.servers} has no topic {topic!r} (it has"
                f" {names or 'none'}): create it first"
            )
        return self._known[topic]

    def lags(self, topic: str) -> dict[str, int]:
        """Group → messages of the topic that wait for it."""
        every = [TopicPartition(topic, index) for index in range(self.partitions(topic))]
        found = {}
        try:
            groups = self._admin.list_consumer_groups(request_timeout=_ADMIN).result().valid
            reader = self._reader("podway-lags")
            heads = {of.partition: reader.get_watermark_offsets(of, _ADMIN) for of in every}
            reader.close()
            for group in sorted(group.group_id for group in groups):
                asked = [ConsumerGroupTopicPartitions(group, every)]
                answer = self._admin.list_consumer_group_offsets(asked, request_timeout=_ADMIN)
                offsets = answer[group].result().topic_partitions
                if all(of.offset < 0 for of in offsets):
                    continue
                found[group] = sum(
                    heads[of.partition][1] - max(of.offset, heads[of.partition][0])
                    for of in offsets
                )
        except KafkaException as error:
            raise self._error(error.args[0], f"the groups of {topic} can't be listed") from None
        return found

    def rewind(self, group: str, topic: str, to: Place) -> None:
        """Begins the group again at a time or at offsets."""
        reader = self._reader(group)
        try:
            if isinstance(to, int | float):
                offsets = self._at(reader, topic, to)
            else:
                check_partitions(topic, to, self.partitions(topic))
                offsets = [TopicPartition(topic, index, offset) for index, offset in to.items()]
                for of in offsets:
                    kept = reader.get_watermark_offsets(of, _ADMIN)
                    check_offset(topic, of.partition, of.offset, *kept)
            reader.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            if error.args[0].code() in (
                KafkaError.UNKNOWN_MEMBER_ID,
                KafkaError.ILLEGAL_GENERATION,
            ):
                raise QueueError(
                    f"group {group!r} of {topic} has members: stop its services before it is"
                    " rewound"
                ) from None
            raise self._error(error.args[0], f"group {group!r} can't be rewound") from None
        finally:
            reader.close()

    def _at(self, reader: Consumer, topic: str, time: float) -> list[TopicPartition]:
        """The first offsets of a time; the end where nothing was published since."""
        asked = [
            TopicPartition(topic, index, max(0, int(time * 1000)))
            for index in range(self.partitions(topic))
        ]
        offsets = reader.offsets_for_times(asked, _ADMIN)
        for of in offsets:
            if of.offset < 0:
                of.offset = reader.get_watermark_offsets(of, _ADMIN)[1]
        return offsets

    def close(self) -> None:
        """Its consumers leave their groups."""
        for given in self._given:
            given.close()
        self._given = []

    def _reader(self, group: str) -> Consumer:
        return Consumer({**self._common, "group.id": group, "enable.auto.commit": False})

    def _error(self, error: KafkaError, what: str) -> QueueError:
        return problem(self._config.servers, error, what)


def problem(servers: str, error: KafkaError, what: str) -> QueueError:
    """What Kafka said, and what to look at."""
    return QueueError(
        f"Kafka at {servers}: {what}: {error.str()} ({error.name()}); see that queue.servers are"
        " its brokers, and that they run"
    )


def settings(file: str) -> dict[str, Any]:
    """The client's settings of a file. Raises QueueError: it is not of lines NAME=VALUE."""
    if not file:
        return {}
    try:
        lines = pathlib.Path(file).read_text().splitlines()
    except OSError as error:
        raise QueueError(f"queue.settings_file {file}: {error.strerror}; give a file") from None
    found = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals:
            raise QueueError(
                f"queue.settings_file {file}, line {number} is no NAME=VALUE; write, for example,"
                " security.protocol=SSL"
            )
        found[name.strip()] = value.strip()
    return found


class KafkaProducer:
    """Publishes with acknowledgements of all replicas; the client keeps its order over retries."""

    def __init__(self, common: dict[str, Any], config: KafkaQueue, partitions: Any):
        self._config, self._partitions = config, partitions
        self._settings = {
            **common,
            "enable.idempotence": True,
            "acks": "all",
            "compression.type": "lz4",
            "linger.ms": 1,
            "partitioner": "murmur2",
            "message.timeout.ms": int(1000 * config.publish_seconds),
        }
        self._lock = threading.Lock()
        self._producer: Producer | None = None

    def publish(
        self, topic: str, messages: Sequence[Message], timeout: float | None = None
    ) -> None:
        """Returns when the brokers have all of them."""
        if not messages:
            return
        self._partitions(topic)
        producer = self._connected()
        end = time.monotonic() + (self._config.publish_seconds if timeout is None else timeout)
        call = _Call(len(messages))
        for message in messages:
            send = functools.partial(
                producer.produce,
                topic,
                message.value,
                message.key.encode(),
                headers=list(message.headers.items()),
                on_delivery=call.told,
            )
            while not _sent(send):
                # The client's own queue is full, since the brokers do not follow.
                self._check(call, topic, end)
                producer.poll(_SLICE)
        while call.left:
            self._check(call, topic, end)
            producer.flush(_SLICE)  # which sends what still waits for company
        self._check(call, topic, end)

    def _check(self, call: "_Call", topic: str, end: float) -> None:
        if call.error is not None:
            if call.error.fatal() or call.error.code() == KafkaError._FATAL:
                with self._lock:
                    self._producer = None
            raise problem(self._config.servers, call.error, f"{topic} takes no messages")
        if call.left and time.monotonic() >= end:
            raise QueueError(
                f"Kafka at {self._config.servers} did not take {call.left} of {call.of} messages of"
                f" {topic} in time; see that its brokers run, or raise queue.publish_seconds"
            )

    def _connected(self) -> Producer:
        with self._lock:
            if self._producer is None:
                self._producer = Producer(self._settings)
            return self._producer

    def close(self) -> None:
        """Waits for what is under way."""
        with self._lock:
            if self._producer is not None:
                self._producer.flush(5)


class _Call:
    """What is said of the messages of one call."""

    def __init__(self, of: int):
        self.of = self.left = of
        self.error: KafkaError | None = None

    def told(self, error: KafkaError | None, _: Sent) -> None:
        self.left -= 1
        self.error = self.error or error


def _sent(send: Any) -> bool:
    try:
        send()
    except BufferError:
        return False
    return True
