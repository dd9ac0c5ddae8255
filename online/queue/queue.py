"""What a queue is to the services. Each kind keeps one contract, which one suite of tests says.

At least once: a message is delivered until a consumer of the group has committed it. Messages of
one key are delivered in the order in which they were published; a key is in one partition.
"""

import dataclasses
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from podway.online.error import QueueError


@dataclasses.dataclass(frozen=True)
class Message:
    """What is published."""

    key: str
    """Messages of one key stay in order: the user."""
    value: bytes
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)


class Received(NamedTuple):
    """What is delivered. A tuple, since one is made for each message: half the time of a dataclass.

    Attributes:
      topic: that it was published to.
      partition: of the topic; messages of one partition are delivered in order.
      offset: its place in the partition, as the queue counts. Queues without offsets (Pub/Sub,
        RabbitMQ's quorum queues) count deliveries of this consumer: then `id` is what is the same
        at each delivery.
      id: the same for each delivery of this message, and of no other of the topic.
      key: as published.
      value: as published.
      headers: as published.
      published: seconds since 1970 when the queue took it.
      attempt: deliveries so far to this group, this one included, as far as the queue counts them.
    """

    topic: str
    partition: int
    offset: int
    id: str
    key: str
    value: bytes
    headers: Mapping[str, str]
    published: float
    attempt: int = 1


def partition_of(key: str, partitions: int) -> int:
    """Which partition a key is in, for queues that do not decide on it themselves: the same in
    every process. Partitions of a topic never change for it to stay."""
    return zlib.crc32(key.encode()) % partitions


Place = float | Mapping[int, int]
"""Where a group begins again: at the first message that was published at a time (seconds since
1970) or after it, or in each partition named at an offset, and in the others where it is."""


def check_offset(topic: str, partition: int, offset: int, first: int, end: int) -> None:
    """Raises QueueError for an offset that is not kept any more, or beyond the end."""
    if not first <= offset <= end:
        raise QueueError(
            f"partition {partition} of {topic} has no offset {offset} to begin at; give {first} to"
            f" {end}"
        )


def check_partitions(topic: str, offsets: Mapping[int, int], count: int) -> None:
    """Raises QueueError for a partition that the topic does not have."""
    for partition in offsets:
        if not 0 <= partition < count:
            raise QueueError(
                f"{topic} has no partition {partition} to rewind; give 0 to {count - 1}"
            )


class Producer(Protocol):
    """Publishes. May be used from several threads."""

    def publish(
        self, topic: str, messages: Sequence[Message], timeout: float | None = None
    ) -> None:
        """Returns when the queue keeps all of them; raises QueueError where it does not in time:
        then some may be kept, and publishing them again may double them."""
        ...

    def close(self) -> None:
        """Frees what it holds. What `publish` returned for is kept."""
        ...


class Consumer(Protocol):
    """One member of a group; a partition is read by one member at a time."""

    def poll(self, most: int, timeout: float) -> list[Received]:
        """Up to `most` further messages; after `timeout` seconds what there is, perhaps none."""
        ...

    def commit(self, messages: Iterable[Received]) -> None:
        """These are done, and with them all before them in their partitions; returns when the
        queue knows. They are not delivered to the group again. What a member has lost meanwhile is
        left out: it is delivered to another."""
        ...

    def retry(self, message: Received, reason: str) -> None:
        """Delivers it again, later, and with it what came after it in its partition, so that keys
        stay in order; until then a commit there ends before it. After the queue's number of
        attempts it is dead: published to the topic of dead messages with `reason` in its headers
        (dead.py), and done."""
        ...

    def dead(self, message: Received, reason: str) -> None:
        """It can never be taken in: to the topic of dead messages at once, and done."""
        ...

    def lag(self) -> int:
        """Messages that wait for this group, in all partitions, as far as the queue says; -1 where
        it does not."""
        ...

    def close(self) -> None:
        """Leaves the group; what is not committed goes to the other members."""
        ...


class Queue(Protocol):
    """A queue that is open.

    Attributes:
      offsets: whether a message has the same partition and offset at each delivery.
    """

    offsets: bool

    @property
    def forgets(self) -> str:
        """Why a group that begins later is not given what others have done, and what would be
        right; "": it is given what is kept."""
        ...

    def create(self, topic: str, partitions: int) -> None:
        """Makes the topic where there is none."""
        ...

    def producer(self) -> Producer:
        """A new producer."""
        ...

    def consumer(self, group: str, topic: str, start: str = "earliest") -> Consumer:
        """A new member of the group, which begins where the group's last commit says; where there
        is none, at `start`: "earliest" or "latest"."""
        ...

    def lags(self, topic: str) -> dict[str, int]:
        """Group → messages of the topic that wait for it; -1 where the queue does not say."""
        ...

    def rewind(self, group: str, topic: str, to: Place) -> None:
        """The group begins again at a place. Raises QueueError while the group has members, where
        the queue forgets what is done, and for an offset that it does not keep or have."""
        ...

    def close(self) -> None:
        """Frees what it holds."""
        ...
