"""The dead: what they are, and back to where they belong."""

import dataclasses
import time

from podway.online.queue import dead
from podway.online.queue.queue import Queue, Received

_BATCH = 500
_WAIT = 5.0
"""Seconds in which a group of any queue has begun."""


@dataclasses.dataclass(frozen=True)
class Revived:
    """What came of a revival.

    Attributes:
      topics: topic → messages that were published to it again.
      left: why one was left among the dead, after which nothing was tried; "": all went.
    """

    topics: dict[str, int]
    left: str = ""


def shown(queue: Queue, topic: str, most: int) -> list[Received]:
    """The first of the dead; they stay where they are."""
    consumer = queue.consumer(dead.UNDERTAKER, topic)
    try:
        found: list[Received] = []
        end = time.monotonic() + _WAIT
        while len(found) < most and (left := end - time.monotonic()) > 0:
            batch = consumer.poll(most - len(found), left)
            found += batch
            if found and not batch:
                break
            end = min(end, time.monotonic() + 1) if batch else end
        return found
    finally:
        consumer.close()


def revive(queue: Queue, topic: str) -> Revived:
    """Publishes each of the dead to its topic again, in its order, and then lets go of it: one that
    is killed in between is published twice, never lost. Those that die meanwhile stay."""
    counts: dict[str, int] = {}
    began = time.time()
    consumer, producer = queue.consumer(dead.UNDERTAKER, topic), queue.producer()
    try:
        while batch := consumer.poll(_BATCH, _WAIT):
            for message in batch:
                if message.published > began:
                    return Revived(counts, "those that died since this began wait")
                home, again = dead.revived(message)
                producer.publish(home, [again])
                counts[home] = counts.get(home, 0) + 1
                consumer.commit([message])
        return Revived(counts)
    finally:
        consumer.close()
        producer.close()
