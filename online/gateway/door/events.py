"""Events that clients send: checked one by one, kept in a bounded buffer, published."""

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any

from podway.framework.config.online import Events, Intake
from podway.online.events.door import decode
from podway.online.events.event import Event, encode
from podway.online.gateway.metrics import Metrics
from podway.online.gateway.publisher import Publisher
from podway.online.gateway.request import RequestError
from podway.online.gateway.shown import EXPOSURE, IMPRESSION
from podway.online.queue.queue import Message


class Unpublished(Exception):
    """The queue does not have the events, as far as is known: they are to be sent again.

    Attributes:
      wait: seconds after which that is worth a try.
    """

    def __init__(self, message: str, wait: float):
        super().__init__(message)
        self.wait = wait


@dataclasses.dataclass(frozen=True, slots=True)
class Sent:
    """An event on its way.

    Attributes:
      message: of the queue.
      told: called once the queue has it; None: nobody waits.
    """

    message: Message
    told: Callable[[], None] | None


@dataclasses.dataclass(frozen=True, slots=True)
class Refusal:
    """An event that is not taken.

    Attributes:
      at: its place in the request, from 0.
      id: of it; "": it has none.
      why: in one sentence.
    """

    at: int
    id: str
    why: str


@dataclasses.dataclass(frozen=True, slots=True)
class Taken:
    """What became of a request's events.

    Attributes:
      accepted: how many are published, or wait for it.
      refused: the others.
    """

    accepted: int
    refused: tuple[Refusal, ...]


def published(sent: Sent) -> None:
    """The queue has it."""
    if sent.told is not None:
        sent.told()


def messages(sent: Sent) -> list[Message]:
    """Of one event: itself."""
    return [sent.message]


class Collector:
    """Takes events; belongs to an event loop.

    Args:
      intake: how.
      events: which ones there are.
      publisher: of what is taken.
      metrics: what it tells.
    """

    def __init__(
        self, intake: Intake, events: Events, publisher: Publisher[Sent], metrics: Metrics
    ):
        self._intake, self._events = intake, events
        self._publisher, self._metrics = publisher, metrics
        own = (IMPRESSION, EXPOSURE)
        self._types = intake.types or tuple(t.name for t in events.types if t.name not in own)

    async def take(self, values: Sequence[bytes]) -> Taken:
        """Has the events of a request published.

        Args:
          values: each a JSON object.

        Raises:
          RequestError: there are none, or too many.
          Unpublished: none is taken, or nobody knows.
        """
        most = self._intake.most
        if not 1 <= len(values) <= most:
            raise RequestError(f"there are {len(values)} events; send 1 to {most} at once")
        good, refused = list[Event](), list[Refusal]()
        for at, value in enumerate(values):
            event = self._judged(value)
            if isinstance(event, str):
                refused.append(Refusal(at, _id(value), event))
            else:
                good.append(event)
        if good:
            await self._publish(good)
        self._count("accepted", len(good))
        self._count("refused", len(refused))
        return Taken(len(good), tuple(refused))

    def _judged(self, value: bytes) -> Event | str:
        event = decode(value, self._events)
        if isinstance(event, Event) and event.type not in self._types:
            return f'type is "{event.type}"; clients send {", ".join(self._types)} here'
        return event

    async def _publish(self, events: Sequence[Event]) -> None:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def told() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(lambda: done.done() or done.set_result(None))

        found = [Message(each.user, encode(each)) for each in events]
        waits = self._intake.acknowledge == "published"
        # They are published in their order: when the last one is, all are.
        sent = [Sent(each, None) for each in found[:-1]] + [
            Sent(found[-1], told if waits else None)
        ]
        if not self._publisher.put(sent):
            self._count("full", len(sent))
            raise Unpublished(
                f"{self._publisher.waiting} events wait for the queue, and there is no room for"
                f" {len(sent)} more: send them again later",
                1.0,
            )
        if not waits:
            return
        try:
            async with asyncio.timeout(self._intake.seconds):
                await done
        except TimeoutError:
            self._count("late", len(sent))
            raise Unpublished(
                f"the queue has not taken the events in {self._intake.seconds:g} s: send them"
                " again, with the same ids, as they may be published all the same",
                1.0,
            ) from None

    def _count(self, outcome: str, number: int) -> None:
        if number:
            self._metrics.events.labels(outcome).inc(number)


def split(body: bytes) -> list[bytes]:
    """The events of a body: a JSON object, or a list of them. Raises RequestError."""
    start = body.lstrip()[:1]
    if start == b"{":
        return [body]
    if start != b"[":
        raise RequestError(
            "the body is no JSON object, and no list of them; send an event, or [events]"
        )
    try:
        found = json.loads(body)
        # What is wrong in one of them is said of that one: text that JSON does not have stays.
        return [json.dumps(each).encode() for each in found]
    except (ValueError, RecursionError) as error:
        raise RequestError(f"the body is no JSON: {error}") from error


def _id(value: bytes) -> str:
    """What a refused event calls itself."""
    try:
        found: Any = json.loads(value)
    except (ValueError, RecursionError):
        return ""
    name = found.get("id") if isinstance(found, dict) else None
    return name[:128] if isinstance(name, str) else ""
