"""What every reader yields: raw rows as columns, and the rows that could not become columns."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from beam.error import DataError
from framework.config import Columns


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
class Rows:
    """Some consecutive rows of one raw file.

    Attributes:
      columns: role ("user", "item", "time") → raw values, of the type that the file has.
      numbers: int64, the rows' numbers in the file (see Rejected.row).
      raw: position in the columns → the row as a JSON value; for rejected rows, and only until
        the next Rows are asked for.
      rejected: rows that could not be divided into columns; they are in none.
      fraction: the part of the file that has been read, from 0 to 1.
    """

    columns: dict[str, pa.Array]
    numbers: np.ndarray
    raw: Callable[[int], Any]
    rejected: Sequence[Rejected]
    fraction: float


def roles_of(columns: Columns) -> dict[str, str]:
    """Role → column name, as the config has them."""
    roles = {"user": columns.user, "item": columns.item}
    return roles if columns.time is None else {**roles, "time": columns.time}


def locate(columns: Columns, names: Sequence[str], file: str) -> dict[str, str]:
    """Role → column name. Raises DataError where the file lacks it or has it twice."""
    roles = roles_of(columns)
    for role, name in roles.items():
        if names.count(name) == 0:
            raise DataError(
                f"{file} has no column {name!r}; set data.columns.{role} to one of {list(names)}"
            )
        if names.count(name) > 1:
            raise DataError(f"{file} has more than one column {name!r} (data.columns.{role})")
    return roles
