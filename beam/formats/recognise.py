"""How raw files are written, as their first rows show it: recognised once, before they are read.

What the config declares is not recognised. What was recognised is said, holds for all files, is
stored with the dataset, and holds for the files that extend it.
"""

import dataclasses
import datetime
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.types as pt

from podway.beam.error import DataError
from podway.beam.formats import csv, iso, reader
from podway.beam.formats.checks import decode, is_bytes, is_text
from podway.beam.formats.rows import conditions_of, reads, role_of
from podway.beam.formats.times import NAMES, PER_SECOND, TYPED, Clock, looks_like
from podway.framework.config import Characters, Csv, Data, Idx, SideTable
from podway.framework.config.features import Cyclical
from podway.framework.config.where import moment_columns

FILES = 16
"""Files that are looked into at most: the first ones may be empty."""

_STAMPS = (
    ("%Y%m%d%H%M%S", 14),
    ("%Y%m%d%H%M", 12),
    ("%Y%m%d", 8),
    ("%Y%m", 6),
    ("%Y", 4),
)
"""Dates that look like numbers, and their digits."""
_YEARS = range(1900, 2101)


@dataclasses.dataclass(frozen=True)
class Recognised:
    """Of the events, or a side table.

    Attributes:
      units: of the columns of times whose unit is not declared, by role (see times.Clock).
      quotes_are_text: whether quotes are text as any other.
    """

    units: Mapping[str, str] = dataclasses.field(default_factory=dict)
    quotes_are_text: bool = False

    def to_json(self) -> dict[str, Any]:
        """As manifests have it."""
        return {"units": dict(self.units), "quotes_are_text": self.quotes_are_text}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Recognised":
        """The inverse."""
        return cls(dict(value["units"]), value["quotes_are_text"])

    def notices(self, raw: Data | SideTable) -> Iterator[str]:
        """What is to be said of it: one sentence each."""
        where = "data" if isinstance(raw, Data) else f"the table {raw.path}"
        if self.quotes_are_text:
            yield (
                f"{where}: quotes are read as text, as only so each of the first lines is a row;"
                " the format's quote declares it"
            )
        for role, unit in self.units.items():
            if unit not in ("s", TYPED):
                name = NAMES.get(unit, "ISO 8601")
                yield f"{where}: {role} is read as {name}; {_option(role)} declares it"


NOTHING = Recognised()


def recognise(raw: Data | SideTable, files: Iterable[str]) -> Recognised:
    """Looks into the first files with rows.

    Raises:
      DataError: times that may be read in several ways, or in none.
    """
    quotes_are_text, units = False, dict[str, str]()
    wanted = [role for role, unit in _times(raw).items() if unit == "auto"]
    if isinstance(raw.format, Characters | Idx):
        return Recognised(dict.fromkeys(wanted, "s"))
    sniff = isinstance(raw.format, Csv) and raw.format.quote == "auto"
    for _, file in zip(range(FILES), files, strict=False):
        if sniff and isinstance(raw.format, Csv):
            quotes_are_text = csv.quotes_are_text(file, raw.format, reader.SAMPLE_BYTES)
            raw = resolve(raw, Recognised(quotes_are_text=quotes_are_text))
        rows = reader.read(file, raw, sample=True, only=wanted) if wanted or sniff else iter(())
        batch = next(rows, None)
        if batch is None or not len(batch.numbers):
            continue
        sniff = False
        for role in wanted:
            if role not in units and (unit := _unit(batch.columns[role], file, role)):
                units[role] = unit
        if len(units) == len(wanted):
            break
    return Recognised(dict.fromkeys(wanted, "s") | units, quotes_are_text)


def resolve(raw: Any, recognised: Recognised) -> Any:
    """The events or the table with a format that says of quotes what was recognised."""
    if not recognised.quotes_are_text:
        return raw
    return dataclasses.replace(raw, format=dataclasses.replace(raw.format, quote="none"))


def clocks(raw: Data | SideTable, recognised: Recognised) -> dict[str, Clock]:
    """What each column of times is written in, by role."""
    return {
        role: Clock(recognised.units.get(role, "s"), True) if unit == "auto" else Clock(unit)
        for role, unit in _times(raw).items()
    }


def _times(raw: Data | SideTable) -> dict[str, str]:
    """Role of each column of times → what the config says of its unit."""
    found = {}
    if isinstance(raw, Data) and raw.columns.time is not None:
        found["time"] = raw.columns.time_unit
    for feature in raw.features:
        if isinstance(feature, Cyclical) and reads(feature):
            events = isinstance(raw, Data) and feature.source == raw.columns.time
            unit = found["time"] if events and feature.time_unit == "auto" else feature.time_unit
            found[feature.name] = unit
    return found | dict.fromkeys(set(moment_roles(raw).values()) - set(found), "auto")


def moment_roles(raw: Data | SideTable) -> dict[str, str]:
    """Column that a condition compares with a moment → the role of which it has its unit: that of
    the events' time, or of a feature, where these read it."""
    found = {column: role_of(column) for column in moment_columns(conditions_of(raw))}
    for feature in raw.features:
        if isinstance(feature, Cyclical) and feature.source in found:
            found[feature.source] = feature.name
    if isinstance(raw, Data) and raw.columns.time in found:
        found[raw.columns.time] = "time"
    return found


def _unit(values: pa.Array, file: str, role: str) -> str | None:
    """The unit of most values; None: all are missing, or 0."""
    if isinstance(values, pa.DictionaryArray):
        values = values.dictionary_decode()
    if pt.is_temporal(values.type):
        return TYPED
    if is_bytes(values.type):
        values, _ = decode(values)
    found = dict.fromkeys([*PER_SECOND, "iso"], 0)
    if is_text(values.type):
        text = pl.Series(values.cast(pa.string())).str.strip_chars()
        text = text.filter((text != "").fill_null(False))
        numbers = text.cast(pl.Float64, strict=False)
        others = text.filter(numbers.is_null())
        found["iso"] = int((~iso.parse(others).wrong).sum()) if len(others) else 0
        numbers = numbers.drop_nulls().to_numpy()
    elif pt.is_integer(values.type) or pt.is_floating(values.type) or pt.is_decimal(values.type):
        numbers = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        text = others = pl.Series([], dtype=pl.String)
    else:
        return None  # the reader says what is wrong
    numbers = numbers[np.isfinite(numbers) & (numbers != 0)]
    for at, count in enumerate(np.bincount(looks_like(numbers), minlength=len(PER_SECOND))):
        found[list(PER_SECOND)[at]] = int(count)
    option = _option(role)
    if not any(found.values()):
        if len(others):
            raise DataError(
                f"{file}: {role} is {others[0]!r}, which is neither a number nor ISO 8601; set"
                f" {option} to how it is written, such as %d/%m/%Y %H:%M"
            )
        return None
    if not found["iso"] and (stamp := _stamp(numbers)):
        value, shown = int(numbers[0]), f"%{stamp[1:]}"
        unit = max(PER_SECOND, key=lambda name: found[name])
        raise DataError(
            f"{file}: {role} is {value}, which may be a date written as {shown}, or"
            f" {NAMES[unit]} since 1970 ({_date(value, unit)}); set {option} to {shown}, or to"
            f" {unit}"
        )
    return max(found, key=lambda name: found[name])


def _stamp(numbers: np.ndarray) -> str | None:
    """The format by which all numbers are dates; None: they are none."""
    whole = numbers.astype(np.int64)
    if not len(whole) or (whole != numbers).any() or whole.min() < _YEARS[0]:
        return None
    for format, digits in _STAMPS:
        year = whole // 10 ** (digits - 4)
        if ((year >= _YEARS[0]) & (year <= _YEARS[-1])).all():
            text = pl.Series(whole[:1000]).cast(pl.String)
            found = text.str.to_datetime(format, time_unit="us", strict=False)
            return None if found.has_nulls() else format
    return None


def _date(value: int, unit: str) -> str:
    seconds = value // PER_SECOND[unit]
    return str((datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)).date())


def _option(role: str) -> str:
    if role == "time":
        return "data.columns.time_unit"
    if role.startswith(role_of("")):
        return f"time_unit of a Cyclical feature of the column {role.removeprefix(role_of(''))!r}"
    return f"time_unit of the feature {role!r}"
