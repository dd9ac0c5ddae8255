"""Conditions on raw columns against a plain loop over Python values."""

import datetime
import decimal
import math
import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from podway.beam.error import DataError
from podway.beam.features import conditions
from podway.framework import codec
from podway.framework.config import (
    Above,
    AllOf,
    AnyOf,
    AtLeast,
    AtMost,
    Below,
    Between,
    Condition,
    Data,
    Missing,
    NoneOf,
    NotMissing,
    OneOf,
)
from podway.framework.config.where import columns_of, span
from podway.framework.error import ConfigError

EVENTS = ["view", "purchase", "Ü", "4", "4.0", "", None]
RATINGS = ["1", "2", "4", "4.5", " 4 ", "-3", "1e1", "9007199254740993", "many", "nan", "", None]
SECONDS = [0, 86_399, 86_400, 2_678_399, 2_678_400, 951_782_400, None]  # days, months, a leap day

COMPARED = {
    AtLeast: lambda x, value: x >= value,
    AtMost: lambda x, value: x <= value,
    Above: lambda x, value: x > value,
    Below: lambda x, value: x < value,
}


def slowly(condition: Any, row: dict[str, Any]) -> bool | None:
    """Whether a row satisfies a condition; None: unknown."""
    if isinstance(condition, AnyOf | AllOf):
        found = [slowly(part, row) for part in condition.conditions]
        if isinstance(condition, AnyOf):
            return True if True in found else None if None in found else False
        return False if False in found else None if None in found else True
    raw = row[condition.column]
    text = raw if isinstance(raw, str) else None
    missing = raw in (None, "")
    match condition:
        case Missing():
            return missing
        case NotMissing():
            return not missing
        case OneOf():
            hit = any(
                text == value if isinstance(value, str) else _number(raw) == value
                for value in condition.values
            )
            return (hit and not missing) != isinstance(condition, NoneOf)
    if condition.column == "time":
        return not missing and _at(condition, raw)
    number = _number(raw)
    if number is None:
        return False if missing or str(raw).strip().lower() in ("nan", "") else None
    if isinstance(condition, Between):
        return condition.low <= number <= condition.high
    return COMPARED[type(condition)](number, condition.value)


def _number(raw: Any) -> Any:
    try:
        found = int(raw)
    except (TypeError, ValueError):
        try:
            found = float(raw)
        except (TypeError, ValueError):
            return None
    return None if math.isnan(found) else found


def _at(condition: Any, seconds: int) -> bool:
    """By the day, which is how far apart the values are."""
    day = datetime.datetime.fromtimestamp(seconds, datetime.UTC).date().isoformat()
    if isinstance(condition, Between):
        low, high = str(condition.low), str(condition.high)
        return low <= day[: len(low)] and day[: len(high)] <= high
    return COMPARED[type(condition)](day[: len(condition.value)], condition.value)


def some_condition(generator: random.Random, depth: int = 2) -> Condition:
    if depth and generator.random() < 0.4:
        parts = tuple(some_condition(generator, depth - 1) for _ in range(generator.choice([1, 2])))
        return generator.choice([AnyOf, AllOf])(parts)
    column = generator.choice(["event", "rating", "time"])
    if column == "time":
        days = ["1970-01-01", "1970-01", "1970-01-31", "1970-02", "2000-02-29", "2000-02"]
        if generator.random() < 0.3:
            low, high = sorted(generator.choices(days, k=2), key=lambda day: span(day)[0])
            return Between("time", low, high)
        return generator.choice(list(COMPARED))("time", generator.choice(days))
    values = ["view", "purchase", "Ü", "4", 4, 4.5, 10, -3, 9007199254740993]
    match generator.randrange(4):
        case 0:
            return generator.choice([Missing, NotMissing])(column)
        case 1 | 2:
            return generator.choice([OneOf, NoneOf])(column, tuple(generator.sample(values, 2)))
    low, high = sorted(generator.choices([-3, 1, 3.5, 4, 4.0, 9007199254740992, 2**70], k=2))
    if generator.random() < 0.3:
        return Between("rating", low, high)
    return generator.choice(list(COMPARED))("rating", low)


def in_forms(name: str, values: list[Any], generator: random.Random) -> pa.Array:
    """A column as one of the readers would give it."""
    if name == "time":
        stamps = [None if value is None else value * 10**9 for value in values]
        forms = [pa.int64(), pa.float64(), pa.string(), pa.binary()]
        made = [pa.array(stamps, pa.timestamp("ns")), pa.array(stamps, pa.timestamp("ns", "UTC"))]
        for kind in forms:
            text = [None if v is None else str(v) for v in values]
            made.append(
                pa.array(values, kind)
                if kind in forms[:2]
                else pa.array([v and v.encode() if kind == pa.binary() else v for v in text], kind)
            )
        return generator.choice(made)
    text = pa.array(values, pa.string())
    return generator.choice(
        [text, text.cast(pa.large_string()), text.cast(pa.binary()), text.dictionary_encode()]
    )


@pytest.mark.parametrize("seed", range(40))
def test_conditions_decide_as_a_plain_loop_does(seed):
    generator = random.Random(seed)
    rows = [
        {
            "event": generator.choice(EVENTS),
            "rating": generator.choice(RATINGS),
            "time": generator.choice(SECONDS),
        }
        for _ in range(200)
    ]
    arrays = {name: in_forms(name, [row[name] for row in rows], generator) for name in rows[0]}
    where = tuple(some_condition(generator) for _ in range(generator.choice([1, 2, 3])))
    found = conditions.decide(where, arrays, len(rows), "a.csv")
    expected = [[slowly(condition, row) for condition in where] for row in rows]
    assert found.stay.tolist() == [False not in verdicts for verdicts in expected], where
    first = [next((n for n, v in enumerate(verdicts) if v is False), None) for verdicts in expected]
    counts = dict.fromkeys((f"where: {condition}" for condition in where), 0)
    for at in first:
        if at is not None:
            counts[f"where: {where[at]}"] += 1
    assert found.filtered == counts
    unknown = np.zeros(int(found.stay.sum()), bool)
    for _, mask in found.checks:
        unknown |= mask
    assert unknown.tolist() == [None in v for v in expected if False not in v], where
    assert codec.from_json(Data, codec.to_json(_data(where))) == _data(where)


def _data(where: tuple[Condition, ...]) -> Data:
    return Data(name="a", path="a.csv", where=where)


def _holds(condition: Condition, array: pa.Array) -> list[bool]:
    found = conditions.decide((condition,), {"x": array}, len(array), "a.parquet")
    assert not found.checks
    return found.stay.tolist()


def test_types_that_only_parquet_has():
    prices = pa.array([decimal.Decimal("4.10"), None, decimal.Decimal("4.11")])
    assert _holds(Above("x", 4.1), prices) == [False, False, True]
    assert _holds(OneOf("x", ("4.1",)), prices) == [True, False, False]
    flags = pa.array([True, False, None])
    assert _holds(OneOf("x", (True,)), flags) == [True, False, False]
    assert _holds(NoneOf("x", (False,)), flags) == [True, False, True]
    assert _holds(AtLeast("x", 1), flags) == [True, False, False]
    assert _holds(OneOf("x", (True,)), pa.array([b"True", b"true", b"1"])) == [True, True, False]
    floats = pa.array([4.0, math.nan, None, 0.1], pa.float32())
    assert _holds(OneOf("x", ("4", "0.1")), floats) == [True, False, False, True]
    assert _holds(NotMissing("x"), floats) == [True, False, False, True]
    big = pa.array([2**63, 2**64 - 1, 5], pa.uint64())
    assert _holds(AtLeast("x", 2**63 + 1), big) == [False, True, False]
    assert _holds(AtMost("x", 2**70), big) == [True, True, True]
    assert _holds(OneOf("x", (2**63, 5.0, 5.5)), big) == [True, False, True]
    assert _holds(NotMissing("x"), pa.array([[1], [], None])) == [True, False, False]
    nothing = pa.nulls(2)
    for condition in (
        OneOf("x", ("a", 1)),
        AtLeast("x", 1),
        Below("x", "2024-01"),
        NotMissing("x"),
    ):
        assert _holds(condition, nothing) == [False, False]
    assert _holds(Missing("x"), nothing) == [True, True]


def test_bytes_that_are_no_text():
    raw = pa.array([b"\xff", b"4", b"view"])
    assert _holds(OneOf("x", ("view", 4)), raw) == [False, True, True]
    found = conditions.decide((AtLeast("x", 4),), {"x": raw}, 3, "a.csv")
    ((reason, mask),) = found.checks
    assert (reason, found.stay.tolist()) == ("x is not a number", [True] * 3)
    assert mask.tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("condition", "array", "said"),
    [
        (AtLeast("x", 4), pa.array([datetime.date(2024, 1, 1)]), "2024-01-31"),
        (AtLeast("x", 4), pa.array([[4]]), "list<item: int64>"),
        (Below("x", "2024-01"), pa.array([True]), "holds bool; give one that holds times"),
        (OneOf("x", ("a",)), pa.array([["a"]]), "holds list<item: string>"),
    ],
)
def test_what_cannot_be_compared_is_named(condition, array, said):
    with pytest.raises(DataError, match=r"a\.parquet: the column (of |)'?x'?") as error:
        conditions.decide((condition,), {"x": array}, 1, "a.parquet")
    assert said in str(error.value)


def test_a_month_is_all_of_its_days():
    days = [datetime.datetime(2024, 1, 31, 23, 59, 59, 999_999), datetime.datetime(2024, 2, 1)]
    times = pa.array(days, pa.timestamp("us"))
    assert _holds(AtMost("x", "2024-01"), times) == [True, False]
    assert _holds(Between("x", "2024-01-31", "2024-01-31"), times) == [True, False]
    assert _holds(Above("x", "2024-01-31"), times) == [False, True]
    assert _holds(AtLeast("x", "2024-02-01T01:00:00+01:00"), times) == [False, True]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: AtLeast("rating", "4"), "compares with what has no order"),
        (lambda: AtLeast("time", "20240131"), "compares with what has no order"),
        (lambda: AtLeast("", 4), "has no column"),
        (lambda: OneOf("event", ()), "give a tuple of some"),
        (lambda: OneOf("event", "view"), "give a tuple of some"),  # type: ignore[arg-type]
        (lambda: Between("rating", 5, 3), "holds nothing"),
        (lambda: Between("rating", 5, "2024-01"), "holds nothing"),
        (lambda: AnyOf(()), "give a tuple of some"),
        (lambda: _data(("rating >= 4",)), "data.where is"),  # type: ignore[arg-type]
        (lambda: _data(AtLeast("rating", 4)), "data.where is"),  # type: ignore[arg-type]
    ],
)
def test_conditions_that_say_nothing_are_refused(make, said):
    with pytest.raises(ConfigError, match=said):
        make()


def test_each_column_is_read_once():
    where = (OneOf("b", (1,)), AnyOf((Missing("a"), AllOf((Missing("b"), Below("c", 1))))))
    assert columns_of(where) == ["b", "a", "c"]
