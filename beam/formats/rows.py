"""What every reader yields: raw rows as columns, and the rows that could not become columns."""

import dataclasses
import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from podway.beam.error import ColumnError
from podway.beam.paths import partitions
from podway.framework.config import Data, SideTable
from podway.framework.config.features import Gap, Transform
from podway.framework.config.where import Condition, columns_of
from podway.framework.schema.schema import EVENT_WEIGHT

EVENT_ID = "event id"
"""The role of the column that identifies an event. No feature's name has a space."""

FIXED = ("user", "item", "time", "key", EVENT_ID)
"""Roles that are not features."""

_KEEP = "keep:"

Roles = Mapping[str, str]
"""Role of a column ("user", "item", "time", "key", a feature's name, or what `role_of` says of a
condition's column) → its name in the file."""


@dataclasses.dataclass(frozen=True)
class Rejected:
    """A raw row that is left out.

    Attributes:
      row: its number in the file; 1 is the first row of data (a header and blank lines don't
        count).
      reason: what is wrong with it.
      raw: the row as it was found, as a JSON value.
    """

    row: int
    reason: str
    raw: Any


@dataclasses.dataclass(frozen=True)
class RawBatch:
    """Some consecutive rows of one raw file.

    Attributes:
      columns: role → raw values, of the type that the file has.
      numbers: int64, the rows' numbers in the file (see Rejected.row).
      raw: position in the columns → the row as a JSON value; for rejected rows, and only until
        the next batch is asked for.
      rejected: rows that could not be divided into columns; they are in none.
      fraction: the part of the file that has been read, from 0 to 1.
      notices: what was converted, or looks odd, in rows that are kept, and in how many.
    """

    columns: dict[str, pa.Array]
    numbers: np.ndarray
    raw: Callable[[int], Any]
    rejected: Sequence[Rejected]
    fraction: float
    notices: Mapping[str, int] = dataclasses.field(default_factory=dict)


def roles_of(raw: Data | SideTable) -> Roles:
    """The columns that are read of the events, or of a side table."""
    if isinstance(raw, SideTable):
        roles = {"key": raw.key} | {keep_role(name): name for name in raw.keep}
    else:
        names = {role: getattr(raw.columns, role) for role in ("user", "item", "time")}
        names |= {EVENT_WEIGHT: raw.columns.weight, EVENT_ID: raw.columns.id}
        roles = {role: name for role, name in names.items() if name is not None}
    roles |= {feature.name: feature.source for feature in raw.features if reads(feature)}
    return roles | {role_of(column): column for column in columns_of(conditions_of(raw))}


def conditions_of(raw: Data | SideTable) -> tuple[Condition, ...]:
    """All conditions on its columns."""
    return (*raw.where, *(() if isinstance(raw, SideTable) else raw.targets))


def role_of(column: str) -> str:
    """The role of a column that a condition reads. No feature's name has a space."""
    return f"where {column}"


def choose(rows: RawBatch, mask: np.ndarray) -> RawBatch:
    """The rows of the mask; those that are rejected stay."""
    if mask.all():
        return rows
    positions, chosen = np.flatnonzero(mask), pa.array(mask)
    return dataclasses.replace(
        rows,
        columns={role: column.filter(chosen) for role, column in rows.columns.items()},
        numbers=rows.numbers[mask],
        raw=lambda position: rows.raw(int(positions[position])),
    )


def keep_role(column: str) -> str:
    """The role of a side table's column that is kept as text; no feature has such a name."""
    return f"{_KEEP}{column}"


def reads(feature: Transform) -> bool:
    """Whether a feature has a raw column of its own."""
    return not isinstance(feature, Gap)


def locate(roles: Roles, names: Sequence[str], file: str) -> Roles:
    """The roles whose columns the file has.

    Raises ColumnError where it has one twice, or lacks one that no folder says (paths.partitions).
    """
    held = partitions(file)
    for role, name in roles.items():
        if names.count(name) == 0 and name not in held:
            none = ", or to None: then the order of rows is that of time" if role == "time" else ""
            remedy = _remedy(role, name, [*names, *held])
            raise ColumnError(f"{file} has no column {name!r}; {remedy}{none}")
        if names.count(name) > 1:
            raise ColumnError(f"{file} has more than one column {name!r} ({field_of(role)})")
    return {role: name for role, name in roles.items() if name in names}


def complete(rows: RawBatch, roles: Roles, held: Mapping[str, str | None]) -> RawBatch:
    """With the columns that folders hold, as text: those that the file has not, or only nulls."""
    columns = dict(rows.columns)
    for role, name in roles.items():
        if name in held and (role not in columns or columns[role].null_count == len(rows.numbers)):
            columns[role] = _constant(held[name], len(rows.numbers))
    return dataclasses.replace(rows, columns={role: columns[role] for role in roles})


def _constant(value: str | None, rows: int) -> pa.Array:
    if value is None:
        return pa.nulls(rows, pa.string())
    return pa.DictionaryArray.from_arrays(
        pa.array(np.zeros(rows, np.int32)), pa.array([value], pa.string())
    )


def _remedy(role: str, name: str, names: Sequence[str]) -> str:
    """What would be right where a file lacks a column."""
    if len(names) == 1 and (found := [mark for mark in ";\t|," if mark in names[0]]):
        return f"it has one, {names[0]!r}: set data.format.delimiter to {found[0]!r}"
    if close := difflib.get_close_matches(name, names, n=1):
        return f"set {field_of(role)} to {close[0]!r}, or to another of {list(names)}"
    return f"set {field_of(role)} to one of {list(names)}"


def field_of(role: str) -> str:
    """Where the config says which column it is."""
    if role == "key":
        return "the table's key"
    if role.startswith(role_of("")):
        return "the column of a condition"
    if role in (EVENT_WEIGHT, EVENT_ID):
        return "data.columns.weight" if role == EVENT_WEIGHT else "data.columns.id"
    if role.startswith(_KEEP):
        return "what the table's `keep` names"
    return f"data.columns.{role}" if role in FIXED else f"the column of the feature {role!r}"
