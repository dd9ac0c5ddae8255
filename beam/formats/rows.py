"""What every reader yields: raw rows as columns, and the rows that could not become columns."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from podway.beam.error import DataError
from podway.framework.config import Data, SideTable
from podway.framework.config.features import Gap, Transform

FIXED = ("user", "item", "time", "key")
"""Roles that are not features."""

_KEEP = "keep:"

Roles = Mapping[str, str]
"""Role of a column ("user", "item", "time", "key", or a feature's name) → its name in the file."""


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
        roles = {"user": raw.columns.user, "item": raw.columns.item}
        roles |= {"time": raw.columns.time} if raw.columns.time is not None else {}
    return roles | {feature.name: feature.source for feature in raw.features if reads(feature)}


def keep_role(column: str) -> str:
    """The role of a side table's column that is kept as text; no feature has such a name."""
    return f"{_KEEP}{column}"


def reads(feature: Transform) -> bool:
    """Whether a feature has a raw column of its own."""
    return not isinstance(feature, Gap)


def locate(roles: Roles, names: Sequence[str], file: str) -> Roles:
    """The roles. Raises DataError where the file lacks a column or has it twice."""
    for role, name in roles.items():
        if names.count(name) == 0:
            raise DataError(
                f"{file} has no column {name!r}; set {_field(role)} to one of {list(names)}"
            )
        if names.count(name) > 1:
            raise DataError(f"{file} has more than one column {name!r} ({_field(role)})")
    return roles


def _field(role: str) -> str:
    """Where the config says which column it is."""
    if role == "key":
        return "the table's key"
    if role.startswith(_KEEP):
        return "what the table's `keep` names"
    return f"data.columns.{role}" if role in FIXED else f"the column of the feature {role!r}"
