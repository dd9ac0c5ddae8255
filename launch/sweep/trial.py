"""A trial as plain data, and what may be said of several attempts at it."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Literal

from podway.framework.config.sweep import Value

State = Literal["waiting", "running", "complete", "pruned", "refused", "failed"]
"""
    waiting     to be taken up, perhaps again: who trained it is gone
    running     in training
    complete    trained to its end
    pruned      left at an evaluation, as others were better
    refused     breaks a limit, or is no experiment; nothing was trained
    failed      its training went wrong
"""
COUNTED: tuple[State, ...] = ("waiting", "running", "complete", "pruned", "failed")
"""Those that the number of trials counts."""


@dataclasses.dataclass(frozen=True)
class Trial:
    """A trial.

    Attributes:
      number: of its first attempt.
      state: what became of it.
      values: the fields' values, by path.
      quality: the validation metric: at the selected checkpoint, or where it was left.
      quantities: what it costs, by name.
      validation: {step: the metric}, of its evaluations.
      reason: why it was refused, failed, or left.
      run: version of its run; "": there is none.
      attempts: how often it was taken up.
      began: seconds since 1970; None: it has not begun.
      ended: likewise.
      seconds: of devices that its trainings held, by device, of all attempts.
    """

    number: int
    state: State
    values: Mapping[str, Value]
    quality: float = math.nan
    quantities: Mapping[str, float] = dataclasses.field(default_factory=dict)
    validation: Mapping[int, float] = dataclasses.field(default_factory=dict)
    reason: str = ""
    run: str = ""
    attempts: int = 1
    began: float | None = None
    ended: float | None = None
    seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def amount(self, name: str) -> float:
        """A quantity, or the quality; what is not known is no number."""
        return self.quality if name == "quality" else self.quantities.get(name, math.nan)


def counted(trials: Sequence[Trial]) -> int:
    """How many of them the number of trials counts."""
    return sum(each.state in COUNTED for each in trials)
