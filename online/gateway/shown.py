"""What was shown to whom, as events."""

import dataclasses
import hashlib
from typing import Any

import orjson

from podway.online.events.event import Event, encode
from podway.online.gateway.answer import Answer
from podway.online.gateway.memory import Memory
from podway.online.queue.queue import Message

IMPRESSION, EXPOSURE = "impression", "exposure"
_EXPOSED = 65_536


@dataclasses.dataclass(frozen=True, slots=True)
class Shown:
    """An answer, to whom, and when."""

    user: str
    segment: str
    device: str
    answer: Answer
    time: float


class Events:
    """The events of answers; of one thread. Remembers who was exposed to which arm today."""

    def __init__(self):
        self._exposed = Memory[tuple[str, str, str, int], bool](_EXPOSED, 86_400.0)

    def messages(self, shown: Shown) -> list[Message]:
        """Of one answer: what was shown, and the arms that the user saw first today."""
        key = shown.user or shown.answer.id
        found = [Message(key, impression(shown))]
        for trial, arm in shown.answer.trials.items():
            if not self._exposed.get((trial, arm, shown.user, _day(shown.time))):
                found.append(Message(key, encode(exposure(shown, trial, arm))))
        return found

    def published(self, shown: Shown) -> None:
        """The queue has them."""
        for trial, arm in shown.answer.trials.items():
            self._exposed.put((trial, arm, shown.user, _day(shown.time)), True)


def impression(shown: Shown) -> bytes:
    """The event of an answer, as `encode` writes it: all of its items, in their order. Raises
    TypeError: a text is half of a character."""
    answer = shown.answer
    event: dict[str, Any] = {
        "id": answer.id,
        "type": IMPRESSION,
        "version": 1,
        "user": shown.user,
        "item": "",
        "time": shown.time,
        "request": answer.id,
        "items": [each[0] for each in answer.items],
        "reasons": [each[2] for each in answer.items],
        "source": answer.source,
        "model": answer.model,
        "model_version": answer.version,
        "arm": answer.arm,
        "trials": answer.trials,
    }
    if shown.segment:
        event["segment"] = shown.segment
    if shown.device:
        event["device"] = shown.device
    return orjson.dumps(event)


def exposure(shown: Shown, trial: str, arm: str) -> Event:
    """The event of a user who saw what an arm does: one a day, by whichever process."""
    told = f"{trial}\0{arm}\0{shown.user}\0{_day(shown.time)}".encode()
    return Event(
        EXPOSURE,
        shown.user,
        "",
        shown.time,
        id=hashlib.blake2b(told, digest_size=16).hexdigest(),
        fields={"trial": trial, "arm": arm},
    )


def _day(seconds: float) -> int:
    return int(seconds // 86_400)
