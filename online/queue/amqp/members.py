"""Which partitions a member of a group in RabbitMQ has.

A partition is one member's at a time: of a queue's consumers the broker serves a single one, and
members stay away from a queue that has one (`exclusive` is not kept for quorum queues). How many
members there are is the number of consumers of a queue that is there for nothing else.
"""

import math
import random
from collections.abc import Awaitable, Callable
from typing import Any

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue


class Members:
    """A member among the others of its group.

    Args:
      link: connection (link.py).
      name: TOPIC.GROUP, with which the names of the group's queues begin.
      partitions: of the topic.
      begin: takes a partition, on a channel that is of it alone.
      give: is told of a partition that is to be given to another, before its channel is closed.
      forget: is told of a partition that is no longer had.
    """

    def __init__(
        self,
        link: Any,
        name: str,
        partitions: int,
        begin: Callable[[int, AbstractChannel], Awaitable[None]],
        give: Callable[[int], Awaitable[None]],
        forget: Callable[[int], None],
    ):
        self._link, self._name, self._partitions = link, name, partitions
        self._begin, self._give, self._forget = begin, give, forget
        self._others: tuple[AbstractChannel, AbstractQueue] | None = None
        self.channels: dict[int, AbstractChannel] = {}

    async def balance(self) -> None:
        """Takes and gives partitions as is fair."""
        for index in [index for index, channel in self.channels.items() if channel.is_closed]:
            self._lose(index)
        share = math.ceil(self._partitions / max(1, await self._count()))
        for index in sorted(self.channels, reverse=True)[: max(0, len(self.channels) - share)]:
            await self._leave(index)
        for index in list(self.channels):
            # Two came at once, and one of them waits for nothing: which one, chance says.
            if await self._readers(index) > 1 and random.random() < 0.5:
                await self._leave(index)
        for index in range(self._partitions):
            if len(self.channels) >= share:
                break
            if index not in self.channels and not await self._readers(index):
                await self._take(index)

    async def leave(self) -> None:
        """Gives all that it has."""
        for index in list(self.channels):
            await self._leave(index)

    async def _take(self, index: int) -> None:
        channel = self.channels[index] = await self._link.channel()
        try:
            await self._begin(index, channel)
        except BaseException:
            self._lose(index)
            await channel.close()
            raise

    async def _leave(self, index: int) -> None:
        channel = self.channels[index]
        try:
            await self._give(index)
        finally:
            self._lose(index)
            await channel.close()

    def _lose(self, index: int) -> None:
        self.channels.pop(index, None)
        self._forget(index)

    async def _count(self) -> int:
        """Members of the group, this one too."""
        if self._others is None or self._others[0].is_closed:
            channel = await self._link.channel()
            queue = await channel.declare_queue(f"{self._name}.members", durable=True)
            await queue.consume(_nothing, no_ack=True)
            self._others = channel, queue
        return await self._readers("members") or 1

    async def _readers(self, which: int | str) -> int:
        """Consumers of a queue of the group."""
        assert self._others is not None
        found = await self._others[0].declare_queue(f"{self._name}.{which}", passive=True)
        return found.declaration_result.consumer_count or 0


async def _nothing(_: AbstractIncomingMessage) -> None:
    """Nothing comes there."""
