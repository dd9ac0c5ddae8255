"""What a caller gets, by whatever protocol."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

Source = Literal["model", "cache", "last", "segment", "popular", "always", "none"]
"""Who answered: the model; the model, a moment ago; the model, when it last answered for this user;
what is popular in the segment, or everywhere; the config's `always`; nobody."""
Reason = Literal["retrieved", "ranked", "new", "segment", "popular", "always"]
"""Why an item is in a list: the model found it, the ranker put it there, it is new, it is popular
in the user's segment or everywhere, or the config has it for want of anything else."""


class Candidate(NamedTuple):
    """An item that may be shown."""

    item: str
    """Its id."""
    score: float
    """By which candidates of one source are ordered."""
    reason: Reason
    """Why it is one."""


class Recommended(NamedTuple):
    """An item of an answer."""

    item: str
    """Its id."""
    score: float
    """As its source gave it: of different sources they do not compare."""
    reason: Reason
    """Why it is there."""
    attributes: Mapping[str, Any]
    """That the store has of it."""


@dataclasses.dataclass(frozen=True)
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
    """

    id: str
    items: tuple[Recommended, ...]
    source: Source
    model: str = ""
    version: int | None = None
    arm: str = ""
    trials: Mapping[str, str] = dataclasses.field(default_factory=dict)
    missing: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def json(self) -> dict[str, Any]:
        """As REST has it."""
        return {
            "request_id": self.id,
            "source": self.source,
            "model": {"name": self.model, "version": self.version, "arm": self.arm},
            "trials": self.trials,
            "missing": self.missing,
            "items": [
                {"item": item, "score": score, "reason": reason, "attributes": attributes}
                for item, score, reason, attributes in self.items
            ],
        }
