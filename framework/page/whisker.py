"""Charts of dots with whiskers: an estimate a row, and the interval that it may lie in."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import markupsafe

from podway.framework.page import axis, text
from podway.framework.page.frame import LETTER, Frame, colour, figure

_ROW, _EDGES = 26, 44
"""Height of a row, and of what is above and below the rows."""
_LONGEST = 24
"""Letters of a name; of a longer one the beginning is shown."""


@dataclasses.dataclass(frozen=True)
class Whisker:
    """A row.

    Attributes:
      name: of what it shows.
      value: the estimate.
      low: where its interval begins; None: it has none.
      high: where that ends.
      shown: the value as text, at the end of the row.
      told: what hovering adds.
      colour: number of its colour.
    """

    name: str
    value: Any
    low: Any = None
    high: Any = None
    shown: str = ""
    told: str = ""
    colour: int = 0


def whiskers(
    title: str, rows: Sequence[Whisker], *, zero: bool = False, words: str = ""
) -> markupsafe.Markup:
    """A figure of some estimates below each other.

    Args:
      title: its caption.
      rows: from the top; what is no number has a name, and no dot.
      zero: whether zero belongs into the picture, with a line there: for differences.
      words: what the caption says beside the title.
    """
    numbers = [each for row in rows for each in (row.value, row.low, row.high) if each is not None]
    across = axis.fitted([*numbers, *[0.0] * zero], pad=0.06)
    names = [row.name if len(row.name) <= _LONGEST else f"{row.name[: _LONGEST - 1]}…"
             for row in rows]  # fmt: skip
    frame = Frame(
        across.ticks,
        (),
        _EDGES + _ROW * max(len(rows), 1),
        "",
        "",
        left=22 + LETTER * max(map(len, names), default=4),
        right=16 + LETTER * max([4, *(len(row.shown) for row in rows)]),
    )

    def place(value: Any) -> float | None:
        at = across.place(value) if value is not None else math.nan
        return None if math.isnan(at) else frame.x(at)

    drawn = []
    for at, (row, name) in enumerate(zip(rows, names, strict=True)):
        low, high = place(row.low), place(row.high)
        drawn.append(
            {
                "colour": colour(row.colour),
                "name": name,
                "x": place(row.value),
                "low": None if high is None else low,
                "high": high,
                "y": frame.top + _ROW * (at + 0.5),
                "top": frame.top + _ROW * at,
                "height": _ROW,
                "value": row.shown,
                "told": "\n".join(filter(None, [f"{row.name}: {_interval(row)}", row.told])),
            }
        )
    return figure(
        title,
        frame,
        rows=drawn,
        zero=place(0.0) if zero else None,
        note="" if any(row["x"] is not None for row in drawn) else "no numbers",
        words=words,
        described="; ".join(f"{row.name}: {_interval(row)}" for row in rows),
    )


def _interval(row: Whisker) -> str:
    value, low, high = (text.number(axis.real(each)) for each in (row.value, row.low, row.high))
    return f"{value} [{low}, {high}]" if row.low is not None else value
