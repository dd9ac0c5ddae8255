"""A member of a group that reads RabbitMQ's streams, a stream for each partition.

How far the group is in a partition stands in a queue of that partition: a record of the offset,
who has it, and how often the first message that is not done has failed. The queue's one active
consumer has the partition. A record is let go of when a later one is there; so the next member is
given the last one.
"""

import asyncio
import collections
import contextlib
import dataclasses
import json
import time
import uuid
from collections.abc import Coroutine, Iterable
from typing import Any

from aio_pika import exceptions
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from podway.framework.config.online import RabbitmqQueue
from podway.online.queue import dead, progress
from podway.online.queue.amqp import stream
from podway.online.queue.amqp.members import Members
from podway.online.queue.amqp.message import KEY, SENT, published
from podway.online.queue.dead import Policy
from podway.online.queue.progress import Progress
from podway.online.queue.queue import Producer, Received
from podway.online.queue.window import Window

_LOOK = 1.0
_PAUSE = 0.02
_PATIENCE = 5.0
_AWAY = (exceptions.AMQPError, OSError, RuntimeError, TimeoutError)


@dataclasses.dataclass
class _Part:
    """A partition that a member has.

    Attributes:
      records: its channel.
      messages: another one, so that what is acknowledged is of the stream.
      window: how far it is.
      number: of its last record.
      unsaved: whether the record is to be written.
    """

    records: AbstractChannel
    messages: AbstractChannel
    window: Window
    number: int
    unsaved: bool = False
    tickets: collections.deque[AbstractIncomingMessage] = dataclasses.field(
        default_factory=collections.deque
    )


class RabbitmqStreamConsumer:
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
        self._group, self._topic = group, topic
        self._policy, self._config = policy, config
        self._name = f"{topic}.{group}"
        self._me = uuid.uuid4().hex
        self._members = Members(link, self._name, partitions, self._begin, self._give, self._forget)
        self._parts: dict[int, _Part] = {}
        self._arrived = collections.deque[tuple[_Part, AbstractIncomingMessage]]()
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
            found = self._take(most)
            left = end - time.monotonic()
            if found or left <= 0:
                return found
            time.sleep(min(left, _PAUSE))

    def _take(self, most: int) -> list[Received]:
        found: list[Received] = []
        now = time.monotonic()
        for part in list(self._parts.values()):
            for message in part.window.take(most - len(found), now):
                if message.attempt > self._policy.attempts:
                    self.dead(message, dead.ended(message.attempt - 1))
                else:
                    found.append(message)
        return found

    def _take_in(self, part: _Part, message: AbstractIncomingMessage) -> None:
        index = next((index for index, each in self._parts.items() if each is part), None)
        if index is None:
            return  # whoever has the partition now is given it
        offset = stream.offset(message)
        part.tickets.append(message)
        if stream.MARKER in message.headers:
            part.unsaved |= part.window.progress.dead(offset)
            return
        headers = {name: str(value) for name, value in message.headers.items()}
        key = headers.pop(KEY, "")
        for name in (SENT, stream.OFFSET):
            headers.pop(name, None)
        part.window.add(
            Received(
                self._topic,
                index,
                offset,
                f"{index}-{offset}",
                key,
                message.body,
                headers,
                published(message),
            )
        )

    async def _begin(self, index: int, channel: AbstractChannel) -> None:
        """Takes a partition, where the last record says that the group is."""
        claim, claimed = f"{self._me}-{time.monotonic_ns()}", asyncio.Event()
        last: dict[str, Any] = {"number": 0, "next": 0}
        held: list[AbstractIncomingMessage] = []

        async def arrive(message: AbstractIncomingMessage) -> None:
            nonlocal last
            told = json.loads(message.body)
            held.append(message)
            if told.get("claim") == claim:
                claimed.set()
            elif "next" in told and told["number"] >= last["number"]:
                last = told
                for older in held[:-1]:
                    await older.ack()
                del held[:-1]

        queue = await channel.get_queue(f"{self._name}.{index}", ensure=False)
        await queue.consume(arrive)
        # All records are here once this one is: they come in their order, and to one member.
        await stream.record(channel, queue.name, {"claim": claim})
        async with asyncio.timeout(_PATIENCE):
            await claimed.wait()
        mine = Progress(last["next"])
        ended = last.get("owner") not in (None, "", self._me)
        if failed := last.get("failed", 0) + ended:
            mine.failed[mine.committed] = failed
        if ended:
            mine.width = 1
        messages = await self._link.channel()
        part = _Part(channel, messages, Window(mine), last["number"])
        await self._save(index, part, self._me)
        await messages.set_qos(prefetch_count=self._config.prefetch)

        async def come(message: AbstractIncomingMessage) -> None:
            if stream.offset(message) >= mine.committed:
                self._arrived.append((part, message))

        self._parts[index] = part
        await stream.follow(messages, self._topic, index, mine.committed, come)

    async def _save(self, index: int, part: _Part, owner: str) -> None:
        at = part.window.progress
        told = {
            "number": part.number + 1,
            "next": at.committed,
            "failed": at.failed.get(at.committed, 0),
            "owner": owner,
        }
        await stream.record(part.records, f"{self._name}.{index}", told)
        part.number, part.unsaved = part.number + 1, False

    async def _give(self, index: int) -> None:
        if (part := self._parts.get(index)) is not None:
            await self._save(index, part, "")

    def _forget(self, index: int) -> None:
        if (part := self._parts.pop(index, None)) is not None:
            closing = asyncio.ensure_future(part.messages.close())
            closing.add_done_callback(lambda done: done.cancelled() or done.exception())

    def commit(self, messages: Iterable[Received]) -> None:
        """These are done, and all before them."""
        for index, offset in progress.last(messages).items():
            part = self._parts.get(index)
            if part is not None and part.window.progress.commit(offset):
                part.unsaved = True
        self._settle()

    def retry(self, message: Received, reason: str) -> None:
        """Delivers it again, later."""
        if (part := self._parts.get(message.partition)) is None:
            return
        failed = part.window.progress.failed.get(message.offset, 0) + 1
        if failed >= self._policy.attempts:
            self.dead(message, reason)
            return
        until = time.monotonic() + progress.delay(self._policy.seconds, failed)
        if part.window.again(message.offset, until):
            part.unsaved = True
            self._settle()

    def dead(self, message: Received, reason: str) -> None:
        """To the topic of dead messages at once."""
        part = self._parts.get(message.partition)
        if part is None or not part.window.progress.waits(message.offset):
            return
        gone = dead.message(message, self._group, reason, self._policy.topic)
        self._producer.publish(self._policy.topic, [gone])
        if part.window.progress.dead(message.offset):
            part.unsaved = True
            self._settle()

    def lag(self) -> int:
        """Messages that wait for this member: of the partitions that it has."""

        async def count() -> int:
            parts = dict(self._parts)
            ends = await asyncio.gather(
                *(stream.tail(self._link, self._topic, index) for index in parts)
            )
            committed = [part.window.progress.committed for part in parts.values()]
            return sum(max(0, e - c) for e, c in zip(ends, committed, strict=True))

        try:
            return self._loop.run(count())
        except _AWAY:
            return -1

    def close(self) -> None:
        """Leaves the group."""
        if not self._closed:
            self._closed = True
            self._quietly(self._members.leave())
            self._quietly(self._link.close())
            self._loop.close()
            self._producer.close()

    def _settle(self) -> None:
        """Writes what is committed, and lets go of it. Of a partition that is lost meanwhile
        nothing need be said: what is not written comes again."""

        async def settle(index: int, part: _Part) -> None:
            await self._save(index, part, self._me)
            part.window.trim()
            done = None
            while part.tickets and stream.offset(part.tickets[0]) < part.window.progress.committed:
                done = part.tickets.popleft()
            if done is not None:
                await done.ack(multiple=True)

        for index, part in list(self._parts.items()):
            if part.unsaved:
                self._quietly(settle(index, part))

    def _quietly(self, work: Coroutine[Any, Any, None]) -> None:
        """Whatever is away comes back, and is begun again by the next look."""
        with contextlib.suppress(*_AWAY):
            self._loop.run(work)
