"""RabbitMQ as a queue: an exchange for each topic, and behind it one of two things.

A quorum queue for each group and partition: then RabbitMQ forgets what is done, and what no group
waits for it refuses. Or a stream for each partition, which keeps what is published for a time; then
a small queue for each group and partition says how far the group is.
"""

import asyncio
import os
import threading
import time
import uuid
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import aio_pika
from aio_pika import exceptions
from aio_pika.abc import AbstractChannel, AbstractExchange, AbstractQueue

from podway.framework.config.online import RabbitmqQueue
from podway.online.error import QueueError
from podway.online.queue.amqp import stream
from podway.online.queue.amqp.link import AWAY, Link, Loop
from podway.online.queue.amqp.message import KEY, SENT
from podway.online.queue.dead import UNDERTAKER, Policy
from podway.online.queue.queue import (
    Message,
    Place,
    check_offset,
    check_partitions,
    partition_of,
)
from podway.online.queue.rabbitmq_consumer import RabbitmqConsumer, limit
from podway.online.queue.rabbitmq_stream_consumer import RabbitmqStreamConsumer

_PAUSE = 0.2
_FORGETS = (
    "RabbitMQ's quorum queues forget what is done; give queue.keep_hours, so that streams keep it"
)


class Rabbitmq:
    """The queues of a virtual host."""

    def __init__(self, config: RabbitmqQueue, dead: str):
        self._config, self._streams = config, config.keep_hours > 0
        self.offsets = self._streams
        self.forgets = "" if self._streams else _FORGETS
        self._policy = Policy(dead, config.attempts, config.retry_seconds)
        self._address = os.environ.get(config.url_env, "") if config.url_env else config.url
        if not self._address:
            raise QueueError(
                f"the environment has no {config.url_env}; put amqp://USER:PASSWORD@HOST there"
                if config.url_env
                else "queue.url is empty; give amqp://HOST:PORT/VHOST"
            )
        self._loop, self._link = Loop(), Link(self._address)
        self._partitions: dict[str, int] = {}
        self._given: list[RabbitmqConsumer | RabbitmqStreamConsumer | RabbitmqProducer] = []

    def create(self, topic: str, partitions: int) -> None:
        """Makes the topic where there is none."""

        async def make() -> None:
            channel = await self._link.channel()
            await channel.declare_exchange(topic, "direct", durable=True)
            for index in range(partitions if self._streams else 0):
                queue = await stream.declare(channel, topic, index, self._config.keep_hours)
                await queue.bind(topic, str(index))
            await channel.close()

        self._call(make, f"topic {topic}")
        self._partitions[topic] = partitions
        if topic == self._policy.topic and not self._streams:
            self._bind(UNDERTAKER, topic)

    def producer(self) -> "RabbitmqProducer":
        """A new producer."""
        given = RabbitmqProducer(self._address, self._config, self._count)
        self._given.append(given)
        return given

    def consumer(
        self, group: str, topic: str, start: str = "earliest"
    ) -> RabbitmqConsumer | RabbitmqStreamConsumer:
        """A new member of the group; without streams it begins when its first member does."""
        if start not in ("earliest", "latest"):
            raise QueueError(f"start is {start!r}; give earliest or latest")
        kind = RabbitmqConsumer
        if self._streams:
            kind = RabbitmqStreamConsumer
            self._found(group, topic, start)
        else:
            self._bind(group, topic)
        given = kind(
            Loop(),
            Link(self._address),
            self.producer(),
            group,
            topic,
            self._count(topic),
            self._policy,
            self._config,
        )
        self._given.append(given)
        return given

    def lags(self, topic: str) -> dict[str, int]:
        """Only RabbitMQ's own pages list the groups."""
        return {}

    def rewind(self, group: str, topic: str, to: Place) -> None:
        """The group begins again at a time or at offsets; refused without streams: what is done is
        gone."""
        if not self._streams:
            raise QueueError(f"group {group!r} of {topic} does not rewind: {_FORGETS}")
        count = self._count(topic)
        offsets = None if isinstance(to, int | float) else to
        check_partitions(topic, offsets or {}, count)

        async def place(index: int) -> int:
            if isinstance(to, int | float):
                return await stream.at(self._link, topic, index, to)
            first = await stream.at(self._link, topic, index, 0.0)
            check_offset(topic, index, to[index], first, await stream.end(self._link, topic, index))
            return to[index]

        async def begin() -> None:
            channel = await self._link.channel()
            for index in range(count) if offsets is None else offsets:
                queue = await self._records(channel, group, topic, index)
                if queue.declaration_result.consumer_count:
                    raise QueueError(
                        f"group {group!r} of {topic} has members: stop its services before it is"
                        " rewound"
                    )
                offset = await place(index)
                await queue.purge()
                await stream.record(channel, queue.name, {"number": 0, "next": offset})
            await channel.close()

        self._call(begin, f"group {group} of {topic}")

    def close(self) -> None:
        """Closes the connections."""
        for given in self._given:
            given.close()
        self._loop.run(self._link.close())
        self._loop.close()

    def _count(self, topic: str) -> int:
        if topic not in self._partitions:
            names = ", ".join(sorted(self._partitions))
            raise QueueError(f"RabbitMQ has no topic {topic!r} (it has {names}): create it first")
        return self._partitions[topic]

    def _found(self, group: str, topic: str, start: str) -> None:
        """Makes the queues of a group that say how far it is in the streams."""
        count = self._count(topic)

        async def make() -> None:
            for index in range(count):
                channel = await self._link.channel()
                try:
                    name = f"{topic}.{group}.{index}"
                    await channel.declare_queue(name, passive=True)
                except exceptions.ChannelNotFoundEntity:
                    channel = await self._link.channel()
                    offset = 0
                    if start == "latest":
                        offset = await stream.end(self._link, topic, index)
                    queue = await self._records(channel, group, topic, index)
                    await stream.record(channel, queue.name, {"number": 0, "next": offset})
                await channel.close()

        self._call(make, f"group {group} of {topic}")

    async def _records(
        self, channel: AbstractChannel, group: str, topic: str, index: int
    ) -> AbstractQueue:
        arguments: dict[str, Any] = {"x-queue-type": "quorum", "x-single-active-consumer": True}
        name = f"{topic}.{group}.{index}"
        return await channel.declare_queue(name, durable=True, arguments=arguments)

    def _bind(self, group: str, topic: str) -> None:
        """Makes the queues of a group."""
        arguments: dict[str, Any] = {
            "x-queue-type": "quorum",
            "x-max-length": self._config.most_waiting,
            "x-overflow": "reject-publish",
            "x-single-active-consumer": True,
        }
        if topic != self._policy.topic:
            # A message that ends every process which takes it comes to an end, too.
            arguments |= {
                "x-delivery-limit": limit(self._policy.attempts),
                "x-dead-letter-exchange": self._policy.topic,
                "x-dead-letter-routing-key": "0",
            }
        count = self._count(topic)

        async def make() -> None:
            channel = await self._link.channel()
            for index in range(count):
                name = f"{topic}.{group}.{index}"
                queue = await channel.declare_queue(name, durable=True, arguments=arguments)
                await queue.bind(topic, str(index))
            await channel.close()

        self._call(make, f"group {group} of {topic}")

    def _call(self, act: Callable[[], Coroutine[Any, Any, None]], what: str) -> None:
        end = time.monotonic() + self._config.publish_seconds
        while True:
            try:
                return self._loop.run(act())
            except AWAY as error:
                if time.monotonic() >= end:
                    raise away(error, what) from None
                time.sleep(_PAUSE)
            except exceptions.AMQPError as error:
                raise QueueError(
                    f"RabbitMQ refuses {what}: {error}; see that it was made with the same"
                    " partitions, queue.most_waiting and queue.keep_hours, and that this user may"
                    " use it"
                ) from None


def away(error: BaseException, what: str) -> QueueError:
    """What to look at."""
    return QueueError(
        f"RabbitMQ did not answer in time of {what}: {error or type(error).__name__}; see that"
        " queue.url is its address, and that it runs"
    )


class RabbitmqProducer:
    """Publishes; of each key the next when the one before is confirmed."""

    def __init__(self, address: str, config: RabbitmqQueue, count: Callable[[str], int]):
        self._config, self._count = config, count
        self._loop, self._link = Loop(), Link(address)
        self._exchanges: dict[str, tuple[AbstractChannel, AbstractExchange]] = {}
        self._lock, self._closed = threading.Lock(), False

    def publish(
        self, topic: str, messages: Sequence[Message], timeout: float | None = None
    ) -> None:
        """Returns when each group's queue has all of them."""
        count = self._count(topic)
        end = time.monotonic() + (self._config.publish_seconds if timeout is None else timeout)
        by_key: dict[str, list[Message]] = {}
        for message in messages:
            by_key.setdefault(message.key, []).append(message)

        async def send() -> None:
            work = [self._send(topic, count, of, end) for of in by_key.values()]
            results = await asyncio.gather(*work, return_exceptions=True)
            for result in results:
                if isinstance(result, BaseException):
                    raise result

        with self._lock:
            self._loop.run(send())

    async def _send(self, topic: str, count: int, messages: list[Message], end: float) -> None:
        for message in messages:
            now = time.time()
            content = aio_pika.Message(
                message.value,
                headers={**message.headers, KEY: message.key, SENT: f"{now:.6f}"},
                delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                message_id=uuid.uuid4().hex,
                timestamp=now,
            )
            route = str(partition_of(message.key, count))
            while True:
                left = max(0.1, end - time.monotonic())
                try:
                    exchange = await self._exchange(topic)
                    await exchange.publish(content, route, mandatory=True, timeout=left)
                    break
                except exceptions.PublishError:
                    raise QueueError(
                        f"no group reads {topic} in RabbitMQ, which would lose what is published:"
                        " start a consumer first"
                    ) from None
                except exceptions.DeliveryError:
                    if time.monotonic() >= end:
                        raise QueueError(
                            f"topic {topic} of RabbitMQ is full: queue.most_waiting is"
                            f" {self._config.most_waiting}; start more of its consumers, or raise"
                            " it"
                        ) from None
                except (TimeoutError, *AWAY, exceptions.AMQPError) as error:
                    self._exchanges.pop(topic, None)
                    if time.monotonic() >= end:
                        raise away(error, f"topic {topic}") from None
                await asyncio.sleep(_PAUSE)

    async def _exchange(self, topic: str) -> AbstractExchange:
        channel, exchange = self._exchanges.get(topic, (None, None))
        if channel is None or exchange is None or channel.is_closed:
            channel = await self._link.channel(publisher_confirms=True, on_return_raises=True)
            exchange = await channel.get_exchange(topic, ensure=False)
            self._exchanges[topic] = channel, exchange
        return exchange

    def close(self) -> None:
        """Closes the connection."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._loop.run(self._link.close())
                self._loop.close()
