"""Many messages of one partition as columns: for who takes in thousands and would only take each
apart again. What a queue reads in columns need never become objects, one for each message."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from podway.online.queue.queue import Consumer, Received


@dataclasses.dataclass(frozen=True)
class Run:
    """Messages of one partition, in their order.

    Attributes:
      partition: of the topic.
      offsets: growing; there may be gaps.
      values: as published.
      published: seconds since 1970 when the queue took each.
      again: whether one of them was delivered before.
      message: place here → the message.
    """

    partition: int
    offsets: Sequence[int]
    values: Sequence[bytes]
    published: Sequence[float]
    again: bool
    message: Callable[[int], Received]

    def __len__(self) -> int:
        return len(self.offsets)


@runtime_checkable
class RunConsumer(Protocol):
    """A consumer that reads in columns."""

    def poll_runs(self, most: int, timeout: float) -> list[Run]:
        """As `poll`: up to `most` further messages, none twice."""
        ...


def polled(consumer: Consumer, most: int, timeout: float) -> list[Run]:
    """Up to `most` further messages of any consumer."""
    if isinstance(consumer, RunConsumer):
        return consumer.poll_runs(most, timeout)
    return runs(consumer.poll(most, timeout))


def runs(messages: Sequence[Received]) -> list[Run]:
    """The runs of messages. A partition that was given up and taken again has two."""
    groups: list[list[Received]] = []
    last: dict[int, list[Received]] = {}
    for one in messages:
        mine = last.get(one.partition)
        if mine is None or one.offset <= mine[-1].offset:
            mine = last[one.partition] = []
            groups.append(mine)
        mine.append(one)
    return [
        Run(
            mine[0].partition,
            [one.offset for one in mine],
            [one.value for one in mine],
            [one.published for one in mine],
            any(one.attempt > 1 for one in mine),
            mine.__getitem__,
        )
        for mine in groups
    ]
