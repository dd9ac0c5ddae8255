"""A sweep over the fields of an experiment."""

import dataclasses
import math
from typing import Literal

from podway.framework.config.sweep.space import Dimension
from podway.framework.error import check

Quantity = Literal["quality", "latency", "size", "memory", "parameters", "compute", "cost"]
"""What a trial is worth and what it costs.

    quality     the validation metric that selects the checkpoint, at that checkpoint
    latency     milliseconds for one request of one row, of the function that is exported, on a CPU
    size        MB of the parameters, as they are exported
    memory      MB of a device that a training step takes, as the compiler says
    parameters  numbers that the model has
    compute     floating-point operations of the whole training
    cost        price of a million answers, in the currency of the prices
"""


@dataclasses.dataclass(frozen=True)
class Limit:
    """What a trial may not be above. It is known before a step is trained."""

    quantity: Quantity
    """Of what; any but quality."""
    most: float
    """In the quantity's unit: ms, MB, money for a million answers, or a number."""

    def __post_init__(self):
        check(
            self.quantity != "quality",
            "limits: quality has no limit, as it is known after training alone; name latency, size,"
            " memory, parameters, compute or cost",
        )
        check(
            0 < self.most < math.inf,
            f"limits: {self.quantity} may be {self.most} at most; give a positive number",
        )


@dataclasses.dataclass(frozen=True)
class Pruner:
    """Which trials end before their last step. Choose Asha; Pruner itself stands for none."""


@dataclasses.dataclass(frozen=True)
class Asha(Pruner):
    """Asynchronous successive halving (Li et al. 2020, arXiv:1810.05934).

    After `first` evaluations, and after `factor` times as many, and so on, a trial goes on if it is
    among the best 1/`factor` of those that have come as far.
    """

    first: int = 1
    """Evaluations before the first decision."""
    factor: int = 3
    """Of so many trials one goes on."""

    def __post_init__(self):
        check(self.first >= 1, f"pruner.first is {self.first}; give 1 or more")
        check(self.factor >= 2, f"pruner.factor is {self.factor}; give 2 or more")


@dataclasses.dataclass(frozen=True)
class Winner:
    """Which trial wins: the cheapest that is as good as the best, as far as noise lets one tell."""

    candidates: int = 3
    """Trials, the best on the front, that are trained with all seeds."""
    seeds: int = 3
    """Trainings of each candidate, the trial's own included."""
    errors: float = 1.0
    """Standard errors of the difference from the best within which a candidate is as good."""

    def __post_init__(self):
        for field in ("candidates", "seeds"):
            value = getattr(self, field)
            check(value >= 1, f"winner.{field} is {value}; give 1 or more")
        check(0 <= self.errors < math.inf, f"winner.errors is {self.errors}; give 0 or more")


@dataclasses.dataclass(frozen=True)
class Sweep:
    """What is tried, what counts, and when it ends."""

    space: tuple[Dimension, ...]
    """The fields that are varied."""
    objectives: tuple[Quantity, ...] = ("quality",)
    """What a trial should be good at. With one beside quality there is a front of trials, none of
    which another one beats in all."""
    limits: tuple[Limit, ...] = ()
    """What no trial may be above."""
    trials: int = 24
    """Trials to train; those that break a limit do not count."""
    minutes: float | None = None
    """After so long no trial begins, and those in training are left for another time; None: no
    limit. Candidates are trained with their seeds all the same."""
    pruner: Pruner = Asha()
    """Which trials end early."""
    winner: Winner = Winner()
    """How the winner is found."""
    seed: int = 0
    """Seed of the search. Trials are trained with trainer.seed."""

    def __post_init__(self):
        check(
            isinstance(self.space, tuple)
            and bool(self.space)
            and all(isinstance(each, Dimension) for each in self.space),
            "space holds no dimensions; give a tuple of some, such as"
            ' (Float("optimizer.learning_rate", 1e-4, 1e-2, log=True),)',
        )
        names = [each.field for each in self.space]
        for name in names:
            check(names.count(name) == 1, f"space names {name} twice; keep one")
        check(
            "quality" in self.objectives and len(set(self.objectives)) == len(self.objectives),
            f"objectives is {self.objectives}; give quality, and others once each",
        )
        limited = [each.quantity for each in self.limits]
        for name in limited:
            check(limited.count(name) == 1, f"limits names {name} twice; keep one")
        check(self.trials >= 1, f"trials is {self.trials}; give 1 or more")
        check(
            self.minutes is None or 0 < self.minutes < math.inf,
            f"minutes is {self.minutes}; give more than 0, or None",
        )

    @property
    def costs(self) -> tuple[Quantity, ...]:
        """The objectives beside quality, all of which should be small."""
        return tuple(each for each in self.objectives if each != "quality")

    @property
    def measured(self) -> tuple[Quantity, ...]:
        """What must be known of a trial before it trains."""
        return (*self.costs, *(each.quantity for each in self.limits))
