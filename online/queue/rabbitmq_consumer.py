"""A member of a group that reads RabbitMQ's quorum queues, a queue for each partition."""

import collections
import contextlib
import time
from collections.abc import Coroutine, Iterable
from typing import Any

from aio_pika import exceptions
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from podway.framework.config.online import RabbitmqQueue
from podway.online.queue import dead
from podway.online.queue.amqp.members import Members
from podway.online.queue.amqp.message import KEY, SENT, published
from podway.online.queue.dead import Policy
from podway.online.queue.held import Held
from podway.online.queue.queue import Producer, Received

_LOOK = 1.0
_PAUSE = 0.02


class RabbitmqConsumer:
    """Shares the partitions with the group's other members."""

    def __init__(
        self,
        loop: Any,
        link: Any,
        producer: Producer,
        group: str,
        topic: str,
        partitions: int,
        policy: Policy,
        config: RabbitmqQueue,
    ):
        self._loop, self._link, self._producer = loop, link, producer
        self._group, self._topic, self._partitions = group, topic, partitions
        self._policy, self._config = policy, config
        self._held = Held(partitions, policy)
        name = f"{topic}.{group}"
        self._members = Members(link, name, partitions, self._begin, self._give, self._forget)
        self._tickets: dict[str, AbstractIncomingMessage] = {}
        self._arrived = collections.deque[tuple[AbstractChannel, int, AbstractIncomingMessage]]()
        self._looked, self._closed = 0.0, False

    def poll(self, most: int, timeout: float) -> list[Received]:
        """Up to `most` further messages."""
        end = time.monotonic() + timeout
        while True:
            if time.monotonic() >= self._looked + _LOOK:
                self._looked = time.monotonic()
                self._quietly(self._members.balance())
            while self._arrived:
                self._take_in(*self._arrived.popleft())
            found = self._held.take(most)
            left = end - time.monotonic()
            if found or left <= 0:
                return found
            time.sleep(min(left, _PAUSE))

    def _take_in(
        self, channel: AbstractChannel, index: int, message: AbstractIncomingMessage
    ) -> None:
        if self._members.channels.get(index) is not channel or channel.is_closed:
            return  # it comes again, to whoever has the partition then
        headers = {name: str(value) for name, value in message.headers.items()}
        # It counts all that a member had in its hands when it ended, and says nothing of which one
        # was to blame; so attempts are those of `retry` alone.
        headers.pop("x-delivery-count", None)
        if topic := headers.get("x-first-death-exchange"):  # RabbitMQ's own limit was reached
            headers |= {dead.TOPIC: topic, dead.REASON: dead.ended(limit(self._policy.attempts))}
        headers = {name: value for name, value in headers.items() if not name.startswith("x-")}
        key, moment = headers.pop(KEY, ""), published(message)
        headers.pop(SENT, None)
        name = message.message_id or ""
        self._tickets[name] = message
        self._held.add(Received(self._topic, 0, 0, name, key, message.body, headers, moment))

    def _quietly(self, work: Coroutine[Any, Any, None]) -> None:
        """Whatever is away comes back, and is begun again by the next look."""
        with contextlib.suppress(exceptions.AMQPError, OSError, RuntimeError):
            self._loop.run(work)

    async def _begin(self, index: int, channel: AbstractChannel) -> None:
        """Takes a partition."""
        await channel.set_qos(prefetch_count=self._config.prefetch)
        queue = await channel.get_queue(self._name(index), ensure=False)

        async def arrive(message: AbstractIncomingMessage) -> None:
            self._arrived.append((channel, index, message))

        await queue.consume(arrive)

    async def _give(self, index: int) -> None:
        """What is not done goes back to its queue with the channel."""

    def _forget(self, index: int) -> None:
        for message in self._held.drop(index):
            self._tickets.pop(message.id, None)

    def _name(self, index: int) -> str:
        return f"{self._topic}.{self._group}.{index}"

    def commit(self, messages: Iterable[Received]) -> None:
        """These are done, and all before them."""
        self._acknowledge(self._held.commit(messages))

    def retry(self, message: Received, reason: str) -> None:
        """Delivers it again, later."""
        if message.id in self._tickets and not self._held.again(message):
            self.dead(message, reason)

    def dead(self, message: Received, reason: str) -> None:
        """To the topic of dead messages at once."""
        gone = dead.message(message, self._group, reason, self._policy.topic)
        done = self._held.dead(message, lambda: self._producer.publish(self._policy.topic, [gone]))
        self._acknowledge(done)

    def lag(self) -> int:
        """Messages that wait for this group, without those that are in somebody's hands."""

        async def count() -> int:
            channel = await self._link.channel()
            total = 0
            for index in range(self._partitions):
                name = self._name(index)
                found = await channel.declare_queue(name, passive=True)
                total += found.declaration_result.message_count or 0
            await channel.close()
            return total

        try:
            return self._loop.run(count()) + len(self._held)
        except (exceptions.AMQPError, OSError, RuntimeError):
            return -1

    def close(self) -> None:
        """Leaves the group; what is not done goes back to its queue."""
        if not self._closed:
            self._closed = True
            self._loop.run(self._link.close())
            self._loop.close()
            self._producer.close()

    def _acknowledge(self, done: list[Received]) -> None:
        """Of what is gone with its channel nothing need be said: it comes again."""
        tickets = [self._tickets.pop(message.id, None) for message in done]

        async def tell() -> None:
            for ticket in tickets:
                if ticket is not None:
                    await ticket.ack()

        with contextlib.suppress(exceptions.AMQPError, OSError, RuntimeError):
            self._loop.run(tell())


def limit(attempts: int) -> int:
    """Deliveries after which RabbitMQ itself puts a message among the dead."""
    return 20 * attempts
