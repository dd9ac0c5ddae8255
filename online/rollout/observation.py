"""What a client saw of one answer, and the sum of many: small, and exact to add up.

Of each key only its first request in a while is evidence. A key stays with its version, so that a
user who asks a thousand times is one user, and not a thousand: counted in full, a program that
sends nonsense all day would condemn whichever version its key fell to.
"""

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from podway.online.rollout import histogram
from podway.online.rollout.histogram import Histogram
from podway.online.rollout.split import Arm

NOT_FINITE = "NOT_FINITE"
"""The code of an answer whose scores are not all finite numbers."""


@dataclasses.dataclass(frozen=True)
class Observation:
    """One answer.

    Attributes:
      arm: which asked whom.
      seconds: until the answer, or the failure.
      code: of the failure; "": none.
      empty: whether the answer held nothing.
      score: the highest of the answer; None: it had none.
      repeated: whether its key has been counted lately, so that it is no evidence.
    """

    arm: Arm
    seconds: float
    code: str = ""
    empty: bool = False
    score: float | None = None
    repeated: bool = False


@dataclasses.dataclass(frozen=True)
class Value:
    """What an answer turned out to be worth: a click, a sale.

    Attributes:
      arm: who had answered.
      value: as part of the plan's `value_most`, 0 to 1.
    """

    arm: Arm
    value: float


@dataclasses.dataclass
class Tally:
    """The sum of what was seen of one arm.

    Attributes:
      requests: that count as evidence.
      repeats: that do not.
      failures: by code.
      empty: answers that held nothing.
      latency: seconds of all, failures included.
      scores: highest of each answer that had any.
      values: how many answers it is known of what they were worth.
      worth: the sum of that.
      lost: observations that could not be kept.
    """

    requests: int = 0
    repeats: int = 0
    failures: Counter[str] = dataclasses.field(default_factory=Counter)
    empty: int = 0
    latency: Histogram = dataclasses.field(default_factory=Counter)
    scores: Histogram = dataclasses.field(default_factory=Counter)
    values: int = 0
    worth: float = 0.0
    lost: int = 0

    def add(self, seen: Observation | Value) -> None:
        """Counts one more."""
        if isinstance(seen, Value):
            self.values += 1
            self.worth += seen.value
            return
        if seen.repeated:
            self.repeats += 1
            return
        code = seen.code
        if not code and seen.score is not None and not math.isfinite(seen.score):
            code = NOT_FINITE
        self.requests += 1
        self.latency[histogram.bucket(seen.seconds)] += 1
        if code:
            self.failures[code] += 1
            return
        self.empty += seen.empty
        if seen.score is not None:
            self.scores[histogram.bucket(seen.score)] += 1

    @property
    def failed(self) -> int:
        """Requests that failed, of those that are evidence."""
        return sum(self.failures.values())

    @property
    def answered(self) -> int:
        """Requests that did not fail, of those that are evidence."""
        return self.requests - self.failed

    def json(self) -> dict[str, Any]:
        """As plain values; what is 0 or empty is left out."""
        found = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {
            name: dict(value) if isinstance(value, Counter) else value
            for name, value in found.items()
            if value
        }


def tally(content: Mapping[str, Any]) -> Tally:
    """The inverse of `Tally.json`. Raises TypeError or ValueError where it is none."""
    found = Tally()
    for name, value in content.items():
        kept = getattr(found, name, None)
        if kept is None:
            raise ValueError(f"a tally has no {name!r}")
        if isinstance(kept, Counter):
            named = value if name == "failures" else {int(key): n for key, n in value.items()}
            setattr(found, name, Counter(named))
        else:
            setattr(found, name, type(kept)(value))
    return found


def total(tallies: Iterable[Tally]) -> Tally:
    """The sum of tallies."""
    found = Tally()
    for each in tallies:
        for field in dataclasses.fields(Tally):
            setattr(found, field.name, getattr(found, field.name) + getattr(each, field.name))
    return found
