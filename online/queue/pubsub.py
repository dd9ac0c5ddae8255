"""Google's Pub/Sub as a queue: a subscription for each group; the key is the ordering key.

A subscription begins when it is made; where the topic keeps what was published before, a new group
is set back to it.
"""

import os
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import grpc
from google.api_core import exceptions
from google.protobuf import duration_pb2, timestamp_pb2
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from podway.framework.config.online import PubsubQueue, Topics
from podway.online.error import QueueError
from podway.online.queue.dead import UNDERTAKER, Policy
from podway.online.queue.pubsub_consumer import KEY, PubsubConsumer
from podway.online.queue.queue import Message, Place

_MOST, _BYTES = 1000, 9_000_000
"""Of a request that publishes, as Pub/Sub has it."""
_PAUSE = 0.2
_EMULATOR = "PUBSUB_EMULATOR_HOST"
_UNAVAILABLE = (
    exceptions.ServiceUnavailable,
    exceptions.DeadlineExceeded,
    exceptions.InternalServerError,
    exceptions.Unknown,
    exceptions.Aborted,
    exceptions.ResourceExhausted,
)
_Result = TypeVar("_Result")


class Pubsub:
    """The topics of a project."""

    offsets = False
    forgets = ""

    def __init__(self, config: PubsubQueue, topics: Topics):
        if not config.project:
            raise QueueError("queue.project is empty; give the project of Google Cloud")
        self._config, self._topics = config, topics
        self._policy = Policy(topics.dead, config.attempts, config.retry_seconds)
        self._publisher = PublisherClient(**_at(PublisherGrpcTransport))
        self._subscriber = SubscriberClient(**_at(SubscriberGrpcTransport))

    def create(self, topic: str, partitions: int) -> None:
        """Makes the topic where there is none; `partitions` are counted by consumers."""
        made = {"name": self._topic(topic), "message_retention_duration": self._kept()}
        try:
            self._call(lambda: self._publisher.create_topic(made, timeout=30), f"topic {topic}")
        except exceptions.AlreadyExists:
            return
        if topic == self._policy.topic:
            self._subscribe(UNDERTAKER, topic)

    def producer(self) -> "PubsubProducer":
        """A new producer."""
        return PubsubProducer(self._publisher, self._config, self._topic)

    def consumer(self, group: str, topic: str, start: str = "earliest") -> PubsubConsumer:
        """A new member of the group."""
        if start not in ("earliest", "latest"):
            raise QueueError(f"start is {start!r}; give earliest or latest")
        if self._subscribe(group, topic) and start == "earliest":
            self._back(group, topic)
        return PubsubConsumer(
            SubscriberClient(**_at(SubscriberGrpcTransport)),
            self._subscription(group, topic),
            self.producer(),
            group,
            topic,
            self._topics.partitions,
            self._policy,
            self._config,
        )

    def lags(self, topic: str) -> dict[str, int]:
        """Groups of the topic; Pub/Sub does not say here how much waits."""
        asked = {"topic": self._topic(topic)}
        found = self._call(
            lambda: list(self._publisher.list_topic_subscriptions(asked, timeout=30)),
            f"groups of {topic}",
        )
        names = [name.rpartition("/")[2] for name in found]
        mine = f"{topic}."
        return {name.removeprefix(mine): -1 for name in names if name.startswith(mine)}

    def rewind(self, group: str, topic: str, to: Place) -> None:
        """Begins the group at what was published at a time; Pub/Sub does not say who reads it."""
        if not isinstance(to, int | float):
            raise QueueError(f"Pub/Sub has no offsets to rewind group {group!r} to: give a time")
        time = to
        moment = timestamp_pb2.Timestamp(seconds=int(time), nanos=int(time % 1 * 1e9))
        asked = {"subscription": self._subscription(group, topic), "time": moment}
        try:
            self._call(lambda: self._subscriber.seek(asked, timeout=30), f"group {group}")
        except exceptions.MethodNotImplemented:
            raise QueueError(
                f"this Pub/Sub does not rewind group {group!r}, as emulators do not; begin a group"
                " of another name"
            ) from None

    def close(self) -> None:
        """Closes the connections."""
        self._publisher.transport.close()
        self._subscriber.transport.close()

    def _subscribe(self, group: str, topic: str) -> bool:
        """Makes the group where there is none; whether it did."""
        asked: dict[str, Any] = {
            "name": self._subscription(group, topic),
            "topic": self._topic(topic),
            "ack_deadline_seconds": self._config.ack_seconds,
            "enable_message_ordering": True,
            "retain_acked_messages": True,
            "message_retention_duration": self._kept(),
        }
        if topic != self._policy.topic:
            # Its own counting of deliveries comes with this; a consumer acts before it does.
            dead = {"dead_letter_topic": self._topic(self._policy.topic)}
            asked["dead_letter_policy"] = dead | {"max_delivery_attempts": 100}
        try:
            self._call(
                lambda: self._subscriber.create_subscription(asked, timeout=30), f"topic {topic}"
            )
        except exceptions.AlreadyExists:
            return False
        return True

    def _back(self, group: str, topic: str) -> None:
        """To the first message that the topic has; an emulator begins there by itself."""
        if not os.environ.get(_EMULATOR):
            self.rewind(group, topic, time.time() - 3600 * self._config.keep_hours)

    def _kept(self) -> duration_pb2.Duration:
        return duration_pb2.Duration(seconds=int(3600 * self._config.keep_hours))

    def _topic(self, name: str) -> str:
        return f"projects/{self._config.project}/topics/{name}"

    def _subscription(self, group: str, topic: str) -> str:
        return f"projects/{self._config.project}/subscriptions/{topic}.{group}"

    def _call(self, act: Callable[[], _Result], what: str) -> _Result:
        return patiently(act, what, time.monotonic() + self._config.publish_seconds)


class PubsubProducer:
    """Publishes, one request after the other, so that keys stay in order."""

    def __init__(self, client: PublisherClient, config: PubsubQueue, place: Callable[[str], str]):
        self._client, self._config, self._place = client, config, place

    def publish(
        self, topic: str, messages: Sequence[Message], timeout: float | None = None
    ) -> None:
        """Returns when Pub/Sub has all of them."""
        end = time.monotonic() + (self._config.publish_seconds if timeout is None else timeout)
        for batch in _batches(messages):
            asked = {"topic": self._place(topic), "messages": [_sent(each) for each in batch]}

            def send(asked: dict[str, Any] = asked) -> None:
                left = max(1.0, end - time.monotonic())
                self._client.publish(asked, timeout=left, retry=None)

            patiently(send, f"topic {topic}", end)

    def close(self) -> None:
        """Nothing is under way."""


def _at(transport: Any) -> dict[str, Any]:
    """Where the client connects: an emulator's address of the environment, or Google."""
    if not (host := os.environ.get(_EMULATOR)):
        return {}
    largest = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    return {"transport": transport(channel=grpc.insecure_channel(host, options=largest))}


def _batches(messages: Sequence[Message]) -> list[list[Message]]:
    found: list[list[Message]] = []
    size = _BYTES
    for message in messages:
        more = len(message.value) + 2048
        if size + more > _BYTES or len(found[-1]) >= _MOST:
            found.append([])
            size = 0
        found[-1].append(message)
        size += more
    return found


def _sent(message: Message) -> dict[str, Any]:
    # A key that is empty would be of no order.
    attributes = dict(message.headers) if message.key else {**message.headers, KEY: ""}
    return {"data": message.value, "ordering_key": message.key or "-", "attributes": attributes}


def patiently(act: Callable[[], _Result], what: str, end: float) -> _Result:
    """Acts until Pub/Sub answers; raises QueueError where it does not in time, or refuses."""
    while True:
        try:
            return act()
        except (exceptions.AlreadyExists, exceptions.MethodNotImplemented):
            raise
        except _UNAVAILABLE as error:
            if time.monotonic() >= end:
                raise QueueError(
                    f"Pub/Sub did not answer in time of {what}: {error}; see that it can be"
                    " reached, or raise queue.publish_seconds"
                ) from None
            time.sleep(_PAUSE)
        except exceptions.GoogleAPICallError as error:
            raise QueueError(
                f"Pub/Sub refuses {what}: {error}; see that it is there, and that this account may"
                " use it"
            ) from None
