"""Conditions on raw columns: which rows are read. Pure Python.

A condition is a definition only; beam/features/conditions.py decides it on Arrow columns, by these
rules, whatever the file's format.

    text      compared as features read it: 31, 31.0 and "31" are one value
    truth     true is what a column of truth values has, or the text true, True or TRUE
    number    compared exactly where it is whole, else as float64; in text files spaces around it
              don't count, and true is 1
    moment    text such as "2024-01-31" or "2024-01-31T10:00:00+01:00" (without a zone: UTC). A
              month or a day stands for all of it: AtMost("time", "2024-01") ends with January,
              Above("time", "2024-01") begins with February

A missing value (null, "", NaN) satisfies Missing and NoneOf alone. A value that is no number, or no
time, where one is compared is an error of its row, which is rejected, unless the other conditions
decide.
"""

import calendar
import dataclasses
import datetime
import math
import re
from collections.abc import Iterator, Sequence

from podway.framework.error import check

Ordinal = int | float | str
"""What a raw value is ordered by: a number, or the text of a moment."""
Value = bool | Ordinal
"""What a raw value is compared with."""

_SPAN = re.compile(r"\d{4}-\d{2}(-\d{2})?")
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d.*")


@dataclasses.dataclass(frozen=True)
class Condition:
    """What a raw row must be like. Choose OneOf, NoneOf, AtLeast, AtMost, Above, Below, Between,
    Missing, NotMissing, AnyOf or AllOf."""


@dataclasses.dataclass(frozen=True)
class OfColumn(Condition):
    """A condition on one column."""

    column: str
    """Raw column; it need be no feature."""

    def __post_init__(self):
        check(bool(self.column), f"where: {type(self).__name__} has no column; name a raw column")


@dataclasses.dataclass(frozen=True)
class OneOf(OfColumn):
    """The value is one of these. Numbers are compared as numbers, text as text."""

    values: tuple[Value, ...]
    """Text, numbers, True or False."""

    def __post_init__(self):
        super().__post_init__()
        check(
            bool(self.values) and not isinstance(self.values, str),
            f"where: OneOf({self.column!r}) has the values {self.values!r}; give a tuple of some",
        )

    def __str__(self) -> str:
        return f"{self.column} one of {_listed(self.values)}"


@dataclasses.dataclass(frozen=True)
class NoneOf(OneOf):
    """The value is none of these, or missing."""

    def __str__(self) -> str:
        return f"{self.column} none of {_listed(self.values)}"


@dataclasses.dataclass(frozen=True)
class Ordered(OfColumn):
    """A comparison with one value."""

    value: Ordinal
    """A number or a moment."""

    def __post_init__(self):
        super().__post_init__()
        _check_ordered(type(self).__name__, self.column, self.value)


@dataclasses.dataclass(frozen=True)
class AtLeast(Ordered):
    """The value is this or larger, or later."""

    def __str__(self) -> str:
        return f"{self.column} at least {self.value}"


@dataclasses.dataclass(frozen=True)
class AtMost(Ordered):
    """The value is this or smaller, or earlier."""

    def __str__(self) -> str:
        return f"{self.column} at most {self.value}"


@dataclasses.dataclass(frozen=True)
class Above(Ordered):
    """The value is larger, or later."""

    def __str__(self) -> str:
        return f"{self.column} above {self.value}"


@dataclasses.dataclass(frozen=True)
class Below(Ordered):
    """The value is smaller, or earlier."""

    def __str__(self) -> str:
        return f"{self.column} below {self.value}"


@dataclasses.dataclass(frozen=True)
class Between(OfColumn):
    """The value is from `low` to `high`, both included: of two days both of them."""

    low: Ordinal
    """A number or a moment."""
    high: Ordinal
    """Of the same kind."""

    def __post_init__(self):
        super().__post_init__()
        for value in (self.low, self.high):
            _check_ordered("Between", self.column, value)
        ends = [span(v)[0] if isinstance(v, str) else v for v in (self.low, self.high)]
        check(
            isinstance(self.low, str) == isinstance(self.high, str) and ends[0] <= ends[1],
            f"where: Between({self.column!r}, {self.low!r}, {self.high!r}) holds nothing; give two"
            " numbers or two moments, the smaller one first",
        )

    def __str__(self) -> str:
        return f"{self.column} from {self.low} to {self.high}"


@dataclasses.dataclass(frozen=True)
class Missing(OfColumn):
    """There is no value."""

    def __str__(self) -> str:
        return f"{self.column} missing"


@dataclasses.dataclass(frozen=True)
class NotMissing(OfColumn):
    """There is a value."""

    def __str__(self) -> str:
        return f"{self.column} not missing"


@dataclasses.dataclass(frozen=True)
class Several(Condition):
    """Several conditions."""

    conditions: tuple[Condition, ...]
    """Which."""

    def __post_init__(self):
        name = type(self).__name__
        check(
            bool(self.conditions) and isinstance(self.conditions, tuple),
            f"where: {name} has no conditions; give a tuple of some",
        )


@dataclasses.dataclass(frozen=True)
class AnyOf(Several):
    """At least one of the conditions holds."""

    def __str__(self) -> str:
        return " or ".join(f"({part})" if isinstance(part, AllOf) else str(part)
                           for part in self.conditions)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class AllOf(Several):
    """All of the conditions hold: for use inside of AnyOf."""

    def __str__(self) -> str:
        return " and ".join(f"({part})" if isinstance(part, AnyOf) else str(part)
                            for part in self.conditions)  # fmt: skip


def columns_of(conditions: Sequence[Condition]) -> list[str]:
    """The raw columns that conditions read, each once, in their order."""
    return list(dict.fromkeys(name for one in conditions for name in _columns(one)))


def _columns(condition: Condition) -> Iterator[str]:
    if isinstance(condition, Several):
        for part in condition.conditions:
            yield from _columns(part)
    elif isinstance(condition, OfColumn):
        yield condition.column


def moment_columns(conditions: Sequence[Condition]) -> list[str]:
    """Those of them that are compared with a moment."""
    return list(dict.fromkeys(name for one in conditions for name in _moments(one)))


def _moments(condition: Condition) -> Iterator[str]:
    match condition:
        case Several(conditions=parts):
            for part in parts:
                yield from _moments(part)
        case Ordered(column=name, value=str()) | Between(column=name, low=str()):
            yield name


def number_columns(conditions: Sequence[Condition]) -> list[str]:
    """Those of them that are compared with a number."""
    return list(dict.fromkeys(name for one in conditions for name in _numbers(one)))


def _numbers(condition: Condition) -> Iterator[str]:
    match condition:
        case Several(conditions=parts):
            for part in parts:
                yield from _numbers(part)
        case OneOf(column=name, values=values) if any(_is_number(value) for value in values):
            yield name
        case Ordered(column=name, value=value) | Between(column=name, low=value):
            if _is_number(value):
                yield name


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def check_conditions(field: str, conditions: Sequence[Condition]) -> None:
    """Raises ConfigError unless this is a tuple of conditions; `field` names it."""
    fitting = isinstance(conditions, tuple) and all(
        isinstance(one, OfColumn | Several) for one in conditions
    )
    check(
        fitting,
        f"{field} is {conditions!r}; give a tuple of conditions, such as"
        ' (AtLeast("rating", 4),), from framework/config/where.py',
    )


def span(moment: str) -> tuple[int, int]:
    """Microseconds since 1970 (UTC) of the first instant of a moment, and of the first one after.

    Raises ValueError: it is none.
    """
    if _MOMENT.fullmatch(moment):
        found = datetime.datetime.fromisoformat(moment)
        start = _micro(found if found.tzinfo else found.replace(tzinfo=datetime.UTC))
        return start, start + 1
    if not _SPAN.fullmatch(moment):
        raise ValueError(moment)
    year, month, day = (int(part) for part in f"{moment}-01".split("-")[:3])
    start = _micro(datetime.datetime(year, month, day, tzinfo=datetime.UTC))
    days = 1 if moment.count("-") == 2 else calendar.monthrange(year, month)[1]
    return start, start + days * 86_400_000_000


def _micro(moment: datetime.datetime) -> int:
    since = moment - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    return since // datetime.timedelta(microseconds=1)


def _check_ordered(name: str, column: str, value: Ordinal) -> None:
    if isinstance(value, str):
        try:
            span(value)
        except ValueError:
            fits = False
        else:
            fits = True
    else:
        fits = isinstance(value, int | float) and math.isfinite(value)
    check(
        fits,
        f"where: {name}({column!r}, {value!r}) compares with what has no order; give a number, or"
        " a moment such as 2024-01-31 or 2024-01-31T10:00:00",
    )


def _listed(values: Sequence[Value]) -> str:
    shown = ", ".join(map(str, values[:5]))
    return shown + (f" and {len(values) - 5} more" if len(values) > 5 else "")
