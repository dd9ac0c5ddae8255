"""What a caller gets, by whatever protocol.

Candidates and items of an answer are plain tuples of texts and numbers: a list of forty is made for
each request, and thousands are remembered, which Python's garbage collector looks through again and
again unless they are just that.
"""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Literal

import orjson

Source = Literal["model", "cache", "last", "stored", "segment", "popular", "always", "none"]
"""Who answered: the model; the model, a moment ago; the model, when it last answered for this user;
the model, when lists were made beforehand; what is popular in the segment, or everywhere; the
config's `always`; nobody."""
Reason = Literal["retrieved", "ranked", "stored", "new", "segment", "popular", "always"]
"""Why an item is in a list: the model found it, the ranker put it there, a list that was made
beforehand has it, it is new, it is popular in the user's segment or everywhere, or the config has
it for want of anything else."""

Candidate = tuple[str, float, Reason]
"""An item that may be shown: its id; its score, by which candidates of one source are ordered; why
it is one."""


class Attributes(dict[str, Any]):
    """What the store has of an item, and the same as JSON, written once.

    Args:
      found: names and values.

    Raises:
      ValueError: JSON has no such value.
    """

    __slots__ = ("json",)

    def __init__(self, found: Mapping[str, Any]):
        super().__init__(found)
        try:
            self.json = orjson.dumps(dict(self))
        except TypeError:  # an integer of more than 64 bits, half of a character
            self.json = json.dumps(self, allow_nan=False).encode()


NOTHING = Attributes({})

Recommended = tuple[str, float, Reason, Attributes]
"""An item of an answer: its id; its score as its source gave it, which does not compare with that
of another source; why it is there; what the store has of it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """An answer.

    Attributes:
      id: of the request.
      items: best first.
      source: who answered.
      model: name of the model that did; "": none.
      version: of it; None: none, or nobody knows.
      arm: of a rollout: stable or canary; "": no model answered.
      trials: experiment → the user's arm.
      missing: hops that did not answer, with their codes: why it is not the model's answer, or is
        not made of all that is known.
      age: seconds since the model answered; None: no model did.
    """

    id: str
    items: tuple[Recommended, ...]
    source: Source
    model: str = ""
    version: int | None = None
    arm: str = ""
    trials: Mapping[str, str] = dataclasses.field(default_factory=dict)
    missing: Mapping[str, str] = dataclasses.field(default_factory=dict)
    age: float | None = None

    def body(self) -> bytes:
        """As REST has it."""
        piece = orjson.Fragment
        return orjson.dumps(
            {
                "request_id": self.id,
                "source": self.source,
                "age_seconds": self.age,
                "model": {"name": self.model, "version": self.version, "arm": self.arm},
                "trials": self.trials,
                "missing": self.missing,
                "items": [
                    {
                        "item": item,
                        "score": score,
                        "reason": reason,
                        "attributes": piece(attributes.json),
                    }
                    for item, score, reason, attributes in self.items
                ],
            }
        )
