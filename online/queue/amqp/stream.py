"""What is asked of RabbitMQ's streams: where they end, and where a time is in them.

A stream says neither exactly. So a marker is published into it, which no consumer delivers: what
comes before the marker was there when it was asked.
"""

import asyncio
import datetime
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from podway.online.queue.amqp.message import published

MARKER = "podway-marker"
OFFSET = "x-stream-offset"
_SKEW = 60.0
"""Seconds by which the clocks of brokers and of who published may differ."""
_PREFETCH = 10_000
_ANSWER = 30.0
_IDLE = 0.05


def name(topic: str, index: int) -> str:
    """Of the stream of a partition."""
    return f"{topic}.{index}"


def offset(message: AbstractIncomingMessage) -> int:
    """Its place in the stream."""
    return int(str(message.headers[OFFSET]))


async def declare(channel: AbstractChannel, topic: str, index: int, hours: float) -> Any:
    """Makes the stream of a partition where there is none."""
    arguments = {
        "x-queue-type": "stream",
        "x-max-age": f"{max(1, round(3600 * hours))}s",
        # What is too old is let go of in such parts.
        "x-stream-max-segment-size-bytes": 50_000_000,
    }
    return await channel.declare_queue(name(topic, index), durable=True, arguments=arguments)


async def record(channel: AbstractChannel, queue: str, content: dict[str, Any]) -> None:
    """Writes down in a queue of the group how far it is in a partition."""
    message = aio_pika.Message(
        json.dumps(content).encode(), delivery_mode=aio_pika.DeliveryMode.PERSISTENT
    )
    await channel.default_exchange.publish(message, queue, mandatory=True, timeout=_ANSWER)


async def end(link: Any, topic: str, index: int) -> int:
    """The offset of a marker that comes after all that is published."""
    return await find(link, topic, index, "last", lambda message: False)


async def at(link: Any, topic: str, index: int, moment: float) -> int:
    """The offset of the first message that was published at a time or after it."""
    if moment > time.time():
        return await end(link, topic, index)
    early = max(0.0, moment - _SKEW)
    start = datetime.datetime.fromtimestamp(early, datetime.UTC) if early else "first"
    return await find(link, topic, index, start, lambda message: published(message) >= moment)


async def find(
    link: Any,
    topic: str,
    index: int,
    start: Any,
    wanted: Callable[[AbstractIncomingMessage], bool],
) -> int:
    """The offset of the first message from `start` on that is wanted; of the end, where none is."""
    channel = await link.channel()
    try:
        mine = uuid.uuid4().hex
        marker = aio_pika.Message(b"", headers={MARKER: mine})
        await channel.default_exchange.publish(marker, name(topic, index), timeout=_ANSWER)
        async with asyncio.timeout(None) as patience:
            async for message in _read(channel, topic, index, start):
                patience.reschedule(asyncio.get_running_loop().time() + _ANSWER)
                mark = message.headers.get(MARKER)
                if mark == mine or (mark is None and wanted(message)):
                    return offset(message)
        raise AssertionError("a stream does not end")
    finally:
        await channel.close()


async def tail(link: Any, topic: str, index: int) -> int:
    """The offset after the last message, or one that was the last a moment ago."""
    channel = await link.channel()
    last = -1
    reading = _read(channel, topic, index, "last")
    try:
        while True:
            async with asyncio.timeout(_IDLE if last >= 0 else 1.0):
                last = offset(await anext(reading))
    except TimeoutError:
        return last + 1
    finally:
        await channel.close()


async def _read(
    channel: AbstractChannel, topic: str, index: int, start: Any
) -> AsyncIterator[AbstractIncomingMessage]:
    """The stream's messages, markers too, until it is closed."""
    await channel.set_qos(prefetch_count=_PREFETCH)
    arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    await follow(channel, topic, index, start, arrived.put)
    while True:
        message = await arrived.get()
        await message.ack()
        yield message


async def follow(
    channel: AbstractChannel,
    topic: str,
    index: int,
    start: Any,
    arrive: Callable[[AbstractIncomingMessage], Awaitable[Any]],
) -> None:
    """Begins to read."""
    queue = await channel.get_queue(name(topic, index), ensure=False)
    await queue.consume(arrive, arguments={OFFSET: start})
