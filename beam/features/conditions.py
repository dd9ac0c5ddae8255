"""Conditions on raw columns, decided: which rows are read (framework/config/where.py)."""

import collections
import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute

from podway.beam.error import DataError
from podway.beam.features import canonical
from podway.beam.formats.checks import Checks, Notice, decode, is_bytes, is_text
from podway.beam.formats.times import SECONDS, Clock
from podway.framework.config.where import (
    Above,
    AllOf,
    AnyOf,
    AtLeast,
    AtMost,
    Below,
    Between,
    Condition,
    Missing,
    NoneOf,
    NotMissing,
    OfColumn,
    OneOf,
    Ordered,
    Several,
    span,
)

pc: Any = pyarrow.compute  # which makes its functions when it is imported

NO, UNKNOWN, YES = 0, 1, 2
"""Verdicts on a row; it is unknown where a value cannot be read. "And" is the least of several,
"or" the largest (Kleene, 1938)."""

Verdicts = tuple[np.ndarray, Checks]
"""int8 per row, and why some are unknown."""

NO_CLOCKS: Mapping[str, Clock] = {}

_TRUTH = {True: ("true", "True", "TRUE"), False: ("false", "False", "FALSE")}


@dataclasses.dataclass(frozen=True)
class Decision:
    """What becomes of rows.

    Attributes:
      stay: mask of the rows that satisfy all conditions, or of which that is unknown.
      filtered: of the others, how many fail which condition; the first one counts.
      checks: why some of those that stay are to be rejected, as masks of the rows that stay.
    """

    stay: np.ndarray
    filtered: dict[str, int]
    checks: Checks


def decide(
    conditions: Sequence[Condition],
    columns: Mapping[str, pa.Array],
    rows: int,
    file: str,
    clocks: Mapping[str, Clock] = NO_CLOCKS,
) -> Decision:
    """Which rows satisfy all conditions.

    Args:
      conditions: which.
      columns: raw columns by name.
      rows: how many there are.
      file: the raw file, for errors.
      clocks: what the times of columns that are compared with moments are written in, by name.

    Raises DataError: a column holds what cannot be compared so.
    """
    left, filtered, unknown = np.full(rows, YES, np.int8), collections.Counter[str](), []
    for condition in conditions:
        found, checks = verdicts(condition, columns, file, clocks)
        lost = (found == NO) & (left != NO)
        filtered[f"where: {condition}"] += int(lost.sum())
        left = np.minimum(left, found)
        unknown += checks
    stay = left != NO
    undecided = left == UNKNOWN
    checks = [(reason, (mask & undecided)[stay]) for reason, mask in unknown]
    return Decision(stay, dict(filtered), [(reason, mask) for reason, mask in checks if mask.any()])


def verdicts(
    condition: Condition,
    columns: Mapping[str, pa.Array],
    file: str,
    clocks: Mapping[str, Clock] = NO_CLOCKS,
) -> Verdicts:
    """Of each row whether it satisfies a condition. Raises DataError, as `decide` does."""
    if isinstance(condition, Several):
        parts = [verdicts(part, columns, file, clocks) for part in condition.conditions]
        together = np.minimum if isinstance(condition, AllOf) else np.maximum
        assert isinstance(condition, AllOf | AnyOf)
        found = together.reduce([part for part, _ in parts])
        return found, [check for _, checks in parts for check in checks]
    assert isinstance(condition, OfColumn)
    clock = clocks.get(condition.column, SECONDS)
    return _of_column(condition, columns[condition.column], file, clock)


def _of_column(condition: OfColumn, values: pa.Array, file: str, clock: Clock) -> Verdicts:
    if pa.types.is_dictionary(values.type):  # by looking at each distinct value once
        distinct = values.dictionary
        known = pa.concat_arrays([distinct, pa.nulls(1, distinct.type)])
        rows = values.indices.cast(pa.int64()).fill_null(len(distinct)).to_numpy()
        found, checks = _of_column(condition, known, file, clock)
        return found[rows], [(reason, mask[rows]) for reason, mask in checks]
    missing = _missing(values)
    match condition:
        case Missing():
            return _verdict(missing), []
        case NotMissing():
            return _verdict(~missing), []
        case OneOf():
            holds, checks = _one_of(condition, values, file), []
            holds = holds != isinstance(condition, NoneOf)
        case _ if isinstance(_value(condition), str):
            holds, missing, checks = _ordered_moments(condition, values, file, clock)
        case _:
            holds, missing, checks = _ordered_numbers(condition, values, file)
    if not isinstance(condition, OneOf):
        holds &= ~missing
    found = _verdict(holds)
    for _, mask in checks:
        found[mask] = UNKNOWN
    return found, checks


def _verdict(holds: np.ndarray) -> np.ndarray:
    return np.where(holds, np.int8(YES), np.int8(NO))


def _value(condition: OfColumn) -> Any:
    assert isinstance(condition, Ordered | Between)
    return condition.value if isinstance(condition, Ordered) else condition.low


def _missing(values: pa.Array) -> np.ndarray:
    """null, NaN, and what is empty: text, bytes, or a list."""
    found = pc.is_null(values, nan_is_null=True).to_numpy(zero_copy_only=False)
    if _is_text(values.type):
        return found | (pc.binary_length(values).fill_null(0).to_numpy() == 0)
    if pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
        return found | (pc.list_value_length(values).fill_null(0).to_numpy() == 0)
    return found


def _one_of(condition: OneOf, values: pa.Array, file: str) -> np.ndarray:
    """Mask of the values that are one of those; none that is missing is."""
    texts = [value for value in condition.values if isinstance(value, str) and value]
    for value in condition.values:
        texts += _TRUTH[value] if isinstance(value, bool) else []
    numbers = [
        v for v in condition.values if isinstance(v, int | float) and not isinstance(v, bool)
    ]
    holds = np.zeros(len(values), bool)
    if pa.types.is_null(values.type):
        return holds
    if texts:
        kind, plain = pa.large_string(), values
        if pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type):
            # Any bytes, even what is no UTF-8.
            kind, texts = values.type, [text.encode() for text in texts]
        elif not _is_text(values.type):
            plain, _ = canonical.text(values, condition.column, file)
        known = pc.is_in(plain.cast(kind), pa.array(texts, kind))
        holds |= known.to_numpy(zero_copy_only=False)
    if numbers:
        found = _Numbers.of(values, condition.column, file)
        for number in numbers:
            holds |= found.compare("==", number) & ~found.missing & ~found.wrong
    return holds


_OPERATORS: dict[type, str] = {AtLeast: ">=", AtMost: "<=", Above: ">", Below: "<"}


def _ordered_numbers(
    condition: OfColumn, values: pa.Array, file: str
) -> tuple[np.ndarray, np.ndarray, Checks]:
    """What holds, what is missing, and the check that there are numbers."""
    found = _Numbers.of(values, condition.column, file)
    if isinstance(condition, Between):
        holds = found.compare(">=", condition.low) & found.compare("<=", condition.high)
    else:
        holds = found.compare(_OPERATORS[type(condition)], _value(condition))
    wrong = [(f"{condition.column} is not a number", found.wrong)] if found.wrong.any() else []
    return holds, found.missing, wrong


def _ordered_moments(
    condition: OfColumn, values: pa.Array, file: str, clock: Clock
) -> tuple[np.ndarray, np.ndarray, Checks]:
    """What holds, what is missing, and the checks that there are times."""
    if pa.types.is_null(values.type):
        nothing = np.zeros(len(values), bool)
        return nothing, ~nothing, []
    times, checks = canonical.time(values, condition.column, file, clock)
    checks = [(reason, mask) for reason, mask in checks if not isinstance(reason, Notice)]
    missing = times.is_null().to_numpy(zero_copy_only=False)
    moments = times.fill_null(0).to_numpy()
    match condition:
        case Between(low=str(low), high=str(high)):
            holds = (moments >= span(low)[0]) & (moments < span(high)[1])
        case AtLeast(value=str(value)):
            holds = moments >= span(value)[0]
        case Above(value=str(value)):
            holds = moments >= span(value)[1]
        case AtMost(value=str(value)):
            holds = moments < span(value)[1]
        case Below(value=str(value)):
            holds = moments < span(value)[0]
        case _:
            raise TypeError(f"no such condition: {condition}")
    return holds, missing, checks


@dataclasses.dataclass(frozen=True)
class _Numbers:
    """A column as numbers.

    Attributes:
      wide: float64.
      whole: the same as int64 or uint64 where `is_whole`; None: nowhere.
      is_whole: mask.
      missing: mask.
      wrong: mask of what is no number.
    """

    wide: np.ndarray
    whole: np.ndarray | None
    is_whole: np.ndarray
    missing: np.ndarray
    wrong: np.ndarray

    @classmethod
    def of(cls, values: pa.Array, column: str, file: str) -> "_Numbers":
        """Raises DataError: the column cannot hold numbers."""
        kind = values.type
        if pa.types.is_null(kind) or pa.types.is_boolean(kind):
            values = values.cast(pa.uint8())
        if _is_text(kind):
            return cls._of_text(values)
        kind = values.type
        missing = _missing(values)
        nothing = np.zeros(len(values), bool)
        if pa.types.is_integer(kind):
            whole = values.fill_null(0).to_numpy()
            return cls(whole.astype(np.float64), whole, ~nothing, missing, nothing)
        if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            wide = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
            return cls(np.where(missing, 0, wide), None, nothing, missing, nothing)
        times = pa.types.is_temporal(kind)
        hint = ', or compare with a moment such as "2024-01-31"' if times else ""
        raise DataError(
            f"{file}: the column {column!r} holds {kind}, and a condition of where compares it with"
            f" a number; name one that holds numbers{hint}"
        )

    @classmethod
    def _of_text(cls, values: pa.Array) -> "_Numbers":
        readable, _ = decode(values) if is_bytes(values.type) else (values.cast(pa.string()), None)
        stripped = pl.Series(readable).str.strip_chars().fill_null("").replace(canonical.TRUTH)
        whole = stripped.cast(pl.Int64, strict=False)
        wide = stripped.cast(pl.Float64, strict=False).fill_nan(None)
        empty = (stripped == "").to_numpy()
        said = stripped.str.to_lowercase().is_in(["nan", "-nan", "+nan"]).to_numpy()
        return cls(
            wide.fill_null(0.0).to_numpy(),
            whole.fill_null(0).to_numpy(),
            whole.is_not_null().to_numpy(),
            empty | said,
            wide.is_null().to_numpy() & ~empty & ~said,
        )

    def compare(self, operator: str, value: Any) -> np.ndarray:
        """Mask of the numbers that compare so with the value; exact where they are whole."""
        holds = _compare(self.wide, operator, float(value))
        if self.whole is not None:
            holds = np.where(self.is_whole, _compare_whole(self.whole, operator, value), holds)
        return holds


def _compare(numbers: np.ndarray, operator: str, value: Any) -> np.ndarray:
    match operator:
        case ">=":
            return numbers >= value
        case ">":
            return numbers > value
        case "<=":
            return numbers <= value
        case "<":
            return numbers < value
    return numbers == value


def _compare_whole(numbers: np.ndarray, operator: str, value: Any) -> np.ndarray:
    """Likewise, of integers, by the integer that says the same."""
    if operator == "==":
        whole = value == math.floor(value)
        return numbers == math.floor(value) if whole else np.zeros(len(numbers), bool)
    return _compare(
        numbers, operator, math.ceil(value) if operator in (">=", "<") else math.floor(value)
    )


def _is_text(kind: pa.DataType) -> bool:
    """Text, or bytes that may be text."""
    return is_text(kind) or is_bytes(kind)
