"""The dimensions of a search space: a field of the experiment, and which values it may take."""

import dataclasses
import math

from podway.framework.error import check

Value = bool | int | float | tuple[int | float | str, ...] | str | None
"""What a field may be set to."""


@dataclasses.dataclass(frozen=True)
class Dimension:
    """A field that is varied. Choose Float, Int or Choice."""

    field: str
    """Its path in the experiment: "optimizer.learning_rate"."""

    def __post_init__(self):
        check(
            all(part.isidentifier() or part.isdigit() for part in self.field.split(".")),
            f"space: {self.field!r} is no path of a field; give one such as"
            " optimizer.learning_rate",
        )


@dataclasses.dataclass(frozen=True)
class Float(Dimension):
    """Any number from `low` to `high`."""

    low: float
    """Smallest value."""
    high: float
    """Largest value."""
    log: bool = False
    """Whether its powers are spread evenly, rather than its values."""

    def __post_init__(self):
        super().__post_init__()
        _check_ends(self)


@dataclasses.dataclass(frozen=True)
class Int(Dimension):
    """A whole number from `low` to `high`, both included."""

    low: int
    """Smallest value."""
    high: int
    """Largest value."""
    log: bool = False
    """Whether its powers are spread evenly, rather than its values."""
    step: int = 1
    """Distance of two values; with `log` it is 1."""

    def __post_init__(self):
        super().__post_init__()
        _check_ends(self)
        check(
            self.step >= 1 and (self.step == 1 or not self.log),
            f"space: the step of {self.field} is {self.step}; give 1 or more, and 1 with log",
        )
        check(
            (self.high - self.low) % self.step == 0,
            f"space: {self.field} is never {self.high} in steps of {self.step} from {self.low};"
            f" give high = {self.high - (self.high - self.low) % self.step}",
        )


@dataclasses.dataclass(frozen=True)
class Choice(Dimension):
    """One of some values, which have no order."""

    values: tuple[Value, ...]
    """Which."""

    def __post_init__(self):
        super().__post_init__()
        check(
            isinstance(self.values, tuple) and len(self.values) > 1,
            f"space: the values of {self.field} are {self.values!r}; give a tuple of two or more",
        )
        check(
            len({(type(value), value) for value in self.values}) == len(self.values),
            f"space: a value of {self.field} stands twice in {self.values!r}; leave one out",
        )


def _check_ends(of: Float | Int) -> None:
    name = f"{of.field} from {of.low} to {of.high}"
    check(
        math.isfinite(of.low) and math.isfinite(of.high) and of.low < of.high,
        f"space: {name} holds nothing to choose from; give two numbers, the smaller one first",
    )
    check(
        of.low > 0 or not of.log,
        f"space: {name} is logarithmic, and begins at {of.low}; begin above 0, or leave out log",
    )
