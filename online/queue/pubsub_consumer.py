"""A member of a group that reads Pub/Sub."""

import contextlib
import threading
import time
from collections.abc import Iterable
from typing import Any

from google.api_core import exceptions
from google.pubsub_v1 import SubscriberClient
from google.pubsub_v1.types import ReceivedMessage

from podway.framework.config.online import PubsubQueue
from podway.online.error import QueueError
from podway.online.queue import dead
from podway.online.queue.dead import Policy
from podway.online.queue.held import Held
from podway.online.queue.queue import Producer, Received

KEY = "podway-key"
_MOST = 1000
_PAUSE = 0.2


class PubsubConsumer:
    """What it was given is its own for a time, for which it asks again and again until it has
    committed; who ends in the midst leaves it to others."""

    def __init__(
        self,
        client: SubscriberClient,
        subscription: str,
        producer: Producer,
        group: str,
        topic: str,
        partitions: int,
        policy: Policy,
        config: PubsubQueue,
    ):
        self._client, self._subscription, self._producer = client, subscription, producer
        self._group, self._topic, self._policy, self._config = group, topic, policy, config
        self._held = Held(partitions, policy)
        self._tickets: dict[str, str] = {}
        self._lock = threading.Lock()
        self._width = _MOST
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True, name="pubsub-leases")
        self._thread.start()

    def poll(self, most: int, timeout: float) -> list[Received]:
        """Up to `most` further messages."""
        end = time.monotonic() + timeout
        while True:
            if not self._held.blocked:
                self._pull(min(most, self._width, _MOST), max(0.3, end - time.monotonic()))
            found = []
            for message in self._held.take(most):
                if message.attempt > self._policy.attempts:
                    self.dead(message, dead.ended(message.attempt - 1))
                else:
                    found.append(message)
            left = end - time.monotonic()
            if found or left <= 0:
                return found
            if self._held.blocked:
                time.sleep(min(left, 0.02))

    def _pull(self, most: int, timeout: float) -> None:
        asked = {"subscription": self._subscription, "max_messages": most}
        try:
            answer = self._client.pull(asked, timeout=timeout, retry=None)
        except (exceptions.DeadlineExceeded, exceptions.Cancelled):
            return  # nothing came, says this side or that one
        except (exceptions.ServiceUnavailable, exceptions.InternalServerError, exceptions.Unknown):
            time.sleep(_PAUSE)  # it is away for a while
            return
        except exceptions.GoogleAPICallError as error:
            raise QueueError(
                f"Pub/Sub gives nothing of {self._subscription}: {error}; see that it is there, and"
                " that this account may read it"
            ) from None
        again = False
        with self._lock:
            for given in answer.received_messages:
                name = given.message.message_id
                known = name in self._tickets
                self._tickets[name] = given.ack_id
                again |= given.delivery_attempt > 1
                if not known:
                    self._held.add(self._received(given))
        # Of a key nothing more comes until what came is committed. Where somebody ended in the
        # midst of a message one comes at a time: only the one that ends processes is counted up.
        if again:
            self._width = 1
        elif answer.received_messages:
            self._width = min(_MOST, 2 * self._width)

    def _received(self, given: ReceivedMessage) -> Received:
        message = given.message
        headers = dict(message.attributes)
        key = headers.pop(KEY, message.ordering_key)
        moment: Any = message.publish_time  # proto-plus makes a datetime of it
        published = moment.timestamp()
        attempt = max(1, given.delivery_attempt)
        return Received(
            self._topic, 0, 0, message.message_id, key, message.data, headers, published, attempt
        )

    def commit(self, messages: Iterable[Received]) -> None:
        """These are done, and all before them."""
        with self._lock:
            done = self._held.commit(messages)
        self._acknowledge(done)

    def retry(self, message: Received, reason: str) -> None:
        """Delivers it again, later."""
        if message.id not in self._tickets:
            return
        with self._lock:
            again = self._held.again(message)
        if not again:
            self.dead(message, reason)

    def dead(self, message: Received, reason: str) -> None:
        """To the topic of dead messages at once."""
        gone = dead.message(message, self._group, reason, self._policy.topic)
        done = self._held.dead(message, lambda: self._producer.publish(self._policy.topic, [gone]))
        self._acknowledge(done)

    def lag(self) -> int:
        """It is not said here."""
        return -1

    def close(self) -> None:
        """Leaves what is not done to the others."""
        if self._ended.is_set():
            return
        self._ended.set()
        self._thread.join()
        with self._lock:
            left = [self._tickets[message.id] for message in self._held.clear()]
        with contextlib.suppress(exceptions.GoogleAPICallError):
            self._deadline(left, 0)
        self._client.transport.close()
        self._producer.close()

    def _acknowledge(self, done: list[Received]) -> None:
        end = time.monotonic() + self._config.publish_seconds
        for start in range(0, len(done), _MOST):
            names = [message.id for message in done[start : start + _MOST]]
            asked = {
                "subscription": self._subscription,
                "ack_ids": [self._tickets[name] for name in names],
            }
            while True:
                try:
                    self._client.acknowledge(asked, timeout=10, retry=None)
                    break
                except exceptions.GoogleAPICallError as error:
                    if time.monotonic() >= end:
                        raise QueueError(
                            f"Pub/Sub takes no commit of {self._subscription}: {error}; see that"
                            " it can be reached"
                        ) from None
                    time.sleep(_PAUSE)
            with self._lock:
                for name in names:
                    self._tickets.pop(name, None)

    def _keep(self) -> None:
        """Asks for more time for what is at work."""
        while not self._ended.wait(self._config.ack_seconds / 3):
            with self._lock:
                tickets = list(self._tickets.values())
            with contextlib.suppress(exceptions.GoogleAPICallError):
                self._deadline(tickets, self._config.ack_seconds)

    def _deadline(self, tickets: list[str], seconds: int) -> None:
        for start in range(0, len(tickets), _MOST):
            asked = {
                "subscription": self._subscription,
                "ack_ids": tickets[start : start + _MOST],
                "ack_deadline_seconds": seconds,
            }
            self._client.modify_ack_deadline(asked, timeout=10, retry=None)
