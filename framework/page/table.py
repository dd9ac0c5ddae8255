"""Tables of a page, as data: `parts.html.j2` draws them."""

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Cell:
    """A cell.

    Attributes:
      text: what it shows.
      style: classes of the stylesheet: "warn", "bad", or "dot c0" for a row of the first colour.
      told: what hovering says.
    """

    text: str
    style: str = ""
    told: str = ""


@dataclasses.dataclass(frozen=True)
class Table:
    """A table: the names of its columns, and its rows."""

    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]


def cells(texts: Sequence[str]) -> list[Cell]:
    """Plain cells."""
    return [Cell(text) for text in texts]
