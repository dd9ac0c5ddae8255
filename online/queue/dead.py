"""What is among the dead says what it was, why it is there, and where it belongs."""

import dataclasses
import time

from podway.online.error import QueueError
from podway.online.queue.queue import Message, Received

PREFIX = "podway-"
TOPIC, GROUP, REASON = "podway-topic", "podway-group", "podway-reason"
UNDERTAKER = "undertaker"
"""The group that the dead wait for, where a queue keeps nothing that no group waits for."""
_LONGEST = 500
"""Bytes of a reason."""


def message(of: Received, group: str, reason: str, dead: str) -> Message:
    """What is published to the topic of the dead for a message that a group does not take in.
    Raises QueueError where it is of this topic already."""
    if of.topic == dead:
        raise QueueError(
            f"message {of.id} of {dead} is among the dead already: commit it, or publish it again"
            " to the topic that its headers name"
        )
    told = {
        TOPIC: of.topic,
        "podway-id": of.id,
        "podway-partition": str(of.partition),
        "podway-offset": str(of.offset),
        "podway-published": f"{of.published:.3f}",
        "podway-attempts": str(of.attempt),
        GROUP: group,
        REASON: reason.encode()[:_LONGEST].decode(errors="ignore"),
        "podway-time": f"{time.time():.3f}",
    }
    return Message(of.key, of.value, {**of.headers, **told})


def revived(of: Received) -> tuple[str, Message]:
    """The topic where a dead message belongs, and the message as it was. Raises QueueError."""
    topic = of.headers.get(TOPIC)
    if not topic:
        raise QueueError(
            f"message {of.id} of {of.topic} has no header {TOPIC}: it did not die here"
        )
    kept = {name: value for name, value in of.headers.items() if not name.startswith(PREFIX)}
    return topic, Message(of.key, of.value, kept)


@dataclasses.dataclass(frozen=True)
class Policy:
    """What becomes of messages that are not taken in.

    Attributes:
      topic: of the dead.
      attempts: deliveries before one is dead.
      seconds: to the second delivery.
    """

    topic: str
    attempts: int
    seconds: float


def ended(deliveries: int) -> str:
    """The reason of a message whose consumers all ended in its midst."""
    return f"{deliveries} deliveries, and each consumer ended in its midst"
